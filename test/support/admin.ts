/** An admin backend that answers from plain values and remembers what it was asked to do. */
import type { AdminBackend, SwitchResult } from '../../src/admin/backend.js'
import { EventFeed } from '../../src/admin/feed.js'
import type {
  Condition,
  FailoverRequest,
  MemberDescription,
  SwitchoverRequest,
  TopologyDescription,
} from '../../src/admin/model.js'
import { EventBus } from '../../src/base/bus.js'
import { type MetricsFormat, renderMetrics } from '../../src/metrics/render.js'
import { MetricStore } from '../../src/metrics/store.js'

/** What the tests of all routes put in for {id}. */
const KNOWN_RESCUE = '127.0.0.1:6402'

export class FakeBackend implements AdminBackend {
  readonly bus = new EventBus(() => 1_700_000_000_000)
  readonly store = new MetricStore()
  readonly events: EventFeed
  /** Requests of changes, and the names of the plain ones. */
  readonly asked: (SwitchoverRequest | FailoverRequest | string)[] = []
  condition: Condition = { ok: true, reasons: [] }
  result: SwitchResult = doneResult

  constructor(capacity = 100) {
    this.events = new EventFeed(this.bus, { capacity })
  }

  health = () => this.condition
  ready = () => this.condition
  topology = (): TopologyDescription => fakeTopology
  metrics = (format: MetricsFormat) => renderMetrics([this.store.snapshot()], undefined, format)
  config = () => ({ values: { workers: 1, 'admin.token': '[masked]' }, origins: { workers: '--workers' } })

  options = () => ({ options: [] })
  rules = () => ({ rules: [], waitMs: 2 })
  history: AdminBackend['history'] = () => []
  reload = () => this.#did('reload', { changes: [] })
  pause = (paused: boolean) => this.#did(paused ? 'pause' : 'resume', true)
  rescues = () => []
  rescue = (id: string) => (id === KNOWN_RESCUE ? this.#rescue(id) : undefined)

  #rescue = (id: string) => ({
    id,
    at: 0,
    node: '127.0.0.1:6401',
    master: '127.0.0.1:6402',
    writes: 0,
    keyCount: 0,
    bytes: 0,
    from: 1,
    until: null,
    file: null,
    missing: null,
    database: 'known' as const,
    appliedAt: null,
    keys: [],
    commands: [],
  })
  applyRescue = async (id: string) =>
    id !== KNOWN_RESCUE
      ? ({ refused: 'unknown-rescue', detail: 'there is none' } as const)
      : this.#did('apply', { id, applied: 0, skipped: 0, failed: 0, skippedKeys: [], firstError: null })
  acknowledge = () => this.#did('acknowledge', undefined)
  restartWorkers = async () => this.#did('restartWorkers', undefined)
  drain = (id: string, drained: boolean) =>
    fakeTopology.groups.some(group => group.members.some(one => one.id === id)) &&
    this.#did(drained ? 'drain' : 'undrain', true)
  sessions: AdminBackend['sessions'] = async () => ({ sessions: [], total: 0 })
  killSession = async (id: string) => id === '0-7' && this.#did('kill', true)
  slowlog: AdminBackend['slowlog'] = async () => ({ entries: [] })
  resetSlowlog = async () => this.#did('reset', undefined)
  keys: AdminBackend['keys'] = async () => ({ sampledPer: 64, hot: [], big: [] })
  traffic: AdminBackend['traffic'] = async () => ({
    at: 0,
    clients: 0,
    inFlight: 0,
    held: 0,
    commands: { master: 0, replica: 0, local: 0 },
    errors: 0,
    durations: { bounds: [], read: [], write: [] },
  })
  explain: AdminBackend['explain'] = async ({ command }) => ({
    command: command[0] ?? '',
    handling: 'read',
    keys: [],
    to: '127.0.0.1:6402',
    because: 'fresh-replica',
    level: 'causal',
    neededOffset: 0,
    candidates: [],
  })

  #did<T>(what: string, answer: T): T {
    this.asked.push(what)
    return answer
  }

  async switchover(request: SwitchoverRequest): Promise<SwitchResult> {
    this.asked.push(request)
    return this.result
  }

  async failover(request: FailoverRequest): Promise<SwitchResult> {
    this.asked.push(request)
    return this.result
  }
}

export const doneResult: SwitchResult = {
  kind: 'done',
  report: {
    group: 'main',
    from: '127.0.0.1:6401',
    to: '127.0.0.1:6402',
    masterEpoch: 2,
    stallMs: 1.4,
    heldCommands: 17,
    durationMs: 6.2,
    lostBytes: 0,
    unread: [],
    steps: [
      { step: 'hold', ms: 0.4 },
      { step: 'promote', ms: 0.9 },
    ],
  },
}

export function member(port: number, more: Partial<MemberDescription> = {}): MemberDescription {
  return {
    id: `127.0.0.1:${port}`,
    host: '127.0.0.1',
    port,
    role: 'replica',
    health: 'up',
    excluded: null,
    offset: 1000,
    lagBytes: 0,
    lagMs: 0,
    freshness: 'tap',
    untapped: null,
    linkUp: true,
    lastIoMs: 40,
    syncInProgress: false,
    masterId: '127.0.0.1:6401',
    replid: 'a'.repeat(40),
    runId: 'b'.repeat(40),
    version: '7.0.15',
    zone: null,
    priority: 100,
    drained: false,
    ...more,
  }
}

export const fakeTopology: TopologyDescription = {
  epoch: 4,
  at: 1_700_000_000_000,
  workers: 1,
  groups: [
    {
      name: 'main',
      masterEpoch: 1,
      master: '127.0.0.1:6401',
      diagnosis: 'ok',
      about: [],
      diagnosisForMs: 60_000,
      failover: 'on',
      heldBackMs: 0,
      running: null,
      writesPaused: false,
      replid: 'a'.repeat(40),
      members: [
        member(6401, { role: 'master', lagBytes: null, lagMs: null, linkUp: null, lastIoMs: null, masterId: null }),
        member(6402),
        member(6403, { offset: 900, lagBytes: 100, lagMs: 12.5 }),
      ],
      lastSwitch: null,
    },
  ],
}
