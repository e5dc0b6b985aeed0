/**
 * What a node and a sentinel share as processes: where the log goes, which signals end them, the file with their id.
 */
import { unlinkSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Loaded } from '../node/config/load.js'
import { openLog } from '../node/log.js'
import type { NodeServer } from '../node/server.js'
import { plainShutdown, type ShutdownFlags } from '../node/shutdown.js'

export function openLogOf({ config }: Loaded, program = 'node'): ((line: string) => void) | undefined {
  const name = config.text('logfile')
  try {
    return openLog(name === '' ? '' : resolve(process.cwd(), config.text('dir'), name))
  } catch (error) {
    process.stderr.write(`lagrange ${program}: logfile: ${(error as Error).message}\n`)
    return undefined
  }
}

/** SIGTERM and SIGINT stop the node as their directives say; SIGINT while it stops does not wait for anybody. */
export function listenToSignals(server: NodeServer): () => void {
  const terminate = (): void => server.shutdown.request(flagsOf(server.config.text('shutdown-on-sigterm')))
  const interrupt = (): void => {
    if (server.shutdown.underWay) {
      server.log.warning('You insist... exiting now.')
      server.snapshots.removeTemps()
      process.exit(1)
    }
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

export function writePid(server: NodeServer): () => void {
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
