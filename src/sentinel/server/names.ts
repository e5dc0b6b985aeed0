/**
 * Names of machines. Deciding needs an answer at once, resolvers take their time: the machine's own table of hosts is read
 * when we start, everything else is looked up behind the scenes, and who asks too early asks again with the next hello.
 */
import { lookup } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import type { Clock } from '../../base/clock.js'
import type { Millis } from '../../base/units.js'
import { isIpAddress } from '../../topology/quorum/watched.js'

/** A name that was asked for after this long is looked up again; until then the old answer serves. */
const FRESH_MS: Millis = 5000
/** More names than this come from somebody who makes them up: the oldest is forgotten. */
const MAX_NAMES = 1000

export class Names {
  readonly #known = new Map<string, { ip: string | undefined; readonly askedAt: Millis }>()
  readonly #hosts: ReadonlyMap<string, string>

  constructor(private readonly clock: Clock) {
    this.#hosts = readHosts()
  }

  /** What is known now; asks for more in the background. */
  lookup(name: string): string | undefined {
    if (isIpAddress(name)) return name
    const own = this.#hosts.get(name.toLowerCase())
    if (own !== undefined) return own
    const known = this.#known.get(name)
    if (known === undefined || this.clock.now() - known.askedAt > FRESH_MS) void this.find(name)
    return known?.ip
  }

  /** Resolves when the name has been looked up, whatever came of it. */
  async find(name: string): Promise<string | undefined> {
    if (isIpAddress(name)) return name
    const own = this.#hosts.get(name.toLowerCase())
    if (own !== undefined) return own
    const entry = { ip: this.#known.get(name)?.ip, askedAt: this.clock.now() }
    this.#known.set(name, entry)
    const oldest = this.#known.keys().next().value
    if (this.#known.size > MAX_NAMES && oldest !== undefined) this.#known.delete(oldest)
    try {
      entry.ip = (await lookup(name)).address
    } catch {
      // As good as we know: the old address, or none.
    }
    return entry.ip
  }
}

function readHosts(): ReadonlyMap<string, string> {
  const hosts = new Map<string, string>()
  try {
    for (const line of readFileSync('/etc/hosts', 'utf8').split('\n')) {
      const [ip = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
      // The first line of a name counts; IPv4 before IPv6, as servers listen on it by default.
      for (const name of names.map(word => word.toLowerCase())) {
        const known = hosts.get(name)
        if (known === undefined || (known.includes(':') && !ip.includes(':'))) hosts.set(name, ip)
      }
    }
  } catch {
    // A machine without such a table has a resolver.
  }
  return hosts
}
