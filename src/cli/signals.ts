/** How a long-running command is asked to stop, and to read its configuration again. */

/**
 * Resolves at the first SIGINT or SIGTERM. A second one means now: the process ends at once with code 1.
 * SIGHUP calls `reload`.
 */
export function untilAskedToStop(reload: () => void): Promise<NodeJS.Signals> {
  return new Promise(resolve => {
    let asked = false
    const stop = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(1)
      asked = true
      resolve(signal)
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
    process.on('SIGHUP', reload)
  })
}
