/**
 * What the agent says to instances. Every reply is an observation like any other, and goes to the observer first.
 */
import type { Address } from '../base/address.js'
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import { InvariantError } from '../base/invariant.js'
import type { Millis } from '../base/units.js'
import { ConnectionError } from '../net/client.js'
import type { Line } from '../observer/line.js'
import type { Observer } from '../observer/observer.js'
import { infoOf } from '../observer/probe.js'
import type { Frame } from '../resp/protocol.js'
import type { InfoReply, Resyncs } from '../topology/facts.js'
import { isUp } from '../topology/group.js'
import { lineageOf } from '../topology/lineage.js'
import type { Promotion } from '../topology/operation.js'
import type { Hands } from './hands.js'

/** For a reply; afterwards it is unknown whether the order was executed. */
const ORDER_TIMEOUT_MS: Millis = 1000
/** Asking a candidate that is catching up again and again: not faster than this. */
const ASK_GAP_MS: Millis = 0.5

/** The instance answered with an error: what was ordered did not happen. */
export class RefusedOrder extends Error {
  override readonly name = 'RefusedOrder'
}

export class Orders {
  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly observer: Observer,
    private readonly hands: Hands,
  ) {}

  async ask(id: string, timeoutMs: Millis = ORDER_TIMEOUT_MS): Promise<InfoReply> {
    const [info] = await this.#run(id, [['INFO', 'replication']], timeoutMs)
    return this.#learn(id, info)
  }

  async askAgain(id: string, afterMs: Millis = ASK_GAP_MS): Promise<InfoReply> {
    await new Promise<void>(resume => this.clock.after(afterMs, resume))
    return this.ask(id)
  }

  /** CLIENT PAUSE for writers that bypass us. A server that cannot pause is switched without. */
  async pause(id: string, timeoutMs: Millis): Promise<InfoReply> {
    const pause = ['CLIENT', 'PAUSE', String(Math.ceil(timeoutMs)), 'WRITE']
    const [paused, info] = await this.#run(id, [pause, ['INFO', 'replication']])
    if (paused?.type === 'error') this.events.event('warn', '-pause-refused', { node: id, reason: paused.value })
    return this.#learn(id, info)
  }

  /** Best effort: a pause ends by itself. */
  unpause(id: string): void {
    this.#run(id, [['CLIENT', 'UNPAUSE']]).catch(() => undefined)
  }

  /** Its own words after the order are the confirmation; nobody waits for the next probe. */
  async promote(id: string): Promise<Promotion> {
    const [ok, reply] = await this.#run(id, [
      ['REPLICAOF', 'NO', 'ONE'],
      ['INFO', 'replication'],
    ])
    if (ok?.type === 'error') throw new RefusedOrder(ok.value)
    const info = this.#learn(id, reply)
    const lineage = lineageOf(info)
    if (info.role !== 'master' || lineage === undefined) throw new ConnectionError('not-confirmed')
    this.events.event('info', '+promoted-slave', { group: this.observer.name, node: id, replid: lineage.replid })
    return { lineage, runId: this.observer.instance(id)?.runId, offset: info.offset ?? 0 }
  }

  /** A connection of its own to this instance, for more than orders. */
  connect(id: string, name: string): Line {
    const address = this.observer.instance(id)?.address
    if (address === undefined) throw new RefusedOrder(`${id} is unknown`)
    return this.hands.open(address, name)
  }

  async point(id: string, to: string): Promise<void> {
    this.events.event('info', '+slave-reconf-sent', { group: this.observer.name, node: id, master: to })
    await this.replicaOf(id, to)
  }

  async replicaOf(id: string, to: string): Promise<InfoReply> {
    const address = this.observer.instance(to)?.address
    if (address === undefined) throw new RefusedOrder(`${to} is unknown`)
    return this.replicaOfAddress(id, address)
  }

  async replicaOfAddress(id: string, address: Address): Promise<InfoReply> {
    const [ok, info] = await this.#run(id, [
      ['REPLICAOF', address.host, String(address.port)],
      ['INFO', 'replication'],
    ])
    if (ok?.type === 'error') throw new RefusedOrder(ok.value)
    return this.#learn(id, info)
  }

  /** How many resyncs it has served since `before`; undefined when it does not tell. */
  async resyncsSince(id: string, before: Resyncs): Promise<{ full: number; partial: number } | undefined> {
    try {
      const [reply] = await this.#run(id, [['INFO']])
      const after = this.#learn(id, reply).resyncs
      return after && { full: after.full - before.full, partial: after.partial - before.partial }
    } catch (error) {
      if (error instanceof ConnectionError) return undefined
      throw error
    }
  }

  /** As Sentinel does: who is started again shall be what it is now. Without a configuration file it answers an error. */
  rewriteConfigs(): void {
    const now = this.clock.now()
    for (const instance of this.observer.facts) {
      if (isUp(instance, this.observer.judgeOptions, now)) {
        this.#run(instance.id, [['CONFIG', 'REWRITE']]).catch(() => undefined)
      }
    }
  }

  #run(
    id: string,
    commands: readonly (readonly string[])[],
    timeoutMs: Millis = ORDER_TIMEOUT_MS,
  ): Promise<readonly Frame[]> {
    const address = this.observer.instance(id)?.address
    if (address === undefined) return Promise.reject(new RefusedOrder(`${id} is unknown`))
    return this.hands.run(address, commands, timeoutMs)
  }

  #learn(id: string, frame: Frame | undefined): InfoReply {
    const info = frame && infoOf(frame)
    if (info === undefined) throw new ConnectionError('no-info')
    this.observer.observe(id, { type: 'info', info })
    return info
  }
}

/** `certain`: it did not happen. Faults of ours are not explained away. */
export function explain(error: unknown): { readonly certain: boolean; readonly reason: string } {
  if (error instanceof RefusedOrder) return { certain: true, reason: error.message }
  if (error instanceof ConnectionError) return { certain: false, reason: error.reason }
  if (error instanceof InvariantError || !(error instanceof Error)) throw error
  return { certain: false, reason: error.message }
}
