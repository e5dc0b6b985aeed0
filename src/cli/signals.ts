/** How a long-running command is asked to stop, and to read its configuration again. */
import { systemClock } from '../base/clock.js'

/**
 * One request to stop may arrive twice: from the terminal, and from a parent that passes on what it got (npm, timeout).
 * Only what comes later than this was asked again.
 */
const SAME_REQUEST_MS = 500

/**
 * Resolves at the first SIGINT or SIGTERM. Asked again means now: the process ends at once with code 1.
 * SIGHUP calls `reload`.
 */
export function untilAskedToStop(reload: () => void): Promise<NodeJS.Signals> {
  return new Promise(resolve => {
    let askedAt: number | undefined
    const stop = (signal: NodeJS.Signals): void => {
      const now = systemClock.now()
      if (askedAt !== undefined && now - askedAt > SAME_REQUEST_MS) process.exit(1)
      askedAt ??= now
      resolve(signal)
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
    process.on('SIGHUP', reload)
  })
}
