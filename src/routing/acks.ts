/**
 * Durability by rule: the reply of a write may wait until others than the master have it.
 *
 *     SET k v ──▶ master ──reply──▶ kept back ──▶ client      once k replicas, or the witness, have as much of the
 *                    └──ROLE: 1000──▶ waits for 1000           stream as covers the write
 *
 * What cannot be confirmed in time was applied none the less: its client is told so (`refuse`), or gets the reply as if
 * nothing had been asked for (`degrade`), which is counted. A write that is refused with NOREPLICAS was not executed.
 */
import type { Bytes, Millis, Offset } from '../base/units.js'
import type { Promises } from '../topology/promises.js'

/** Who must have a write before it is acknowledged: so many replicas, or the witness. */
export type Confirmers = number | 'witness'

export interface Acks {
  readonly of: Confirmers
  readonly timeoutMs: Millis
  /** What a write gets that is not confirmed in time. */
  readonly otherwise: 'refuse' | 'degrade'
}

/** How a write that waited ended: label values. */
export type AckResult =
  | 'confirmed'
  | 'unconfirmed' // answered with UNKNOWNRESULT
  | 'degraded' // answered as if nothing had been asked for
  | 'refused' // not executed: there has been nobody to confirm it for a while

export const ackDefaults = { timeoutMs: 1000, otherwise: 'refuse' } as const

export const NO_REPLICAS = 'NOREPLICAS Not enough good replicas to write.'
export const NO_WITNESS = 'NOREPLICAS The witness does not read the stream of the master, the command was not executed.'

export function refusal({ of }: Acks): Bytes {
  return of === 'witness' ? NO_WITNESS : NO_REPLICAS
}

export function unconfirmed({ of }: Acks): Bytes {
  if (of === 'witness') return 'UNKNOWNRESULT applied, not confirmed by the witness'
  return `UNKNOWNRESULT applied, not confirmed by ${of} ${of === 1 ? 'replica' : 'replicas'}`
}

/** Up to where `count` of those who have applied so much have everything: the offset of the last of the first. */
export function confirmedUpTo(applied: readonly Offset[], count: number): Offset {
  if (count > applied.length) return -1
  return [...applied].sort((a, b) => b - a)[count - 1] ?? -1
}

/** What holds for several commands that are executed as one: the strictest. */
export function strictest(a: Acks | undefined, b: Acks | undefined): Acks | undefined {
  if (a === undefined || b === undefined) return a ?? b
  if (weight(a) !== weight(b)) return weight(a) > weight(b) ? a : b
  if (a.otherwise !== b.otherwise) return a.otherwise === 'refuse' ? a : b
  return a.timeoutMs >= b.timeoutMs ? a : b
}

/** One process that keeps it in memory promises less than a replica. */
function weight({ of }: Acks): number {
  return of === 'witness' ? 0 : of
}

/** What whoever chooses a new master must honour: the least that any write waited for. */
export function promisesOf(rules: readonly { readonly acks?: Acks | undefined }[]): Promises {
  const of = rules.flatMap(({ acks }) => (acks === undefined ? [] : [acks.of]))
  const counts = of.filter(each => each !== 'witness')
  return { replicas: counts.length === 0 ? undefined : Math.min(...counts), witness: of.includes('witness') }
}
