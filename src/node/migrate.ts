/**
 * MIGRATE, acting: keys leave for another instance by DUMP and RESTORE, and go here when it has them.
 *
 *     pause writes ─▶ RESTORE … to the target ─▶ DEL of what it took ─▶ answer, go on
 *
 * Nobody is served in Redis meanwhile; here reads go on and writes wait, so that what is deleted is what was sent.
 * Connections are kept for IDLE_MS, as several keys usually leave for the same place.
 */
import { type Address, formatAddress } from '../base/address.js'
import type { Bytes, Millis, UnixMillis } from '../base/units.js'
import { Client, ConnectionError } from '../net/client.js'
import { dump } from '../persistence/dump.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

export interface MigrateRequest {
  readonly to: Address
  readonly keys: readonly Bytes[]
  readonly db: number
  readonly timeoutMs: Millis
  readonly copy: boolean
  readonly replace: boolean
  /** The words of an AUTH; none when empty. */
  readonly auth: readonly Bytes[]
}

interface Parcel {
  readonly key: Bytes
  readonly payload: Bytes
  readonly expireAt: UnixMillis
}

interface Target {
  readonly client: Client
  readonly usedAt: Millis
}

const IDLE_MS = 10_000
/** Requests on their way to the target at once. */
const BATCH = 256

export class Migration {
  readonly #targets = new Map<string, Target>()

  constructor(private readonly server: NodeServer) {}

  get cachedConnections(): number {
    return this.#targets.size
  }

  /** Answers the session now or later. It waits until then; writes of others wait too. */
  begin(session: Session, request: MigrateRequest): void {
    const { server } = this
    const parcels = this.#pack(session.db, request.keys)
    if (parcels.length === 0) return session.out.simple('NOKEY')
    session.parked = { on: 'migrate' }
    server.pause.begin('migrate', 'write', Number.MAX_SAFE_INTEGER)
    void this.#move(session.db, request, parcels)
      .catch(error => this.#failure(request, error))
      .then(failure => {
        if (failure === undefined) session.out.ok()
        else session.out.error(failure)
        server.pause.end('migrate')
        session.unpark()
        if (!session.closing) session.peer.flushSoon()
        server.dispatcher.settle()
      })
  }

  #pack(db: number, keys: readonly Bytes[]): Parcel[] {
    const { engine, clock } = this.server
    const database = engine.database(db)
    const parcels: Parcel[] = []
    for (const key of new Set(keys)) {
      const value = database.get(key)
      const expireAt = database.expireAt(key) ?? 0
      if (value === undefined || (expireAt !== 0 && clock.wall() > expireAt)) continue
      parcels.push({ key, payload: dump(value, engine.settings).toString('latin1'), expireAt })
    }
    return parcels
  }

  /** Answers the first error of the target. What it took before and after that is gone here. */
  async #move(db: number, request: MigrateRequest, parcels: readonly Parcel[]): Promise<Bytes | undefined> {
    const client = await this.#connect(request)
    let failure: Bytes | undefined
    for (let at = 0; at < parcels.length; at += BATCH) {
      const batch = parcels.slice(at, at + BATCH)
      const replies = await Promise.allSettled(batch.map(parcel => client.send(this.#restore(parcel, request))))
      const taken = batch.filter((_, index) => {
        const reply = replies[index]
        return reply?.status === 'fulfilled' && reply.value.type !== 'error'
      })
      if (!request.copy) this.#delete(db, taken)
      for (const reply of replies) {
        if (reply.status === 'rejected') throw reply.reason
        if (reply.value.type === 'error') failure ??= `ERR Target instance replied with error: ${reply.value.value}`
      }
    }
    return failure
  }

  /** A connection that is there already, or a new one; signed in, and in the right database. */
  async #connect({ to, timeoutMs, auth, db }: MigrateRequest): Promise<Client> {
    const name = formatAddress(to)
    const { clock } = this.server
    const known = this.#targets.get(name)?.client
    const client =
      known !== undefined && !known.closed
        ? known
        : new Client(to, { connectTimeoutMs: timeoutMs, replyTimeoutMs: timeoutMs })
    this.#targets.set(name, { client, usedAt: clock.now() })
    if (auth.length > 0) await client.call('AUTH', ...auth)
    await client.call('SELECT', String(db))
    return client
  }

  #restore({ key, payload, expireAt }: Parcel, { replace }: MigrateRequest): Bytes[] {
    const ttl = expireAt === 0 ? 0 : Math.max(1, expireAt - this.server.clock.wall())
    return ['RESTORE', key, String(ttl), payload, ...(replace ? ['REPLACE'] : [])]
  }

  #delete(db: number, parcels: readonly Parcel[]): void {
    const { engine, effects } = this.server
    const keys = parcels.map(({ key }) => key)
    if (keys.length === 0) return
    for (const key of keys) {
      effects.beforeChange(db, key)
      engine.database(db).delete(key)
      effects.changed(db, key)
    }
    effects.propagate(db, ['DEL', ...keys])
    effects.wrote(keys.length)
    this.server.dispatcher.endUnit(undefined)
  }

  #failure({ to }: MigrateRequest, error: unknown): Bytes {
    const name = formatAddress(to)
    this.#targets.get(name)?.client.close()
    this.#targets.delete(name)
    if (!(error instanceof Error)) throw error
    if (!(error instanceof ConnectionError)) return `ERR Target instance replied with error: ${error.message}`
    return `IOERR error or timeout talking to target instance: ${error.reason}`
  }

  tick(): void {
    const now = this.server.clock.now()
    for (const [name, { client, usedAt }] of this.#targets) {
      if (!client.closed && now - usedAt < IDLE_MS) continue
      client.close()
      this.#targets.delete(name)
    }
  }

  close(): void {
    for (const { client } of this.#targets.values()) client.close()
    this.#targets.clear()
  }
}
