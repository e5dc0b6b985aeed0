/**
 * How much V8 lets pile up before it looks for garbage among what is new (`--semi-space-growth-factor` and its neighbours).
 *
 * By default it starts with 1 MiB and goes up to 16 as soon as much of it survives. Two things are at odds there:
 *
 *     what commands leave behind     is garbage at once: a collection costs the same however much of it there is, so few of them
 *     a data set that is coming in   survives, and is copied while everybody waits: tens of milliseconds for 16 MiB
 *
 * So it is 2 MiB, always, and who takes in a data set asks for a collection after each portion (`collectYoung`). And one
 * thread does it: for so little, the waking of helpers takes many times what they do (INCR at P 16: 1 ms a collection with
 * them, 0.2 without).
 */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Millis } from './units.js'

const SIZE_BYTES = 2 * 1024 * 1024
/** After an idle time V8 makes it small again. */
const LOOK_EVERY_MS: Millis = 1000
/** Filling it takes this many pieces at most. */
const PIECE_WORDS = 2048
const PIECES_MAX = 1024

type Collect = (options: { type: 'minor' }) => void
let collect: Collect | undefined

/** To be called before anything is loaded: what has grown does not shrink by asking. */
export function sizeYoungGeneration(): void {
  setFlagsFromString('--no-parallel-scavenge')
  allowGrowth()
  // It grows when as much as it can hold has survived.
  const survivors: unknown[] = []
  while (capacity() < SIZE_BYTES * 0.9 && survivors.length < PIECES_MAX) survivors.push(new Array(PIECE_WORDS).fill(0))
  allowGrowth()
  setInterval(allowGrowth, LOOK_EVERY_MS).unref()
}

/** What is new and still in use is moved to what is old, in a time that its amount decides. */
export function collectYoung(): void {
  collect ??= exposed()
  collect({ type: 'minor' })
}

/** From what it is to what it shall be, and no further. */
function allowGrowth(): void {
  setFlagsFromString(`--semi-space-growth-factor=${Math.max(1, Math.round(SIZE_BYTES / capacity()))}`)
}

function capacity(): number {
  const space = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
  return space === undefined ? SIZE_BYTES : space.space_used_size + space.space_available_size
}

function exposed(): Collect {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as Collect
}
