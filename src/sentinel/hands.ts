/**
 * The agent's own connections, one per instance and kept open, apart from the probes': an order must not wait behind a
 * question, and a switch must not begin with a handshake.
 */
import type { Address } from '../base/address.js'
import { formatAddress } from '../base/address.js'
import type { Millis } from '../base/units.js'
import type { Credentials } from '../net/client.js'
import { type Dial, dialClient, type Line } from '../observer/line.js'
import type { Frame } from '../resp/protocol.js'

export class Hands {
  readonly #clients = new Map<string, Line>()

  constructor(
    private readonly options: Credentials & { readonly connectTimeoutMs: Millis },
    private readonly dial: Dial = dialClient,
  ) {}

  /** Opens a connection ahead of time. */
  prepare(address: Address): void {
    this.#client(address)
  }

  /**
   * Sends the commands in one write and answers their replies, error replies included. Throws ConnectionError when a
   * reply is missing: what was sent may have been executed, then.
   */
  run(address: Address, commands: readonly (readonly string[])[], timeoutMs: Millis): Promise<readonly Frame[]> {
    const client = this.#client(address)
    return Promise.all(commands.map(command => client.send(command, timeoutMs)))
  }

  /** A connection for one purpose; whoever asks closes it. */
  open(address: Address, name: string): Line {
    return this.dial(address, { ...this.options, replyTimeoutMs: 0, name })
  }

  /** Forgets connections to instances that are gone. */
  keep(ids: ReadonlySet<string>): void {
    for (const [id, client] of this.#clients) {
      if (ids.has(id)) continue
      this.#clients.delete(id)
      client.close('forgotten')
    }
  }

  close(): void {
    this.keep(new Set())
  }

  #client(address: Address): Line {
    const id = formatAddress(address)
    const open = this.#clients.get(id)
    if (open !== undefined && !open.closed) return open
    const client = this.dial(address, { ...this.options, replyTimeoutMs: 0, name: 'lagrange-agent' })
    this.#clients.set(id, client)
    return client
  }
}
