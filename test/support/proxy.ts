/**
 * A worker in this process in front of real redis-servers, with a view made by hand. What the observer does in production,
 * telling the worker how far each replica is, a loop of ROLE does here.
 */
import { EventBus, type LagrangeEvent } from '../../src/base/bus.js'
import { systemClock } from '../../src/base/clock.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Client } from '../../src/net/client.js'
import { Worker, type WorkerOptions } from '../../src/proxy/worker.js'
import { itemsOf, numberOf, textOf } from '../../src/resp/protocol.js'
import type { Pace } from '../../src/topology/pace.js'
import type { FreshnessSample, GroupView, InstanceView } from '../../src/topology/view.js'

export class ProxyUnderTest {
  readonly store = new MetricStore()
  readonly events: LagrangeEvent[] = []
  readonly suspects: string[] = []
  readonly samples: FreshnessSample[] = []
  readonly worker: Worker
  port = 0
  view: GroupView | undefined
  #epoch = 0
  #polling = new Map<string, Client>()
  #stopped = false
  #head = { replid: '', timeline: [] as { at: number; offset: number }[] }
  #done: Promise<void>[] = []

  constructor(
    options: Partial<WorkerOptions> = {},
    private readonly pollMs = 1,
    /** What the worker asks of the control plane; undefined: it has one pace. */
    pace?: (pace: Pace) => void,
  ) {
    const bus = new EventBus(() => Date.now())
    bus.listen(event => this.events.push(event))
    const control = {
      sample: (_group: string, sample: FreshnessSample) => {
        this.samples.push(sample)
        this.#head.timeline.push({ at: performance.now(), offset: sample.offset })
        if (this.#head.timeline.length > 10_000) this.#head.timeline.splice(0, 5_000)
      },
      suspect: (id: string, evidence: string) => {
        this.suspects.push(`${id} ${evidence}`)
      },
      event: (): void => undefined,
      ...(pace === undefined ? {} : { pace }),
    }
    this.worker = new Worker(systemClock, bus, this.store, control, options)
  }

  /** Serves this master and these replicas; polls the replicas as long as the proxy lives. */
  async start(masterPort: number, replicaPorts: readonly number[]): Promise<void> {
    await this.setMembers(masterPort, replicaPorts)
    this.port = (await this.worker.listen({ host: '127.0.0.1', port: 0 })).port
  }

  /** A new view; another master is another epoch. */
  async setMembers(
    masterPort: number | undefined,
    replicaPorts: readonly number[],
    exclude: Readonly<Record<number, InstanceView['excluded']>> = {},
  ): Promise<void> {
    const member = (port: number, role: 'master' | 'replica'): InstanceView => ({
      id: `127.0.0.1:${port}`,
      host: '127.0.0.1',
      port,
      runId: undefined,
      role,
      zone: undefined,
      excluded: exclude[port],
    })
    const master = masterPort === undefined ? undefined : member(masterPort, 'master')
    if (this.view?.master?.id !== master?.id || this.view === undefined) this.#epoch++
    this.view = {
      name: 'main',
      masterEpoch: this.#epoch,
      master,
      replicas: replicaPorts.map(port => member(port, 'replica')),
      lineage: undefined,
    }
    this.worker.setView({ epoch: performance.now(), groups: [this.view] })
    for (const port of replicaPorts) if (!this.#polling.has(`127.0.0.1:${port}`)) this.#done.push(this.#poll(port))
  }

  async #poll(port: number): Promise<void> {
    const id = `127.0.0.1:${port}`
    while (!this.#stopped) {
      const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 500, replyTimeoutMs: 2000 })
      this.#polling.set(id, client)
      try {
        const server = textOf(await client.call('INFO', 'server')) ?? ''
        const runId = /run_id:(\w+)/.exec(server)?.[1]
        let replid = ''
        for (let round = 0; !this.#stopped; round++) {
          if (round % 20 === 0) {
            replid = /master_replid:(\w+)/.exec(textOf(await client.call('INFO', 'replication')) ?? '')?.[1] ?? ''
          }
          const role = itemsOf(await client.call('ROLE'))
          const offset = textOf(role[0]) === 'slave' && textOf(role[3]) === 'connected' ? numberOf(role[4]) : undefined
          if (offset !== undefined) {
            this.worker.setFreshness({ samples: [{ id, replid, offset, runId }], lagMs: [[id, this.#lagOf(offset)]] })
          }
          await new Promise(resolve => setTimeout(resolve, this.pollMs))
        }
      } catch {
        await new Promise(resolve => setTimeout(resolve, 20))
      } finally {
        client.close()
      }
    }
  }

  #lagOf(applied: number): number {
    const beyond = this.#head.timeline.find(({ offset }) => offset > applied)
    return beyond === undefined ? 0 : performance.now() - beyond.at
  }

  /** The value of a counter, summed over all labels that match. */
  count(name: string, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0
    for (const series of this.store.snapshot()) {
      if (series.name !== name) continue
      if (Object.entries(labels).every(([key, value]) => series.labels[key] === value)) sum += series.value ?? 0
    }
    return sum
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const client of this.#polling.values()) client.close()
    await this.worker.close()
    await Promise.all(this.#done)
  }
}
