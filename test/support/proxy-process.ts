/**
 * `lagrange proxy` as a process, for measuring: supervisor, worker and taps as in production.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { freePort } from './ports.js'
import { until } from './redis-group.js'

export interface ProxyProcess {
  readonly port: number
  /** The first worker. */
  readonly workerPid: number
  readonly adminPort: number
  readonly pid: number
  /** The samples of this family, summed over the labels that are given as text to be found in the line. */
  count(name: string, ...labels: readonly string[]): Promise<number>
  /** The samples of this family as they are told. */
  lines(name: string): Promise<string[]>
  stop(): Promise<void>
}

/** `build` is the folder of main.js; serves when this resolves. */
export async function startProxyProcess(
  build: string,
  addresses: readonly string[],
  ...options: readonly string[]
): Promise<ProxyProcess> {
  const [port, adminPort] = [await freePort(), await freePort()]
  const listening = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`]
  const args = ['proxy', ...listening, '--upstream', addresses.join(','), '--log-level', 'error', ...options]
  const child: ChildProcess = spawn(process.execPath, [`${build}/main.js`, ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  await until(
    'the proxy serves',
    async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`).catch(() => undefined))?.status === 200,
    60_000,
  )
  const lines = async (name: string): Promise<string[]> => {
    const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
    return text.split('\n').filter(line => line.startsWith(name))
  }
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'latin1')
  return {
    port,
    workerPid: Number(children.split(' ')[0]),
    lines,
    adminPort,
    pid: child.pid as number,
    async count(name, ...labels) {
      return (await lines(name))
        .filter(line => labels.every(label => line.includes(label)))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
    },
    async stop() {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
    },
  }
}
