/**
 * A line to an instance, as observer and agent need it: a question, an answer or an error. The real one is a Client; a
 * simulation brings its own.
 */
import type { Address } from '../base/address.js'
import type { Bytes, Millis } from '../base/units.js'
import { Client, type ClientOptions } from '../net/client.js'
import type { Frame } from '../resp/protocol.js'

export interface Line {
  readonly closed: boolean
  send(args: readonly Bytes[], timeoutMs?: Millis): Promise<Frame>
  close(reason?: string): void
}

export type Dial = (address: Address, options: ClientOptions) => Line

export const dialClient: Dial = (address, options) => new Client(address, options)
