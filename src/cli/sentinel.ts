/**
 * `lagrange sentinel sentinel.conf [--directive value …]`, which is also `lagrange node sentinel.conf --sentinel`: the door
 * of a node with a watcher behind it. The configuration file is its memory, so there must be one, and it must be writable.
 *
 * Exit codes: 0 it was asked to stop, 1 it could not start, 2 its configuration is wrong.
 */
import { accessSync, constants } from 'node:fs'
import { resolve } from 'node:path'
import { type Clock, systemClock } from '../base/clock.js'
import { sentinelTable } from '../command/sentinel-table.js'
import { ConfigMistakes, type Loaded, loadConfig } from '../node/config/load.js'
import { rewriteConfig, SIGNATURE } from '../node/config/rewrite.js'
import type { NodeCommands, NodeHandler } from '../node/dispatch.js'
import { renderInfo } from '../node/info.js'
import { NodeLog } from '../node/log.js'
import type { ServerMode } from '../node/mode.js'
import { NodeServer } from '../node/server.js'
import { type SentinelHandler, sentinelHandlers } from '../sentinel/server/commands.js'
import { sentinelInfo } from '../sentinel/server/info.js'
import { Keeper } from '../sentinel/server/keeper.js'
import { reportSentinel } from '../sentinel/server/metrics.js'
import { type Voice, Watcher } from '../sentinel/server/watcher.js'
import { placeSentinelLines, readSentinelLines, sentinelLines } from '../topology/quorum/conf.js'
import { HELLO_CHANNEL } from '../topology/quorum/hello.js'
import { listenToSignals, openLogOf, writePid } from './server-process.js'

const USAGE = `usage: lagrange sentinel sentinel.conf [--directive value …]

Reads sentinel.conf syntax, and remembers in that file what it learns. For example:

  port 26379
  sentinel monitor mymaster 127.0.0.1 6379 2
  sentinel down-after-milliseconds mymaster 5000
`

/** Where a sentinel listens, and that it must be reachable by the others. */
const DEFAULTS = { port: 26379, 'protected-mode': false } as const

/** Resolves with the exit code when the sentinel has stopped. */
export async function runSentinel(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(USAGE)
    return 0
  }
  const loaded = readConfig(argv.filter(word => word !== '--sentinel'))
  if (loaded === undefined) return 2
  const file = memoryOf(loaded)
  if (file === undefined) return 1
  const write = openLogOf(loaded, 'sentinel')
  if (write === undefined) return 2

  const log = new NodeLog(write, systemClock.wall)
  log.role = 'X'
  const keeper = new Keeper(file, old => rewritten(old))
  const rewritten = (old: string): string => {
    const directives = rewriteConfig(old, server.config, server.acl.configLines())
    return placeSentinelLines(directives, sentinelLines(watcher.council), SIGNATURE)
  }
  const voice: Voice = {
    log: (level, text) => log[level](text),
    publish: (channel, message) => void server.pubsub.publish(channel, message),
  }
  const watcher = new Watcher(systemClock, {
    voice,
    save: () => keeper.save(),
    failure: () => keeper.failure,
    ownPassword: () => server.config.text('requirepass'),
    ownPort: () => server.port,
    dir: resolve(process.cwd(), loaded.config.text('dir')),
    crash: () => process.exit(99),
  })
  const mode: ServerMode = {
    name: 'sentinel',
    table: sentinelTable,
    commands: commandsOf(watcher),
    info: () => infoText(watcher, server, []),
    report: metrics => reportSentinel(watcher, metrics),
  }
  const server: NodeServer = new NodeServer(systemClock, log, loaded, process.cwd(), mode)
  // A sentinel's directives beside its own lines are few; what a node would save, it does not have.
  server.config.put('save', '')

  if (!(await learn(watcher, loaded, systemClock))) return 2
  if (watcher.council.myid === '') watcher.council.myid = server.randomHex(20)
  try {
    await server.start()
  } catch (error) {
    process.stderr.write(`lagrange sentinel: cannot start: ${(error as Error).message}\n`)
    await server.stop(1)
    return 1
  }
  const forgetPid = writePid(server)
  const forgetSignals = listenToSignals(server)
  watcher.council.save()
  watcher.start()
  const code = await server.stopped
  watcher.stop()
  forgetSignals()
  forgetPid()
  return code
}

function readConfig(argv: readonly string[]): Loaded | undefined {
  try {
    return loadConfig(argv, process.cwd(), DEFAULTS)
  } catch (error) {
    if (!(error instanceof ConfigMistakes)) throw error
    for (const mistake of error.mistakes) process.stderr.write(`lagrange sentinel: ${mistake}\n`)
    return undefined
  }
}

function memoryOf({ file }: Loaded): string | undefined {
  if (file === undefined) {
    process.stderr.write('lagrange sentinel: needs a configuration file: it is where votes and epochs are kept\n')
    return undefined
  }
  try {
    accessSync(file, constants.W_OK)
    return file
  } catch (error) {
    process.stderr.write(`lagrange sentinel: ${file} is not writable: ${(error as Error).message}\n`)
    return undefined
  }
}

/** What the file says of masters, peers and epochs. Names in it are looked up first, as deciding does not wait. */
async function learn(watcher: Watcher, { sentinel }: Loaded, clock: Clock): Promise<boolean> {
  const resolves = sentinel.some(
    ({ words }) => /^resolve-hostnames$/i.test(words[0] ?? '') && /^yes$/i.test(words[1] ?? ''),
  )
  const named = sentinel.filter(({ words }) => /^(monitor|known-(replica|slave|sentinel))$/i.test(words[0] ?? ''))
  if (resolves) await Promise.all(named.map(({ words }) => watcher.names.find(words[2] ?? '')))
  const mistakes = readSentinelLines(watcher.council, sentinel, watcher, clock.now())
  for (const mistake of mistakes) process.stderr.write(`lagrange sentinel: ${mistake}\n`)
  watcher.council.drain()
  return mistakes.length === 0
}

// ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────────

const INFO_SECTIONS = ['server', 'clients', 'cpu', 'stats']

function commandsOf(watcher: Watcher): NodeCommands {
  const commands: Record<string, NodeHandler> = {
    info(_session, args, reply, server) {
      reply.verbatim('txt', infoText(watcher, server, args.slice(1)))
    },
    role(_session, _args, reply) {
      const names = [...watcher.council.masters.keys()]
      reply.array(2)
      reply.bulk('sentinel')
      reply.array(names.length)
      for (const name of names) reply.bulk(name)
    },
    publish(_session, args, reply) {
      if (args[1] !== HELLO_CHANNEL) {
        return reply.error('ERR Only HELLO messages are accepted by Sentinel instances.')
      }
      watcher.quorum.hello(args[2] as string, watcher.clock.now())
      reply.integer(1)
      watcher.perform()
    },
  }
  for (const [name, handler] of Object.entries(sentinelHandlers)) commands[name] = served(watcher, handler)
  return commands
}

/** The answer is written, then what was decided is done. Who needs time keeps its session waiting. */
function served(watcher: Watcher, handler: SentinelHandler): NodeHandler {
  return (session, args, reply) => {
    const later = handler(watcher, args, reply)
    if (later === undefined) return watcher.perform()
    session.parked = { on: 'answer' }
    void later.then(() => {
      if (session.peer.closed) return
      session.peer.flushSoon()
      session.unpark()
      watcher.perform()
    })
  }
}

/** Sections that a sentinel does not have are left out without a word. */
function infoText(watcher: Watcher, server: NodeServer, wanted: readonly string[]): string {
  const words = wanted.map(word => word.toLowerCase())
  const all = words.length === 0 || words.some(word => ['default', 'all', 'everything'].includes(word))
  const sections = all ? INFO_SECTIONS : INFO_SECTIONS.filter(name => words.includes(name))
  const common = sections.length === 0 ? '' : renderInfo(server, sections)
  const own = all || words.includes('sentinel') ? sentinelInfo(watcher) : ''
  return [common, own].filter(part => part !== '').join('\r\n')
}
