/**
 * Commands that wait say for how long, each in its own place and unit. One that was woken up because its master was
 * demoted (nothing was taken) is sent again with the time that is left.
 */
import type { Bytes, Millis } from '../base/units.js'

/** Commands whose timeout, in seconds, is their first argument; for the others it is the last. */
const FIRST = new Set(['blmpop', 'bzmpop'])
/** Zero means "for ever", so the shortest time there is stands for "none left". */
const SHORTEST_MS = 1

/** The command has `elapsedMs` less to wait; answers false when it waits for ever. */
export function shorten(args: Bytes[], elapsedMs: Millis): boolean {
  const place = timeoutPlace(args)
  if (place === undefined) return false
  const millis = place.unitMs * Number(args[place.at])
  if (!(millis > 0)) return false
  const left = Math.max(SHORTEST_MS, millis - elapsedMs)
  args[place.at] = place.unitMs === 1 ? String(Math.ceil(left)) : (left / 1000).toFixed(3)
  return true
}

function timeoutPlace(args: readonly Bytes[]): { readonly at: number; readonly unitMs: number } | undefined {
  const name = (args[0] ?? '').toLowerCase()
  if (name === 'xread' || name === 'xreadgroup') {
    const at = args.findIndex(arg => arg.toUpperCase() === 'BLOCK') + 1
    return at > 0 && at < args.length ? { at, unitMs: 1 } : undefined
  }
  return { at: FIRST.has(name) ? 1 : args.length - 1, unitMs: 1000 }
}
