/**
 * The supervisor of one endpoint: the control plane, the workers, the admin API, and the wires between them. `proxy` and
 * `up` both run it; `up` brings its own nodes.
 *
 *     workers ──sample, suspect──▶ Observer ──view, freshness──▶ workers
 *     Agent ──hold, release──▶ workers        Agent ──declareMaster──▶ Observer
 *     bus ──▶ log, metrics, event feed        stores of all processes ──▶ /metrics
 */

import { availableParallelism } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Grant } from '../admin/access.js'
import type { AdminBackend } from '../admin/backend.js'
import { EventFeed } from '../admin/feed.js'
import type { HttpServer } from '../admin/http.js'
import type { Condition, ConfigDescription, OptionList, ReloadReport, RuleList } from '../admin/model.js'
import { startAdmin } from '../admin/server.js'
import { type Address, formatAddress } from '../base/address.js'
import { EventBus } from '../base/bus.js'
import { systemClock } from '../base/clock.js'
import type { ListenerConfig } from '../config/formats.js'
import type { LogLevel, SharedConfig } from '../config/schema.js'
import { countEvents } from '../metrics/count-events.js'
import { reportEventLoop } from '../metrics/event-loop.js'
import { makeProcessMetrics, renderMetrics } from '../metrics/render.js'
import { seedMetrics } from '../metrics/seed.js'
import { MetricStore } from '../metrics/store.js'
import { sleepNow } from '../net/read-now.js'
import { Observer } from '../observer/observer.js'
import { defaultWorkerOptions } from '../proxy/options.js'
import { type Bound, bind } from '../proxy/supervision/bound.js'
import { controlPath, isSupervised } from '../proxy/supervision/control-path.js'
import { Workers } from '../proxy/supervision/workers.js'
import type { LiveOptions } from '../proxy/worker.js'
import { promisesOf } from '../routing/acks.js'
import { Agent } from '../sentinel/agent.js'
import { type FollowOptions, SentinelFollower } from '../sentinel/follow.js'
import { ForeignSentinels } from '../sentinel/foreign-sentinels.js'
import { QuorumSwitch } from '../sentinel/quorum-switch.js'
import { Rescuer } from '../sentinel/rescue.js'
import { RescueFiles } from '../sentinel/rescue-files.js'
import { Witness } from '../sentinel/witness.js'
import type { Promises } from '../topology/promises.js'
import { type Access, acksOf } from './access.js'
import { makeBackend } from './backend.js'
import { type Log, logEvents, standardOutput } from './log.js'
import { makeRescueBackend } from './rescue.js'
import { makeTrafficBackend } from './traffic.js'

export interface EndpointOptions {
  readonly config: SharedConfig
  readonly listeners: readonly ListenerConfig[]
  readonly seeds: readonly Address[]
  readonly zones: ReadonlyMap<string, string>
  readonly upstreamAuth: { readonly username: string | undefined; readonly password: string | undefined }
  /** Who may reach it, and how it reaches instances; undefined: anybody of this machine, without TLS. */
  readonly access?: Access
  readonly failover: boolean
  /** Sentinels that say who is master, instead of the instances; switches are ordered from them. */
  readonly sentinels?: FollowOptions
  /** undefined: no admin API. */
  readonly admin:
    | {
        readonly address: Address
        readonly grants: readonly Grant[]
        readonly allowedHosts: readonly string[]
        readonly auditFile: string | undefined
      }
    | undefined
  readonly lastMaster: string | undefined
  /** Where writes are kept that only an old master had. */
  readonly rescueFolder: string
  /** How many nodes `/readyz` waits for; undefined: a writable master is enough. */
  readonly members: number | undefined
  readonly describeConfig: () => ConfigDescription
  readonly describeOptions: () => OptionList
  readonly describeRules: () => RuleList
  /** As SIGHUP does. */
  readonly reload: (endpoint: Endpoint) => ReloadReport | { readonly errors: readonly string[] }
  /** The options that choose another port, for the line that says that one is taken. */
  readonly portOptions: { readonly listen: string; readonly admin: string }
  /** This executable: workers are `<program> worker`. */
  readonly program: string
  readonly version: string
}

/** Something could not be had: a port, a folder, a process. The message is one clear line. */
export class StartError extends Error {
  override readonly name = 'StartError'
}

const WORKER_START_MS = 20_000
const DRAIN_MS = 5_000
const LOOP_RESOLUTION_MS = 10

export class Endpoint {
  readonly clock = systemClock
  readonly events = new EventBus(() => systemClock.wall())
  readonly metrics = new MetricStore()
  readonly observer: Observer
  readonly agent: Agent
  readonly workers: Workers
  readonly #options: EndpointOptions
  readonly #workerCount: number
  readonly #log: Log
  readonly #feed = new EventFeed(this.events)
  readonly #processMetrics = makeProcessMetrics()
  readonly #backend: AdminBackend
  readonly #rescuer: Rescuer
  readonly #witness: Witness | undefined
  #promises: Promises
  readonly #follower: SentinelFollower | undefined
  readonly #foreign: ForeignSentinels | undefined
  readonly #switches: QuorumSwitch | undefined
  #admin: HttpServer | undefined
  #bounds: readonly Bound[] = []

  /** Nothing runs yet; the log is written from here on. */
  constructor(options: EndpointOptions) {
    const { clock, events, metrics } = this
    const { config } = options
    this.#options = options
    this.#log = logEvents(events, standardOutput(), config.log)
    this.#workerCount = config.workers === 'auto' ? availableParallelism() : config.workers
    countEvents(events, metrics)
    seedMetrics(metrics, { group: [config.group] })
    metrics.gauge('lagrange_build_info', { version: options.version, nodeversion: process.version }).value = 1
    metrics.gauge('lagrange_config_last_reload_successful').value = 1
    metrics.gauge('lagrange_config_last_reload_success_timestamp_seconds').value = clock.wall() / 1000
    const delay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS })
    delay.enable()
    reportEventLoop(metrics, 'supervisor', delay, { resolutionMs: LOOP_RESOLUTION_MS })

    const { upstreamAuth } = options
    const { access } = options
    const credentials = { ...upstreamAuth, tls: access?.upstreamTls }
    this.observer = new Observer(clock, events, metrics, {
      group: config.group,
      seeds: options.seeds,
      credentials,
      pingPeriodMs: config.detection.pingPeriodMs,
      downAfterMs: config.detection.downAfterMs,
      lastMaster: options.lastMaster,
      zones: options.zones,
      taps: config.consistency.taps !== 'off',
      nap: length => {
        if (!this.agent.acting) sleepNow(length)
      },
    })
    const listeners = options.listeners.map(listener => ({
      name: formatAddress(listener),
      level: listener.consistency,
      ...access?.listener(listener),
    }))
    this.workers = new Workers(clock, events, metrics, this.observer, {
      count: this.#workerCount,
      program: options.program,
      controlPath: controlPath(listeners.map(listener => listener.name)),
      drainMs: DRAIN_MS,
      setup: {
        group: config.group,
        listeners,
        options: {
          ...defaultWorkerOptions,
          listener: listeners[0]?.name ?? 'main',
          password: config.clientAuth.password === '' ? undefined : config.clientAuth.password,
          foreignUsers: config.clientAuth.users === 'instances',
          upstreamUsername: upstreamAuth.username,
          upstreamPassword: upstreamAuth.password,
          level: config.consistency.level,
          boundMs: config.consistency.boundMs,
          waitMs: config.consistency.waitMs,
          noReplica: config.consistency.noReplica,
          rails: {
            minServing: config.consistency.minServing,
            masterShareMax: config.consistency.masterSharePercent / 100,
          },
          verifyEvery: config.consistency.verifyEvery,
          acks: acksOf(config.consistency),
          hedge: { percent: config.consistency.hedgePercent, afterMs: config.consistency.hedgeAfterMs },
          ejectOutliers: config.consistency.ejectOutliers,
          sessionBy: config.consistency.sessionBy,
          workers: this.#workerCount,
          lostWrites: config.consistency.lostWrites,
          tapMaster: config.consistency.taps === 'all',
          holdTimeoutMs: config.hold.timeoutMs,
          holdBytes: config.hold.bytes,
          insight: config.insight,
          ...access?.worker,
        },
      },
    })
    this.#promises = this.#promisesOf(access?.worker.rules ?? [])
    const files = new RescueFiles(options.rescueFolder)
    this.#rescuer = new Rescuer(clock, events, metrics, this.observer, credentials, files)
    if (options.failover && config.witness.bytes > 0) {
      const witness = { bytes: config.witness.bytes, credentials }
      this.#witness = new Witness(clock, events, metrics, this.observer, witness)
    }
    // Nodes of our own have no sentinels that we do not know of.
    if (options.failover && options.members === undefined) {
      this.#foreign = new ForeignSentinels(clock, events, this.observer, credentials)
    }
    this.agent = new Agent(clock, events, metrics, this.observer, this.workers, {
      failover: options.failover,
      othersDecide: () => this.#foreign?.present === true,
      credentials,
      // What a proxy is pointed at by mistake may be another group's; what it has is not ours to replace.
      demoteRestartedSeeds: options.members !== undefined,
      witness: this.#witness,
      promises: () => this.#promises,
      beforeDemote: id => this.#rescuer.rescue(id),
    })
    const { sentinels } = options
    if (sentinels !== undefined) {
      this.#follower = new SentinelFollower(clock, events, metrics, this.observer, sentinels)
      this.#switches = new QuorumSwitch(clock, events, metrics, this.observer, this.workers, this.#follower, {
        masterName: sentinels.masterName,
        holdTimeoutMs: config.hold.timeoutMs,
      })
    }
    this.#backend = this.#makeBackend()
  }

  /** Takes the ports first, so that a taken one is found before anything else happens. Throws StartError. */
  async claim(): Promise<void> {
    await this.#startAdmin()
    this.#bounds = await this.#bindListeners()
  }

  /** Begins to observe, and to serve clients. Throws StartError. */
  async start(): Promise<void> {
    this.observer.onView(view => this.workers.setView(view))
    this.observer.onFreshness(update => this.workers.setFreshness(update))
    this.#witness?.onAdvance(witness => {
      if (this.#promises.witness) this.workers.setFreshness({ samples: [], lagMs: [], witness })
    })
    this.observer.start()
    this.agent.start()
    this.#follower?.start()
    this.#foreign?.start()
    try {
      await this.workers.start(this.#bounds, WORKER_START_MS)
    } catch (error) {
      throw new StartError((error as Error).message)
    }
  }

  /** Reads the configuration again: SIGHUP, and the admin API. */
  reload(): ReloadReport | { readonly errors: readonly string[] } {
    return this.#options.reload(this)
  }

  /** Has the workers read certificates and users again, and take over what is live. */
  takeOver(live: LiveOptions): void {
    const fail = (reason: string): void => {
      this.metrics.gauge('lagrange_config_last_reload_successful').value = 0
      this.events.event('error', '-config-reload', { reason })
    }
    try {
      this.#options.access?.upstreamTls?.reload()
    } catch (error) {
      fail(`upstreamTls: ${(error as Error).message}`)
    }
    this.#promises = this.#promisesOf(live.rules)
    void this.workers.reload(live).then(errors => errors.forEach(fail))
  }

  #promisesOf(rules: LiveOptions['rules']): Promises {
    return promisesOf([...rules, { acks: acksOf(this.#options.config.consistency) }])
  }

  setLogLevel(level: LogLevel): void {
    this.#log.setLevel(level)
  }

  /** What `/readyz` says. */
  ready(): Condition {
    return this.#backend.ready()
  }

  /** Lets clients finish, then stops. Nodes keep running. */
  async stop(): Promise<void> {
    this.agent.stop()
    this.#follower?.stop()
    this.#foreign?.stop()
    await this.workers.stop()
    await this.#witness?.stop()
    this.observer.stop()
    await this.#admin?.close()
    this.#log.stop()
  }

  async #startAdmin(): Promise<void> {
    const { admin, version } = this.#options
    if (admin === undefined) return
    try {
      this.#admin = await startAdmin(this.clock, this.events, this.metrics, this.#backend, {
        host: admin.address.host,
        port: admin.address.port,
        grants: admin.grants,
        allowedHosts: admin.allowedHosts,
        auditFile: admin.auditFile,
        version,
      })
    } catch (error) {
      throw new StartError(`admin API: ${(error as Error).message}; ${this.#options.portOptions.admin} chooses another`)
    }
  }

  #makeBackend(): AdminBackend {
    return makeBackend({
      clock: this.clock,
      observer: this.observer,
      agent: this.agent,
      switches: this.#switches,
      events: this.#feed,
      workers: () => ({ serving: this.workers.serving, wanted: this.#workerCount }),
      bus: this.events,
      rescue: makeRescueBackend(this.#rescuer),
      traffic: makeTrafficBackend(this.clock, this.workers),
      metrics: async format =>
        renderMetrics([this.metrics.snapshot(), ...(await this.workers.snapshots())], this.#processMetrics, format),
      config: this.#options.describeConfig,
      options: this.#options.describeOptions,
      rules: this.#options.describeRules,
      reload: () => this.reload(),
      restartWorkers: () => this.workers.restart(),
      members: this.#options.members,
    })
  }

  /** Binds the listeners, or finds them held by workers that an earlier supervisor left behind, which are adopted. */
  async #bindListeners(): Promise<readonly Bound[]> {
    const bounds: Bound[] = []
    const path = controlPath(this.#options.listeners.map(formatAddress))
    try {
      for (const listener of this.#options.listeners)
        bounds.push(await bind(listener, this.#options.access?.socketMode))
    } catch (error) {
      for (const bound of bounds) bound.close()
      const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
      if (!taken || (await isSupervised(path))) throw this.#notListening(error)
      await this.workers.open()
      if ((await this.workers.adopt()) === this.#workerCount) return []
      await this.workers.stop()
      throw this.#notListening(error)
    }
    await this.workers.open()
    return bounds
  }

  #notListening(error: unknown): StartError {
    return new StartError(`endpoint: ${(error as Error).message}; ${this.#options.portOptions.listen} chooses another`)
  }
}
