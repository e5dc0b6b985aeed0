/**
 * What a handler throws when a call cannot be done: the error text the client gets.
 *
 * The client's mistakes are values, not exceptions, everywhere else in this house. Here they travel as a throw, because
 * every handler reads its arguments first and changes something afterwards: a refusal in between must end the handler,
 * and nothing has been written to the reply or the data yet. It carries no stack and costs about as much as a call.
 */
import type { Bytes } from '../base/units.js'

export class Refusal {
  constructor(readonly text: Bytes) {}
}

export function refuse(text: Bytes): never {
  throw new Refusal(text)
}

export const WRONG_TYPE = new Refusal('WRONGTYPE Operation against a key holding the wrong kind of value')
export const SYNTAX = new Refusal('ERR syntax error')
export const NOT_AN_INTEGER = new Refusal('ERR value is not an integer or out of range')
export const NOT_A_FLOAT = new Refusal('ERR value is not a valid float')
export const NO_SUCH_KEY = new Refusal('ERR no such key')
export const INDEX_OUT_OF_RANGE = new Refusal('ERR index out of range')
export const OVERFLOW = new Refusal('ERR increment or decrement would overflow')
