/**
 * How long writes wait when a master fails under sentinels, ours and redis-sentinel, in one run, and whether all agree in
 * the end:
 *
 *     npm run bench:sentinel -- [rounds] [quorums] [faults] [leads] [servers]
 *     npm run bench:sentinel -- 13 0+3,1+2,2+1 kill,stop,partition,restart anybody,real redis
 *
 * By default 3 rounds of `kill` for 0+3, 1+2, 2+1 and 3+0 (ours + real), by whoever is elected, over redis-server; `own`
 * servers are our nodes. Three machines are network namespaces, so it needs root. What writes meanwhile: the plainest
 * client there can be, ioredis, node-redis, redis-py where there is one, and a client of each of two proxies of ours, which
 * follow the sentinels as well. The gap is the longest time in which a client was not answered. Names of columns: median
 * and largest, in milliseconds. Beside them the machine's load: a busy one shows its scheduler, so compare with 0+3 of the
 * same run. KEEP_LOGS=<folder> keeps what everybody wrote.
 *
 * `kill` and `restart` close connections, which is evidence; `stop` and `partition` are silence, which takes down-after (one
 * second here) by all rules. A round takes 5 to 15 seconds: redis-sentinel takes ten to make an old master a replica.
 *
 * A round that does not converge within 90 s ends the run with the logs of the sentinels, exit code 1.
 */
import { loadavg } from 'node:os'
import { findProgram } from '../support/real.js'
import { type Fault, pythonWithRedis, type Round, SentinelWorld } from '../support/sentinel-world.js'
import type { SentinelKind } from '../support/sentinels.js'

const [rounds = '3', quorums = '0+3,1+2,2+1,3+0', faults = 'kill', leads = 'anybody', servers = 'redis'] =
  process.argv.slice(2)

const redis = findProgram('redis-server')
const sentinel = findProgram('redis-sentinel')
if (redis === undefined || sentinel === undefined) throw new Error('redis-server and redis-sentinel are needed')
const main = process.env.LAGRANGE_PROGRAM ?? new URL('../../dist/main.js', import.meta.url).pathname
const python = await pythonWithRedis()

if (python === undefined) process.stderr.write('no python with redis-py: its column stays empty\n')

const names = ['plain', 'proxy1', 'proxy2', 'ioredis', 'node-redis', 'redis-py']
line('quorum  servers  fault      lead     n  led by  agreed  converged', names, 'epochs  load')

for (const quorum of quorums.split(',')) {
  for (const server of servers.split(',')) {
    for (const fault of faults.split(',') as Fault[]) {
      for (const lead of leads.split(',') as ('anybody' | 'real')[]) {
        if (lead === 'real' && (quorum === '0+3' || quorum === '3+0')) continue
        await series(quorum, server, fault, lead)
      }
    }
  }
}

async function series(quorum: string, server: string, fault: Fault, lead: 'anybody' | 'real'): Promise<void> {
  const [ours = 0] = quorum.split('+').map(Number)
  const kinds = Array.from({ length: 3 }, (_, index): SentinelKind => (index < ours ? 'ours' : 'real'))
  const world = new SentinelWorld(kinds, {
    server: server === 'own' ? [process.execPath, main, 'node'] : [redis as string],
    sentinel: sentinel as string,
    python,
    downAfterMs: 1000,
    failoverTimeoutMs: 2000,
  })
  const done: Round[] = []
  try {
    await world.start()
    for (let round = 0; round < Number(rounds); round++) done.push(await world.round(fault, lead))
  } finally {
    await world.stop()
    const led = (kind: string): number => done.filter(({ ledBy }) => ledBy === kind).length
    const head = [
      quorum.padEnd(7),
      server.padEnd(8),
      fault.padEnd(10),
      lead.padEnd(7),
      String(done.length).padStart(2),
      ` ${led('ours')}/${led('real')}`.padEnd(7),
      spread(done.map(({ agreedMs }) => agreedMs)),
      spread(done.map(({ convergedMs }) => convergedMs)),
    ]
    const gaps = names.map(name => spread(done.map(({ gaps }) => gaps[name] ?? Number.NaN)))
    const load = loadavg()[0] as number
    line(head.join(' '), gaps, `${spread(done.map(({ epochs }) => epochs)).padEnd(6)}  ${load.toFixed(1)}`)
  }
}

function line(head: string, columns: readonly string[], last: string): void {
  process.stdout.write(`${[head, ...columns.map(column => column.padEnd(11)), last].join('  ')}\n`)
}

/** The median and the largest. */
function spread(values: readonly number[]): string {
  const sorted = [...values].sort((one, other) => one - other)
  const shown = (value: number | undefined): string => (value === undefined || Number.isNaN(value) ? '–' : `${value}`)
  return `${shown(sorted[Math.floor(sorted.length / 2)])}/${shown(sorted.at(-1))}`
}
