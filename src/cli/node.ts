/**
 * `lagrange node [redis.conf] [--directive value …]`: one Redis-compatible node in this process.
 *
 * Exit codes: 0 it was asked to stop, 1 it could not start, 2 its configuration is wrong.
 */
import { systemClock } from '../base/clock.js'
import { ConfigMistakes, type Loaded, loadConfig } from '../node/config/load.js'
import { COPY_ENV } from '../node/debugging.js'
import { NodeLog } from '../node/log.js'
import { NodeServer } from '../node/server.js'
import { listenToSignals, openLogOf, writePid } from './server-process.js'

const USAGE = `usage: lagrange node [redis.conf] [--directive value …]

Reads redis.conf syntax; what the command line says wins. All directives of Redis 7.0 are accepted, those without
a meaning here with a warning. For example:

  lagrange node --port 7000 --dir /var/lib/node1
  lagrange node node2.conf --replicaof "127.0.0.1 7000"
`

/** Resolves with the exit code when the node has stopped. */
export async function runNode(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(USAGE)
    return 0
  }
  // As redis-server: the same program, with another mind.
  if (argv.includes('--sentinel')) return (await import('./sentinel.js')).runSentinel(argv)
  const loaded = readConfig(argv)
  if (loaded === undefined) return 2
  const write = openLogOf(loaded)
  if (write === undefined) return 2
  const log = new NodeLog(write, systemClock.wall)
  const server = new NodeServer(systemClock, log, loaded, process.cwd())
  server.program = [process.execPath, ...process.execArgv, process.argv[1] as string, 'node']
  if (process.env[COPY_ENV] !== undefined) process.once('disconnect', () => process.exit(0))
  const forgetSignals = listenToSignals(server)
  let forgetPid = (): void => undefined
  try {
    // A signal may end it while it loads.
    // Whoever gets an answer finds the pid in its file; a start that finds its port taken leaves that of another alone.
    await Promise.race([server.start(() => (forgetPid = writePid(server))), server.stopped])
  } catch (error) {
    forgetPid()
    process.stderr.write(`lagrange node: cannot start: ${(error as Error).message}\n`)
    await server.stop(1)
    return 1
  }
  const code = await server.stopped
  forgetSignals()
  forgetPid()
  return code
}

function readConfig(argv: readonly string[]): Loaded | undefined {
  try {
    const loaded = loadConfig(argv, process.cwd())
    if (loaded.sentinel.length === 0) return loaded
    throw new ConfigMistakes(
      loaded.sentinel.map(({ where }) => `${where}: sentinel directive while not in sentinel mode`),
    )
  } catch (error) {
    if (!(error instanceof ConfigMistakes)) throw error
    for (const mistake of error.mistakes) process.stderr.write(`lagrange node: ${mistake}\n`)
    return undefined
  }
}
