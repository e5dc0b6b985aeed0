/**
 * All client connections of the node, and the commands that are about them: CLIENT LIST, KILL, and the limits that are
 * looked at from time to time.
 */
import type { Bytes, Millis } from '../base/units.js'
import { ClientMemory, memoryOf } from './client-memory.js'
import { redirectOf } from './commands/tracking.js'
import { type OutputClass, type OutputLimit, outputLimitsOf } from './config/values.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

/** The words after CLIENT KILL and CLIENT LIST; a client must match all that are given. */
export interface ClientFilter {
  id?: number
  address?: Bytes
  localAddress?: Bytes
  type?: ClientType
  user?: Bytes
}

export type ClientType = 'normal' | 'replica' | 'pubsub' | 'master'

export const SHRINK_IDLE_MS = 5000
const IDLE_REPLY_BYTES = 1024
const REPLY_CHUNK_BYTES = 16 * 1024
/** Where the class of a client has no limit: a block cannot be larger. */
const MAX_REPLY_BYTES = 2 ** 31

export class Clients {
  readonly memory: ClientMemory
  /** Idle for so long, a client gives most of its reply block back; undefined: never. */
  shrinkIdleMs: Millis | undefined = SHRINK_IDLE_MS
  readonly #sessions = new Map<number, Session>()
  #nextId = 1
  #limits: Readonly<Record<OutputClass, OutputLimit>> = outputLimitsOf(
    'normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60',
  )

  constructor(private readonly server: NodeServer) {
    this.memory = new ClientMemory(server)
  }

  get size(): number {
    return this.#sessions.size
  }

  nextId(): number {
    return this.#nextId++
  }

  add(session: Session): void {
    this.#sessions.set(session.id, session)
  }

  remove(session: Session): void {
    this.#sessions.delete(session.id)
    this.memory.forget(session)
  }

  find(id: number): Session | undefined {
    return this.#sessions.get(id)
  }

  [Symbol.iterator](): Iterator<Session> {
    return this.#sessions.values()
  }

  matching(filter: ClientFilter): Session[] {
    return [...this.#sessions.values()].filter(session => {
      if (filter.id !== undefined && session.id !== filter.id) return false
      if (filter.address !== undefined && session.address !== filter.address) return false
      if (filter.localAddress !== undefined && session.localAddress !== filter.localAddress) return false
      if (filter.user !== undefined && session.user !== filter.user) return false
      return filter.type === undefined || session.type === filter.type
    })
  }

  setLimits(text: string): void {
    this.#limits = outputLimitsOf(text)
    for (const session of this.#sessions.values()) this.limitOutput(session)
  }

  get limits(): Readonly<Record<OutputClass, OutputLimit>> {
    return this.#limits
  }

  /** To be called when the class of a session changes. What a replica may hold is Replicas' to say. */
  limitOutput(session: Session): void {
    const { type } = session
    const hard = type === 'replica' ? 0 : this.#limits[type].hardBytes
    session.peer.maxQueuedBytes = hard === 0 ? Number.POSITIVE_INFINITY : hard
    session.out.maxBytes = hard === 0 ? MAX_REPLY_BYTES : hard
    if (type === 'replica') this.memory.forget(session)
  }

  /** Several times a second: soft limits, idle clients. */
  tick(now: Millis): void {
    const idleMs = this.server.config.number('timeout') * 1000
    for (const session of this.#sessions.values()) {
      const { type } = session
      if (type === 'replica') continue
      if (this.shrinkIdleMs !== undefined && now - session.lastActiveAt > this.shrinkIdleMs) {
        session.out.shrink(IDLE_REPLY_BYTES)
      }
      this.#checkSoftLimit(session, this.#limits[type], now)
      const mayIdle = type === 'pubsub' || session.parked !== undefined
      if (idleMs > 0 && !mayIdle && now - session.lastActiveAt > idleMs) {
        this.server.log.verbose('Closing idle client')
        session.peer.destroy('idle')
      }
    }
  }

  #checkSoftLimit(session: Session, limit: OutputLimit, now: Millis): void {
    if (limit.softBytes === 0 || session.peer.queuedBytes <= limit.softBytes) {
      session.overSoftLimitSince = undefined
      return
    }
    session.overSoftLimitSince ??= now
    if (now - session.overSoftLimitSince > limit.softSeconds * 1000) session.peer.destroy('output-limit')
  }

  /** One line of CLIENT LIST, field for field as Redis 7.0 prints it. */
  describe(session: Session): string {
    const now = this.server.clock.now()
    const { channel, pattern, shard } = session.subscriptions
    const seconds = (since: Millis): number => Math.floor((now - since) / 1000)
    const held = memoryOf(session)
    const fields: readonly (readonly [string, string | number])[] = [
      ['id', session.id],
      ['addr', session.address],
      ['laddr', session.localAddress],
      ['fd', session.id + 7],
      ['name', session.name],
      ['age', seconds(session.createdAt)],
      ['idle', seconds(session.lastActiveAt)],
      ['flags', flagsOf(session)],
      ['db', session.db],
      ['sub', channel.size],
      ['psub', pattern.size],
      ['ssub', shard.size],
      ['multi', session.transaction?.commands.length ?? -1],
      ['qbuf', held.query],
      ['qbuf-free', held.queryFree],
      ['argv-mem', held.args],
      ['multi-mem', held.multi],
      // What the block has beyond Redis' fixed buffer is what Redis has in its list.
      ['rbs', Math.min(held.replyBlock, REPLY_CHUNK_BYTES)],
      ['rbp', 0],
      ['obl', 0],
      ['oll', held.output > REPLY_CHUNK_BYTES ? Math.ceil(held.output / REPLY_CHUNK_BYTES) : 0],
      ['omem', held.output],
      ['tot-mem', held.total],
      ['events', held.output > 0 ? 'rw' : 'r'],
      ['cmd', session.lastCommand],
      ['user', session.user],
      ['redir', redirectOf(session)],
      ['resp', session.out.resp],
    ]
    return fields.map(([name, value]) => `${name}=${value}`).join(' ')
  }
}

function flagsOf(session: Session): string {
  let flags = ''
  if (session.type === 'replica') flags += session.monitoring ? 'O' : 'S'
  else if (session.monitoring) flags += 'O'
  if (session.subscriptionCount > 0) flags += 'P'
  if (session.transaction !== undefined) flags += 'x'
  if (session.parked !== undefined) flags += 'b'
  if (session.tracking !== undefined) flags += 't'
  if (session.tracking?.brokenRedirect === true) flags += 'R'
  if (session.tracking?.options.bcast === true) flags += 'B'
  if (session.watchBroken) flags += 'd'
  if (session.closing) flags += 'c'
  if (session.noEvict) flags += 'e'
  return flags === '' ? 'N' : flags
}
