/**
 * Debian's redis_exporter against our node, our sentinel and the proxy; and what a node says itself under those names
 * beside what the exporter says about it.
 */
import { execFileSync, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { clientOf, startProgram, startProxy, temporaryFolder } from '../support/lagrange.js'
import { freePort, freePorts } from '../support/ports.js'
import { requireReal } from '../support/real.js'

const exporter = requireReal('prometheus-redis-exporter')
const promtool = requireReal('promtool')

interface Cast {
  readonly master: number
  readonly replica: number
  readonly sentinel: number
  readonly proxy: number
  readonly metrics: number
  readonly sentinelMetrics: number
}

async function startCast(): Promise<Cast> {
  const folder = temporaryFolder()
  const [master, metrics, sentinelMetrics] = [await freePorts(2), await freePort(), await freePort()]
  const [replica, sentinel] = [master + 1, await freePort()]
  const node = (port: number, ...args: string[]) =>
    startProgram(['node', '--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--dir', folder, ...args], port)
  await node(master, '--metrics-port', `${metrics}`)
  await node(replica, '--replicaof', `127.0.0.1 ${master}`, '--repl-diskless-sync-delay', '0')
  const file = join(folder, 'sentinel.conf')
  const lines = [`port ${sentinel}`, `bind 127.0.0.1`, `metrics-port ${sentinelMetrics}`, `dir ${folder}`]
  writeFileSync(file, [...lines, `sentinel monitor main 127.0.0.1 ${master} 1`, ''].join('\n'))
  await startProgram(['sentinel', file], sentinel)
  const { port } = await startProxy([`127.0.0.1:${master}`])
  await clientOf(port).call('SET', 'k', 'v')
  await clientOf(port).call('GET', 'k')
  return { master, replica, sentinel, proxy: port, metrics, sentinelMetrics }
}

exporter.test(
  'redis_exporter works against node, sentinel and proxy',
  async () => {
    const cast = await startCast()
    for (const [what, expected] of [
      [
        'master',
        ['redis_master_repl_offset', 'redis_commands_total{cmd="set"}', 'redis_connected_slave_offset_bytes{'],
      ],
      ['replica', ['redis_master_link_up{', 'redis_slave_repl_offset{', 'redis_master_last_io_seconds_ago{']],
      ['sentinel', ['redis_sentinel_masters 1', 'redis_sentinel_master_status{', 'redis_sentinel_master_sentinels{']],
      ['proxy', ['redis_master_repl_offset', 'redis_connected_clients', 'redis_db_keys{db="db0"} 1']],
    ] as const) {
      const text = await exported(cast[what])
      expect(text, what).toMatch(/^redis_up 1$/m)
      expect(text, what).toMatch(/^redis_exporter_last_scrape_error\{err=""\} 0$/m)
      for (const name of expected) expect(text.includes(`\n${name}`), `${what}: ${name}`).toBe(true)
    }

    // What the node says itself has the same names, labels and types as what the exporter says of it.
    const theirs = namesOf(await exported(cast.master))
    const ours = namesOf(await (await fetch(`http://127.0.0.1:${cast.metrics}/metrics`)).text())
    const invented = [...ours].filter(
      ([name]) => name.startsWith('redis_') && !theirs.has(name) && !absentThere.has(name),
    )
    expect(invented).toEqual([])
    for (const [name, shape] of ours)
      if (theirs.has(name) && name !== 'redis_instance_info') expect(shape, name).toBe(theirs.get(name))

    if (promtool.missing) return
    for (const port of [cast.metrics, cast.sentinelMetrics]) {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
      expect(text).toContain('redis_up 1')
      // Which of redis_exporter's names end in _total is not ours to mend.
      const own = text.split('\n').filter(line => !/redis_/.test(line))
      execFileSync(promtool.path, ['check', 'metrics'], { input: `${own.join('\n')}\n`, stdio: 'pipe' })
    }
  },
  120_000,
)

/** Only there when something was measured, or for another version of Redis. */
const absentThere = new Set(['redis_aof_current_size_bytes', 'redis_aof_base_size_bytes'])

async function exported(port: number): Promise<string> {
  const web = await freePort()
  const child = spawn(
    exporter.path,
    ['-redis.addr', `redis://127.0.0.1:${port}`, '-web.listen-address', `127.0.0.1:${web}`],
    { stdio: 'ignore' },
  )
  onTestFinished(async () => {
    if (child.exitCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  })
  for (;;) {
    const reply = await fetch(`http://127.0.0.1:${web}/metrics`).catch(() => undefined)
    if (reply?.ok) return reply.text()
    if (child.exitCode !== null) throw new Error('redis_exporter ended')
    await new Promise(resolve => setTimeout(resolve, 30))
  }
}

/** Name → its type and the names of its labels. */
function namesOf(text: string): ReadonlyMap<string, string> {
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(match => [match[1] ?? '', match[2] ?? '']))
  const found = new Map<string, string>()
  for (const [, name = '', labels = ''] of text.matchAll(/^(redis_\w+)(?:\{(.*)\})? \S+$/gm)) {
    const labelNames = [...labels.matchAll(/(\w+)="/g)].map(match => match[1]).sort()
    found.set(name, `${types.get(name)} ${labelNames.join()}`)
  }
  return found
}
