/**
 * A worker as a process of its own, for measuring: `proxy-process.ts port masterPort [replicaPort …]`, level from LEVEL.
 */
import type { Level } from '../../src/routing/choose.js'
import { ProxyUnderTest } from '../support/proxy.js'

const [port, master, ...replicas] = process.argv.slice(2).map(Number) as [number, number, ...number[]]
const proxy = new ProxyUnderTest({ level: (process.env.LEVEL ?? 'causal') as Level }, 10)
await proxy.setMembers(master, replicas)
await proxy.worker.listen({ host: '127.0.0.1', port })
process.stdout.write('ready\n')
process.on('SIGTERM', () => {
  process.stdout.write(
    `${JSON.stringify(proxy.store.snapshot().filter(series => series.name === 'lagrange_read_routing_total' && series.value))}\n`,
  )
  process.exit(0)
})
