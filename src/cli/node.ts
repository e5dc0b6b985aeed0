/**
 * `lagrange node [redis.conf] [--directive value …]`: one Redis-compatible node in this process.
 *
 * Exit codes: 0 it was asked to stop, 1 it could not start, 2 its configuration is wrong.
 */

import { unlinkSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { systemClock } from '../base/clock.js'
import { ConfigMistakes, type Loaded, loadConfig } from '../node/config/load.js'
import { NodeLog, openLog } from '../node/log.js'
import { NodeServer } from '../node/server.js'
import { plainShutdown, type ShutdownFlags } from '../node/shutdown.js'

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
  const loaded = readConfig(argv)
  if (loaded === undefined) return 2
  const write = openLogOf(loaded)
  if (write === undefined) return 2
  const log = new NodeLog(write, systemClock.wall)
  const server = new NodeServer(systemClock, log, loaded, process.cwd())
  try {
    await server.start()
  } catch (error) {
    process.stderr.write(`lagrange node: cannot start: ${(error as Error).message}\n`)
    await server.stop(1)
    return 1
  }
  const forgetPid = writePid(server)
  const forgetSignals = listenToSignals(server)
  const code = await server.stopped
  forgetSignals()
  forgetPid()
  return code
}

function readConfig(argv: readonly string[]): Loaded | undefined {
  try {
    return loadConfig(argv, process.cwd())
  } catch (error) {
    if (!(error instanceof ConfigMistakes)) throw error
    for (const mistake of error.mistakes) process.stderr.write(`lagrange node: ${mistake}\n`)
    return undefined
  }
}

function openLogOf({ config }: Loaded): ((line: string) => void) | undefined {
  const name = config.text('logfile')
  try {
    return openLog(name === '' ? '' : resolve(process.cwd(), config.text('dir'), name))
  } catch (error) {
    process.stderr.write(`lagrange node: logfile: ${(error as Error).message}\n`)
    return undefined
  }
}

/** SIGTERM and SIGINT stop the node as their directives say; a second SIGINT does not wait for anybody. */
function listenToSignals(server: NodeServer): () => void {
  let interrupted = false
  const terminate = (): void => server.shutdown.request(flagsOf(server.config.text('shutdown-on-sigterm')))
  const interrupt = (): void => {
    if (interrupted) process.exit(1)
    interrupted = true
    server.shutdown.request(flagsOf(server.config.text('shutdown-on-sigint')))
  }
  process.on('SIGTERM', terminate)
  process.on('SIGINT', interrupt)
  // Whoever closes the terminal or the pipe of our log does not end us; certificates may have been renewed.
  process.on('SIGHUP', () => void server.doors.reload())
  return () => {
    process.off('SIGTERM', terminate)
    process.off('SIGINT', interrupt)
  }
}

function flagsOf(words: string): ShutdownFlags {
  const set = new Set(words.split(' '))
  const save = set.has('save') ? true : set.has('nosave') ? false : undefined
  return { ...plainShutdown, save, now: set.has('now'), force: set.has('force') }
}

function writePid(server: NodeServer): () => void {
  const name = server.config.text('pidfile')
  if (name === '') return () => undefined
  const path = resolve(process.cwd(), name)
  try {
    writeFileSync(path, `${process.pid}\n`)
  } catch (error) {
    server.log.warning(`Failed to write PID file: ${(error as Error).message}`)
    return () => undefined
  }
  return () => {
    try {
      unlinkSync(path)
    } catch {
      // Somebody was faster.
    }
  }
}
