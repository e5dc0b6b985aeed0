/**
 * `lagrange up` and `lagrange proxy` as processes, built from this checkout, on free ports and a folder of their own. They
 * are stopped with the test that started them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { Client, type ClientOptions } from '../../src/net/client.js'
import { freePort, freePorts } from './ports.js'
import { until } from './redis-group.js'

/** Another build may be tested: LAGRANGE_PROGRAM is the path of its main.js. */
export const main = process.env.LAGRANGE_PROGRAM ?? fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export interface Lagrange {
  readonly port: number
  readonly adminPort: number
  readonly nodePorts: readonly number[]
  readonly dataDir: string
  readonly process: ChildProcess
  /** Everything it wrote. */
  readonly output: () => string
  /** SIGTERM, or another signal; answers the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** Runs a command to its end. */
export async function lagrange(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  let out = ''
  let err = ''
  child.stdout.on('data', chunk => (out += chunk))
  child.stderr.on('data', chunk => (err += chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, out, err }
}

export interface UpOptions {
  readonly replicas?: number
  readonly dataDir?: string
  readonly args?: readonly string[]
  readonly ports?: Pick<Lagrange, 'port' | 'adminPort' | 'nodePorts'>
}

/** Starts a whole group and waits until `/readyz` says 200. */
export async function startUp(options: UpOptions = {}): Promise<Lagrange> {
  const replicas = options.replicas ?? 2
  const dataDir = options.dataDir ?? temporaryFolder()
  const nodePort = options.ports?.nodePorts[0] ?? (await freePorts(replicas + 1))
  const port = options.ports?.port ?? (await freePort())
  const adminPort = options.ports?.adminPort ?? (await freePort())
  const started = start(
    [
      'up',
      '--port',
      `${port}`,
      '--node-port',
      `${nodePort}`,
      '--replicas',
      `${replicas}`,
      '--admin-port',
      `${adminPort}`,
      '--data-dir',
      dataDir,
      '--log-format',
      'json',
      ...(options.args ?? []),
    ],
    { port, adminPort, dataDir, nodePorts: Array.from({ length: replicas + 1 }, (_, index) => nodePort + index) },
  )
  await untilReady(started)
  return started
}

/** Runs a node or a sentinel until it is stopped or the test is over; resolves when it answers at `port`. */
export async function startProgram(
  args: readonly string[],
  port: number,
  env: Record<string, string> = {},
): Promise<Lagrange> {
  const started = start(args, { port, adminPort: 0, dataDir: '', nodePorts: [] }, env)
  await until(`an answer at ${port}`, async () => {
    if (started.process.exitCode !== null) throw new Error(`ended: ${started.output()}`)
    const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 500, replyTimeoutMs: 500 })
    const answer = await client.call('PING').catch(() => undefined)
    client.close()
    return answer !== undefined
  })
  return started
}

/** Starts a proxy in front of `upstreams` and waits until `/readyz` says 200. */
export async function startProxy(upstreams: readonly string[], ...args: string[]): Promise<Lagrange> {
  const started = await launchProxy(upstreams, ...args)
  await untilReady(started)
  return started
}

/** Starts a proxy that is told everything by a file, and waits until `/readyz` says 200. */
export async function startConfigured(file: string, port: number, adminPort: number): Promise<Lagrange> {
  const started = start(['proxy', '-c', file, '--admin', `127.0.0.1:${adminPort}`, '--log-format', 'json'], {
    port,
    adminPort,
    dataDir: '',
    nodePorts: [],
  })
  await untilReady(started)
  return started
}

/** The same, and waits for nothing: what it says while it cannot serve is of interest. */
export async function launchProxy(upstreams: readonly string[], ...args: string[]): Promise<Lagrange> {
  const port = await freePort()
  const adminPort = await freePort()
  return start(
    [
      'proxy',
      '--listen',
      `127.0.0.1:${port}`,
      '--upstream',
      upstreams.join(','),
      '--admin',
      `127.0.0.1:${adminPort}`,
      '--log-format',
      'json',
      ...args,
    ],
    { port, adminPort, dataDir: '', nodePorts: [] },
  )
}

function start(
  args: readonly string[],
  facts: Pick<Lagrange, 'port' | 'adminPort' | 'nodePorts' | 'dataDir'>,
  env: Record<string, string> = {},
): Lagrange {
  if (!existsSync(main)) throw new Error('dist/ is missing: npm run build')
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    const exited = once(child, 'exit')
    child.kill(signal)
    const killer = setTimeout(() => child.kill('SIGKILL'), 30_000)
    const [code] = (await exited) as [number | null]
    clearTimeout(killer)
    return code
  }
  onTestFinished(async () => {
    await stop()
  })
  return { ...facts, process: child, output: () => output, stop }
}

async function untilReady(running: Lagrange): Promise<void> {
  await until(
    `/readyz of ${running.adminPort}`,
    async () => {
      if (running.process.exitCode !== null)
        throw new Error(`ended with ${running.process.exitCode}: ${running.output()}`)
      await sleep(20)
      return (await readyz(running.adminPort)).status === 200
    },
    30_000,
  ).catch(error => {
    throw new Error(`${(error as Error).message}\n${running.output().slice(-4000)}`)
  })
}

/** Status and reasons of `/readyz`; status 0 when nobody answers. */
export async function readyz(adminPort: number): Promise<{ status: number; reasons: readonly string[] }> {
  try {
    const reply = await fetch(`http://127.0.0.1:${adminPort}/readyz`)
    return { status: reply.status, reasons: ((await reply.json()) as { reasons?: string[] }).reasons ?? [] }
  } catch {
    return { status: 0, reasons: [] }
  }
}

export async function metricsOf(adminPort: number): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
  const values = new Map<string, number>()
  for (const line of text.split('\n')) {
    const match = /^(\w+(?:\{.*\})?) (\S+)$/.exec(line)
    if (match !== null) values.set(match[1] as string, Number(match[2]))
  }
  return values
}

/** The sum over all series of a family whose labels contain all of `labels` (`command="get"`). */
export function sumOf(metrics: ReadonlyMap<string, number>, name: string, ...labels: readonly string[]): number {
  let sum = 0
  for (const [series, value] of metrics) {
    if ((series === name || series.startsWith(`${name}{`)) && labels.every(label => series.includes(label)))
      sum += value
  }
  return sum
}

/** A client that closes with the test. */
export function clientOf(port: number, options: Partial<ClientOptions> = {}): Client {
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 10_000, ...options })
  onTestFinished(() => client.close())
  return client
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lagrange-up-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
