/**
 * Servers for tests of the node: ours in this process, and redis-server as a process, both on free ports of 127.0.0.1 with
 * a folder of their own. They end with the test that started them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type Clock, systemClock } from '../../src/base/clock.js'
import { Client } from '../../src/net/client.js'
import { loadConfig } from '../../src/node/config/load.js'
import { NodeLog } from '../../src/node/log.js'
import { NodeServer } from '../../src/node/server.js'
import { type Frame, itemsOf, textOf } from '../../src/resp/protocol.js'
import { freePort } from './ports.js'

export interface TestServer {
  readonly kind: 'ours' | 'redis'
  readonly port: number
  readonly dir: string
  /** What it has logged. */
  readonly log: () => string
  /** A connection of its own, closed with the test. `onPush` gets what comes unasked. */
  client(onPush?: (frame: Frame) => void): Client
  /** On a connection that stays open; error replies are frames. */
  call(...args: string[]): Promise<Frame>
  /** SIGTERM's way to stop; the folder stays until the test ends. */
  stop(): Promise<void>
}

export interface TestNode extends TestServer {
  readonly server: NodeServer
}

export interface ServerOptions {
  /** `--directive value …` */
  readonly args?: readonly string[]
  readonly port?: number
  /** A folder to go on with; otherwise a new one. */
  readonly dir?: string
  /** Of our node; otherwise the machine's. */
  readonly clock?: Clock
}

const always = ['--enable-debug-command', 'yes', '--repl-diskless-sync-delay', '0']

export async function startNode(options: ServerOptions = {}): Promise<TestNode> {
  const dir = options.dir ?? folder()
  const port = options.port ?? (await freePort())
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', ...always, ...(options.args ?? [])]
  const lines: string[] = []
  const clock = options.clock ?? systemClock
  const server = new NodeServer(clock, new NodeLog(line => lines.push(line), clock.wall), loadConfig(args, dir), dir)
  await server.start()
  let stopped = false
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    server.shutdown.begin({ save: undefined, now: true, force: true })
    await server.stopped
  }
  onTestFinished(stop)
  return { server, ...serverOf('ours', port, dir, () => lines.join(''), stop) }
}

export async function startRedisServer(program: string, options: ServerOptions = {}): Promise<TestServer> {
  const dir = options.dir ?? folder()
  const port = options.port ?? (await freePort())
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir]
  const child = spawn(program, [...args, ...always, ...(options.args ?? [])], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  await new Promise<void>((ready, refuse) => {
    child.once('error', refuse)
    child.once('exit', code => refuse(new Error(`redis-server ended with ${code}: ${output}`)))
    child.stdout.on('data', chunk => {
      output += chunk
      if (output.includes('eady to accept')) ready()
    })
  })
  const stop = (): Promise<void> => end(child)
  onTestFinished(stop)
  return serverOf('redis', port, dir, () => output, stop)
}

function serverOf(
  kind: TestServer['kind'],
  port: number,
  dir: string,
  log: () => string,
  stop: () => Promise<void>,
): TestServer {
  const open = (onPush: (frame: Frame) => void = () => undefined): Client => {
    const options = { connectTimeoutMs: 2000, replyTimeoutMs: 20_000, onPush }
    const client = new Client({ host: '127.0.0.1', port }, options)
    onTestFinished(() => client.close())
    return client
  }
  let shared: Client | undefined
  return {
    kind,
    port,
    dir,
    log,
    stop,
    client: open,
    call(...args) {
      if (shared === undefined || shared.closed) shared = open()
      return shared.send(args)
    },
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'lagrange-node-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** The fields of INFO, all sections. */
export async function infoOf(server: TestServer, section = 'everything'): Promise<Record<string, string>> {
  return fieldsOf(textOf(await server.call('INFO', section)) ?? '')
}

/** The text of INFO, as fields. */
export function fieldsOf(text: string): Record<string, string> {
  const pairs = text.split('\r\n').filter(line => line.includes(':') && !line.startsWith('#'))
  return Object.fromEntries(pairs.map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]))
}

/** A frame as plain values, for comparing. */
export function plain(frame: Frame): unknown {
  if ('items' in frame) return itemsOf(frame).map(plain)
  if (frame.type === 'null') return null
  return frame.type === 'error' ? `-${frame.value}` : frame.value
}
