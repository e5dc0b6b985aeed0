/**
 * The words of RESP2 and RESP3 (redis.io/docs/reference/protocol-spec), shared by the decoder and the encoder.
 */
import type { Bytes } from '../base/units.js'

/** The peer broke the protocol. Caught at the session; ends that connection only. The message has Redis' own words. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

/** What a peer may make us hold. Nothing is ever allocated by a declared size: memory grows as bytes arrive. */
export interface Limits {
  /** Arguments of a request, items of one aggregate of a reply. */
  count: number
  /** Bytes of one bulk. */
  bulk: number
  /** Bytes of an inline request, a status or an error line. */
  line: number
  /** How deep aggregates may nest. */
  depth: number
}

/** Redis' limits (`proto-max-bulk-len`, PROTO_INLINE_MAX_SIZE, one million arguments). */
export const requestLimits: Readonly<Limits> = {
  count: 1024 * 1024,
  bulk: 512 * 1024 * 1024,
  line: 64 * 1024,
  depth: 1,
}

/** What a client may send before it has authenticated (Redis' own figures, CVE-2021-32675). */
export const unauthenticatedLimits: Readonly<Limits> = { count: 10, bulk: 16 * 1024, line: 64 * 1024, depth: 1 }

/** What an upstream may answer; frames are scanned without allocation, so the count may be large. */
export const replyLimits: Readonly<Limits> = { count: 2 ** 32, bulk: 512 * 1024 * 1024, line: 64 * 1024, depth: 64 }

/** One decoded value. Bytes are latin1 text: one character per byte. */
export type Frame =
  | { readonly type: 'simple'; readonly value: Bytes }
  | { readonly type: 'error'; readonly value: Bytes }
  | { readonly type: 'integer'; readonly value: number | bigint }
  | { readonly type: 'bulk'; readonly value: Bytes }
  | { readonly type: 'null' }
  | { readonly type: 'array'; readonly items: readonly Frame[] }
  | { readonly type: 'set'; readonly items: readonly Frame[] }
  | { readonly type: 'push'; readonly items: readonly Frame[] }
  /** Keys and values in turn. */
  | { readonly type: 'map'; readonly items: readonly Frame[] }
  | { readonly type: 'double'; readonly value: number }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'bignum'; readonly value: bigint }
  | { readonly type: 'verbatim'; readonly format: string; readonly value: Bytes }

/** The text of a frame that is text (bulk, status, verbatim); undefined for all others. */
export function textOf(frame: Frame | undefined): Bytes | undefined {
  if (frame === undefined) return undefined
  return frame.type === 'bulk' || frame.type === 'simple' || frame.type === 'verbatim' ? frame.value : undefined
}

/** The number in an integer frame, or in text that spells one; undefined for all others. */
export function numberOf(frame: Frame | undefined): number | undefined {
  if (frame === undefined) return undefined
  if (frame.type === 'integer' || frame.type === 'double') return Number(frame.value)
  const text = textOf(frame)
  return text !== undefined && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : undefined
}

/** The items of an aggregate; empty for everything else. */
export function itemsOf(frame: Frame | undefined): readonly Frame[] {
  return frame !== undefined && 'items' in frame ? frame.items : []
}
