/**
 * How much V8 lets pile up before it looks for garbage among what is new.
 *
 * It starts with 1 MiB and goes up to 16 as soon as much of it survives, for fewer collections. But what survives is copied
 * while everybody waits: with a data set that is coming in, all of it, tens of milliseconds at a time (a full copy of a million
 * keys: 13 of them with 16 MiB, each three to five times as long as the longest with 1 MiB). Most of what commands leave behind
 * is garbage at once, and costs the same however often it is collected.
 *
 * To be called before anything is loaded: what has grown stays.
 */
import { setFlagsFromString } from 'node:v8'

export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
