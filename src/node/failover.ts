/**
 * FAILOVER: a master hands over to one of its replicas, and follows it.
 *
 *     no-failover ──FAILOVER──▶ waiting-for-sync ──the replica has everything──▶ failover-in-progress ──▶ no-failover
 *          ▲                        │ timeout, ABORT, replica gone                    │ refused, ABORT
 *          └────────────────────────┴─────────────────────────────────────────────────┘
 *
 * From the first step on writes are held, so that the offset stands still; whatever goes wrong gives them back.
 */
import { type Address, formatAddress } from '../base/address.js'
import type { Bytes, Millis } from '../base/units.js'
import type { NodeServer } from './server.js'

export interface FailoverRequest {
  readonly to: Address | undefined
  readonly timeoutMs: Millis
  readonly force: boolean
}

export class Failover {
  state: 'no-failover' | 'waiting-for-sync' | 'failover-in-progress' = 'no-failover'
  #request: FailoverRequest | undefined
  #deadline: Millis | undefined

  constructor(private readonly server: NodeServer) {}

  get inProgress(): boolean {
    return this.state === 'failover-in-progress'
  }

  /** Answers why it cannot begin, or undefined when it has begun. */
  begin(request: FailoverRequest): Bytes | undefined {
    const { server } = this
    if (this.state !== 'no-failover') return 'ERR FAILOVER already in progress.'
    if (server.role !== 'master') return 'ERR FAILOVER is not valid when server is a replica.'
    if (server.repl.replicas.size === 0) return 'ERR FAILOVER requires connected replicas.'
    if (request.force && (request.timeoutMs === 0 || request.to === undefined)) {
      return 'ERR FAILOVER with force option requires both a timeout and target HOST and IP.'
    }
    if (request.to !== undefined) {
      const target = this.#find(request.to)
      if (target === undefined) return 'ERR FAILOVER target HOST and PORT is not a replica.'
      if (target.state !== 'online') return 'ERR FAILOVER target replica is not online.'
    }
    const now = server.clock.now()
    this.#request = request
    this.#deadline = request.timeoutMs > 0 ? now + request.timeoutMs : undefined
    this.state = 'waiting-for-sync'
    server.log.notice('FAILOVER requested')
    server.pause.begin('failover', 'write', Number.MAX_SAFE_INTEGER)
    server.repl.getack()
    return undefined
  }

  /** A replica has said how far it is: perhaps it has everything now. */
  acknowledged(): void {
    if (this.state !== 'waiting-for-sync') return
    const offset = this.server.repl.log.offset
    const ready = this.server.repl.list().filter(replica => replica.state === 'online' && replica.ackOffset === offset)
    const wanted = this.#request?.to
    const target = wanted === undefined ? ready[0]?.id : ready.find(({ id }) => id === this.#find(wanted)?.id)?.id
    if (target === undefined) return
    const to = wanted ?? this.#addressOf(target)
    if (to !== undefined) this.#handOver(to)
  }

  tick(): void {
    if (this.state === 'no-failover') return
    const { server } = this
    const over = this.#deadline !== undefined && server.clock.now() >= this.#deadline
    if (!over) {
      if (this.state === 'waiting-for-sync') server.repl.getack()
      return
    }
    if (this.state !== 'waiting-for-sync') return
    const request = this.#request
    if (request?.force === true && request.to !== undefined) {
      server.log.notice(`Failover to ${formatAddress(request.to)} time out exceeded, failing over.`)
      return this.#handOver(request.to)
    }
    this.abort('Failover target did not catch up in time')
  }

  /** The target answered our PSYNC FAILOVER: it is the master now. */
  targetTookOver(): void {
    this.server.log.notice('Failover done: the target is the master now')
    this.#end()
  }

  /** Answers whether there was anything to abort. */
  abort(reason: string): boolean {
    if (this.state === 'no-failover') return false
    const wasHandingOver = this.inProgress
    this.server.log.notice(`${reason}: failover aborted`)
    this.#end()
    if (wasHandingOver) this.server.promote()
    return true
  }

  #handOver(to: Address): void {
    this.state = 'failover-in-progress'
    this.server.follow(to, true, true)
  }

  #end(): void {
    this.state = 'no-failover'
    this.#request = undefined
    this.#deadline = undefined
    this.server.pause.end('failover')
  }

  #find(address: Address): { readonly id: number; readonly state: string } | undefined {
    return this.server.repl.list().find(({ id }) => {
      const found = this.#addressOf(id)
      return found?.host === address.host && found.port === address.port
    })
  }

  #addressOf(id: number): Address | undefined {
    const { repl } = this.server
    const session = repl.sessionOf(id)
    if (session === undefined) return undefined
    const profile = repl.replicas.profileOf(id)
    return {
      host: profile.ipAddress ?? session.peer.remoteHost.replace(/^::ffff:/, ''),
      port: profile.listeningPort,
    }
  }
}
