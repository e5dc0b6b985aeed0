/**
 * What answers at the port that a tap on a master announces.
 *
 * Masters tell their sentinels who is attached to them, and sentinels look at everybody they are told of. What they find
 * here is a replica in good health that must never be promoted (priority 0), that is not to be shown to clients
 * (`replica_announced:0`), and that agrees to follow whomever they say. It holds nothing and does nothing.
 */
import { randomBytes } from 'node:crypto'
import { type Address, formatAddress } from '../base/address.js'
import type { Bytes, Offset } from '../base/units.js'
import { type Listener, listen, type Peer } from '../net/peer.js'
import { Decoder } from '../resp/decoder.js'
import { ProtocolError, unauthenticatedLimits } from '../resp/protocol.js'
import { STANDS_IN } from '../topology/facts.js'

/** What it says it has. */
export interface Likeness {
  readonly master: Address
  readonly replid: string
  readonly offset: Offset
}

/** More connections than this are refused: a few sentinels, and whoever looks around. */
const CONNECTIONS_MAX = 64
const QUEUED_BYTES_MAX = 64 * 1024

export class StandIn {
  readonly runId = randomBytes(20).toString('hex')
  readonly #peers = new Set<Peer>()
  #listener: Promise<Listener> | undefined
  /** Whom a sentinel has told it to follow. */
  #follows: Address | undefined

  constructor(private readonly source: () => Likeness) {}

  /** Listens on this address, if it does not yet; answers the port. */
  async announce(localHost: string): Promise<number> {
    this.#listener ??= listen({ host: localHost, port: 0 }, adopt => {
      if (this.#peers.size >= CONNECTIONS_MAX) return
      this.#serve(adopt)
    })
    return (await this.#listener).port
  }

  async close(): Promise<void> {
    for (const peer of this.#peers) peer.destroy('shutdown')
    await (await this.#listener)?.close()
  }

  #serve(adopt: Parameters<Parameters<typeof listen>[1]>[0]): void {
    const decoder = new Decoder({ ...unauthenticatedLimits })
    const queue: Bytes[][] = []
    let queueing = false
    const peer: Peer = adopt(
      {
        onData: chunk => {
          decoder.feed(chunk)
          try {
            while (decoder.nextRequest()) {
              const args = decoder.args()
              const name = (args[0] as Bytes).toLowerCase()
              if (name === 'multi') {
                queueing = true
                peer.out.ok()
              } else if (name === 'exec' && queueing) {
                queueing = false
                peer.out.array(queue.length)
                for (const queued of queue.splice(0)) this.#answer(peer, queued)
              } else if (queueing && queue.length < CONNECTIONS_MAX) {
                queue.push(args)
                peer.out.simple('QUEUED')
              } else this.#answer(peer, args)
            }
          } catch (error) {
            if (!(error instanceof ProtocolError)) throw error
            return peer.destroy('protocol-error')
          }
          decoder.release()
          peer.flushSoon()
        },
        onClose: () => void this.#peers.delete(peer),
      },
      { maxQueuedBytes: QUEUED_BYTES_MAX },
    )
    this.#peers.add(peer)
  }

  #answer({ out }: Peer, args: readonly Bytes[]): void {
    const [name, first, second] = args.map(arg => arg.toLowerCase()) as [Bytes, Bytes?, Bytes?]
    switch (name) {
      case 'ping':
        return out.simple('PONG')
      case 'info':
        return out.bulk(this.#info())
      case 'role': {
        const { master, offset } = this.#likeness
        out.array(5)
        for (const text of ['slave', master.host]) out.bulk(text)
        out.integer(master.port)
        out.bulk('connected')
        return out.integer(offset)
      }
      case 'slaveof':
      case 'replicaof':
        if (first !== undefined && second !== undefined && first !== 'no') this.#follow(first, Number(second))
        return out.ok()
      case 'client':
        return first === 'kill' ? out.integer(0) : out.ok()
      case 'publish':
        return out.integer(0)
      case 'subscribe':
        out.array(3)
        for (const text of ['subscribe', args[1] ?? '']) out.bulk(text)
        return out.integer(1)
      case 'auth':
      case 'config':
      case 'select':
      case 'script':
        return out.ok()
      default:
        return out.error(`ERR unknown command '${name.slice(0, 64)}'`)
    }
  }

  #follow(host: string, port: number): void {
    if (Number.isInteger(port) && port > 0 && port < 65_536) this.#follows = { host, port }
  }

  /** As it is followed; a sentinel that has told another master is told it again. */
  get #likeness(): Likeness {
    const likeness = this.source()
    const { master } = likeness
    if (this.#follows !== undefined && formatAddress(this.#follows) === formatAddress(master)) this.#follows = undefined
    return { ...likeness, master: this.#follows ?? master }
  }

  #info(): string {
    const { master, replid, offset } = this.#likeness
    return [
      '# Server',
      'redis_version:7.0.15',
      `run_id:${this.runId}`,
      '',
      '# Replication',
      'role:slave',
      `master_host:${master.host}`,
      `master_port:${master.port}`,
      'master_link_status:up',
      'master_last_io_seconds_ago:0',
      'master_sync_in_progress:0',
      `slave_repl_offset:${offset}`,
      'slave_priority:0',
      'slave_read_only:1',
      'replica_announced:0',
      'connected_slaves:0',
      `master_replid:${replid}`,
      `master_repl_offset:${offset}`,
      `${STANDS_IN}:1`,
      '',
    ].join('\r\n')
  }
}
