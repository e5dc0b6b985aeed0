/**
 * What `$` stands for in XREAD BLOCK: the last entry of the stream when the command is executed, so that whatever is added
 * later is read. A command that has to be sent again means the same entry still, though others have been added meanwhile.
 *
 *     XREVRANGE key + - COUNT 1 ─▶ id      asked right before the command, on its connection
 *     XREAD BLOCK 0 STREAMS key $
 *     XREAD BLOCK 0 STREAMS key id         when it is sent again
 */
import type { Bytes } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { itemsOf, textOf } from '../resp/protocol.js'
import type { Answer } from './request.js'

/** A connection that questions are asked on. */
export interface Asked {
  ask(bytes: Buffer, answer: Answer): void
}

/** Comes before every entry. */
const FIRST = '0-0'

export class LastIds {
  /** By the key, of the command that was sent last. */
  #ids = new Map<Bytes, Bytes>()

  /** About those that the command names `$`. */
  ask(upstream: Asked, args: readonly Bytes[]): void {
    const ids = new Map<Bytes, Bytes>()
    this.#ids = ids
    for (const { key } of placesOf(args)) {
      upstream.ask(encodeCommand(['XREVRANGE', key, '+', '-', 'COUNT', '1']), answer => {
        const id = lastIdIn(answer)
        if (id !== undefined) ids.set(key, id)
      })
    }
  }

  /** Puts into the command what is known; answers whether anything was. */
  put(args: Bytes[]): boolean {
    let isPut = false
    for (const { key, at } of placesOf(args)) {
      const id = this.#ids.get(key)
      if (id === undefined) continue
      args[at] = id
      isPut = true
    }
    return isPut
  }
}

/** undefined: the key holds something else, or the instance does not say, and will not answer the command either. */
function lastIdIn(answer: Decoder): Bytes | undefined {
  const reply = answer.value()
  if (reply.type !== 'array') return undefined
  return reply.items.length === 0 ? FIRST : textOf(itemsOf(reply.items[0])[0])
}

/** XREAD [COUNT n] [BLOCK ms] STREAMS key … id …: where `$` stands, and for which key. */
function placesOf(args: readonly Bytes[]): { readonly key: Bytes; readonly at: number }[] {
  if (args[0]?.toLowerCase() !== 'xread') return []
  const first = args.findIndex(arg => arg.toUpperCase() === 'STREAMS') + 1
  const count = first === 0 ? 0 : (args.length - first) / 2
  if (!Number.isInteger(count)) return []
  const places: { key: Bytes; at: number }[] = []
  for (let index = 0; index < count; index++) {
    const at = first + count + index
    if (args[at] === '$') places.push({ key: args[first + index] as Bytes, at })
  }
  return places
}
