/**
 * Sentinels as processes, ours and redis-sentinel, on free ports and in folders of their own, around one master.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from '../../src/net/client.js'
import { type Frame, itemsOf, textOf } from '../../src/resp/protocol.js'
import { freePort } from './ports.js'
import { until } from './redis-group.js'

const main = process.env.LAGRANGE_PROGRAM ?? fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export type SentinelKind = 'ours' | 'real'

export interface SentinelSettings {
  readonly masterPort: number
  readonly quorum: number
  readonly downAfterMs: number
  readonly failoverTimeoutMs: number
  /** Further lines of the file. */
  readonly lines?: readonly string[]
}

export class SentinelProcess {
  readonly dir = mkdtempSync(join(tmpdir(), 'lagrange-sentinel-'))
  readonly file = join(this.dir, 'sentinel.conf')
  #child: ChildProcess | undefined
  #client: Client | undefined
  #output = ''

  constructor(
    readonly kind: SentinelKind,
    private readonly program: string,
    readonly port: number,
    settings: SentinelSettings,
  ) {
    const { masterPort, quorum, downAfterMs, failoverTimeoutMs } = settings
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${this.dir}`,
      `sentinel monitor main 127.0.0.1 ${masterPort} ${quorum}`,
      `sentinel down-after-milliseconds main ${downAfterMs}`,
      `sentinel failover-timeout main ${failoverTimeoutMs}`,
      ...(settings.lines ?? []),
    ]
    writeFileSync(this.file, `${lines.join('\n')}\n`)
  }

  /** Everything it logged. */
  get log(): string {
    return this.#output
  }

  get conf(): string {
    return readFileSync(this.file, 'latin1')
  }

  async start(): Promise<void> {
    const [program, args] =
      this.kind === 'real' ? [this.program, [this.file]] : [process.execPath, [main, 'sentinel', this.file]]
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => (this.#output += chunk))
    await until(`sentinel ${this.port} answers`, async () => {
      if (child.exitCode !== null) throw new Error(`sentinel ${this.port} ended: ${this.#output}`)
      return this.call('PING').then(
        () => true,
        () => false,
      )
    })
  }

  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(name)
  }

  async call(...args: string[]): Promise<Frame> {
    if (this.#client === undefined || this.#client.closed) {
      this.#client = new Client(
        { host: '127.0.0.1', port: this.port },
        { connectTimeoutMs: 2000, replyTimeoutMs: 5000 },
      )
    }
    return this.#client.call(...args)
  }

  /** The fields of SENTINEL MASTER. */
  async master(): Promise<ReadonlyMap<string, string>> {
    const items = itemsOf(await this.call('SENTINEL', 'MASTER', 'main')).map(item => textOf(item) ?? '')
    const fields = new Map<string, string>()
    for (let at = 0; at + 1 < items.length; at += 2) fields.set(items[at] as string, items[at + 1] as string)
    return fields
  }

  async masterPort(): Promise<number> {
    const [, port] = itemsOf(await this.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main'))
    return Number(port === undefined ? Number.NaN : textOf(port))
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#client?.close()
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** All of them know each other and the replicas. `quick`: with short periods, as tests do not wait for hellos. */
export async function startSentinels(
  kinds: readonly SentinelKind[],
  program: string,
  settings: SentinelSettings,
  replicas: number,
  quick = true,
): Promise<SentinelProcess[]> {
  const sentinels: SentinelProcess[] = []
  for (const kind of kinds) sentinels.push(new SentinelProcess(kind, program, await freePort(), settings))
  await Promise.all(sentinels.map(sentinel => sentinel.start()))
  if (quick) {
    for (const sentinel of sentinels) {
      await sentinel.call('SENTINEL', 'DEBUG', 'publish-period', '100', 'info-period', '100', 'tilt-period', '1000')
    }
  }
  await until('the sentinels know each other', async () => {
    const masters = await Promise.all(sentinels.map(sentinel => sentinel.master()))
    return masters.every(master => {
      const peers = Number(master.get('num-other-sentinels'))
      return peers === kinds.length - 1 && Number(master.get('num-slaves')) === replicas
    })
  })
  // A replica that says master is made a replica again after four of these: redis-sentinel sees what it has promoted only
  // after a second, and until then it is that to the others.
  if (quick && kinds.includes('real')) {
    for (const sentinel of sentinels) await sentinel.call('SENTINEL', 'DEBUG', 'publish-period', '500')
  }
  return sentinels
}
