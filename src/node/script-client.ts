/**
 * The client that a script's commands come from: nobody is connected to it, its replies are read by the script.
 */
import type { Peer } from '../net/peer.js'
import { Encoder } from '../resp/encoder.js'
import type { NodeServer } from './server.js'
import { Session } from './session.js'

export class ScriptClient extends Session {
  readonly #out = new Encoder(2, 4096)

  constructor(server: NodeServer) {
    super(server, 0, server.clock.now())
    this.authenticated = true
    this.mayBlock = false
  }

  override get out(): Encoder {
    return this.#out
  }

  /** There is none; what asks for one reads addresses, or flushes. */
  override get peer(): Peer {
    return noPeer as unknown as Peer
  }

  override get address(): string {
    return 'lua'
  }

  /** As whom, where and in which protocol the next command runs. */
  become(caller: { readonly user?: string }, resp: 2 | 3): void {
    this.user = caller.user ?? 'default'
    this.#out.resp = resp
    this.#out.reset()
  }
}

const noPeer = {
  remoteHost: '',
  remotePort: 0,
  localHost: '',
  localPort: 0,
  closed: false,
  queuedBytes: 0,
  sentBytes: 0,
  flushSoon: (): void => undefined,
  flush: (): void => undefined,
}
