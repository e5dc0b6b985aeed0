/**
 * What was refused to whom: ACL LOG. What repeats within a minute is one entry that counts; entries over
 * `acllog-max-len` are forgotten, the oldest first.
 */
import type { Bytes, UnixMillis } from '../base/units.js'

export interface Refused {
  readonly reason: 'command' | 'key' | 'channel' | 'auth'
  readonly context: 'toplevel' | 'multi' | 'lua'
  /** The command, key or channel. */
  readonly object: Bytes
  readonly username: Bytes
}

export interface RefusedEntry extends Refused {
  count: number
  at: UnixMillis
  /** The last client it was refused to, as CLIENT LIST shows it. */
  client: string
}

const SAME_WITHIN_MS = 60_000
/** So many of the newest entries are looked at for one that is the same. */
const LOOKED_AT = 10

export class AclLog {
  /** The newest first. */
  readonly entries: RefusedEntry[] = []

  add(refused: Refused, client: string, now: UnixMillis, maxLength: number): void {
    const at = this.entries.slice(0, LOOKED_AT).findIndex(entry => isSame(entry, refused, now))
    const [entry] = at < 0 ? [{ ...refused, count: 0, at: now, client }] : this.entries.splice(at, 1)
    if (entry === undefined) return
    entry.count++
    entry.at = now
    entry.client = client
    this.entries.unshift(entry)
    if (this.entries.length > maxLength) this.entries.length = maxLength
  }

  reset(): void {
    this.entries.length = 0
  }
}

function isSame(entry: RefusedEntry, { reason, context, object, username }: Refused, now: UnixMillis): boolean {
  if (entry.reason !== reason || entry.context !== context || Math.abs(now - entry.at) > SAME_WITHIN_MS) return false
  return entry.object === object && entry.username === username
}
