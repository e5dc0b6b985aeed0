/**
 * One node, put together: the engine, its clients, replication in both roles, snapshots, and the timers between them.
 *
 *     client bytes ─▶ Session ─▶ Dispatcher ─┬─▶ Engine ─▶ Effects ─▶ ReplicaFeed ─▶ replicas
 *                                            └─▶ node commands              ▲
 *     master bytes ─▶ Follower ─────────────────▶ Engine                    └── the master's bytes, as they came
 *
 * It decides little itself. What several of its parts ask for (role, loading, what time it is) is answered here.
 */
import { createHash, randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import type { Address } from '../base/address.js'
import { type Clock, every, Stopwatch } from '../base/clock.js'
import { quote } from '../base/quote.js'
import type { Bytes, Millis, UnixMillis } from '../base/units.js'
import { builtinTable, type CommandSpec, type CommandTable } from '../command/table.js'
import { Engine } from '../engine/engine.js'
import type { listen } from '../net/peer.js'
import { WaitingAcks } from './acks.js'
import { Acl } from './acl.js'
import { AppendOnly } from './aof/append-only.js'
import { Clients } from './clients.js'
import { aclCommands } from './commands/acl.js'
import { connectionCommands } from './commands/connection.js'
import { debugCommands } from './commands/debug.js'
import { latencyCommands } from './commands/latency.js'
import { memoryCommands } from './commands/memory.js'
import { payloadCommands } from './commands/payload.js'
import { persistenceCommands } from './commands/persistence.js'
import { pubsubCommands } from './commands/pubsub.js'
import { replicationCommands } from './commands/replication.js'
import { scriptingCommands } from './commands/scripting.js'
import { serverCommands } from './commands/server.js'
import { tableCommands } from './commands/table.js'
import { trackingCommands } from './commands/tracking.js'
import { transactionCommands } from './commands/transactions.js'
import type { Config } from './config/config.js'
import type { Loaded } from './config/load.js'
import { Debugging } from './debugging.js'
import { Dispatcher } from './dispatch.js'
import { Doors } from './doors.js'
import { Effects } from './effects.js'
import { Failover } from './failover.js'
import { newReplid, ReplicaFeed } from './feed.js'
import { Follower } from './follower.js'
import { Latency } from './latency.js'
import { Loading } from './loading.js'
import type { LogLevel, NodeLog } from './log.js'
import { Memory } from './memory.js'
import { NodeMetrics } from './metrics.js'
import { Migration } from './migrate.js'
import type { ServerMode } from './mode.js'
import { OomScore } from './oom-score.js'
import { Pauses } from './pause.js'
import { PubSub } from './pubsub.js'
import { redact } from './redact.js'
import { Scripting } from './scripting.js'
import { Session } from './session.js'
import { applySettings } from './settings.js'
import { Shutdown } from './shutdown.js'
import { Slowlog } from './slowlog.js'
import { Snapshots } from './snapshots.js'
import { Stats } from './stats.js'
import { Tracking } from './tracking.js'
import { WaitingClients } from './waiting.js'
import { Watches } from './watch.js'

/** What we tell clients that ask for Redis' version: the behaviour is that of 7.0. */
const REDIS_VERSION = '7.0.15'
const DEMOTED = 'UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)'
/** Slots of the keyspace that one run of the expiry cycle looks at. */
const EXPIRE_SLOTS = 20_000
const REHASH_CHAINS = 2000

export class NodeServer {
  readonly version = REDIS_VERSION
  readonly lagrangeVersion = '0.1.0'
  readonly runId = newReplid()
  readonly startedAt: Millis
  readonly config: Config
  readonly configFile: string | undefined
  readonly stats = new Stats()
  /** For the commands that run one after the other. */
  readonly stopwatch: Stopwatch
  readonly memory = new Memory(this)
  readonly oomScore = new OomScore(this)
  readonly slowlog = new Slowlog()
  readonly latency = new Latency(() => Math.floor(this.clock.wall() / 1000))
  readonly effects: Effects
  readonly engine: Engine
  readonly clients: Clients
  readonly replicaSessions = new Map<number, Session>()
  readonly monitors = new Set<Session>()
  /** A master that waits to be told whether it still is one: it refuses writes. */
  fenced = false
  readonly pubsub = new PubSub()
  readonly watches: Watches
  readonly tracking = new Tracking(this)
  readonly waiting: WaitingClients
  readonly acks: WaitingAcks
  readonly pause: Pauses
  readonly acl: Acl
  readonly scripting: Scripting
  readonly repl: ReplicaFeed
  readonly failover: Failover
  readonly snapshots: Snapshots
  readonly loads: Loading
  readonly aof: AppendOnly
  readonly migration = new Migration(this)
  readonly debugging = new Debugging(this)
  readonly shutdown: Shutdown
  readonly doors = new Doors(this)
  readonly dispatcher: Dispatcher
  readonly metrics: NodeMetrics
  /** Our link to a master; undefined while we are one. */
  follower: Follower | undefined
  loading = false
  /** How another process like ours is started; undefined: we are no process of our own. */
  program: readonly string[] | undefined
  /** DEBUG PAUSE-CRON: for tests. */
  cronPaused = false
  /** Commands slower than this are remembered. */
  slowMicros = 10_000
  readonly #users: Loaded['users']
  readonly #timers: (() => void)[] = []
  #sentByGone = 0
  #exited: (code: number) => void = () => undefined
  /** Resolves with the exit code when the node has stopped. */
  readonly stopped: Promise<number>

  constructor(
    readonly clock: Clock,
    readonly log: NodeLog,
    loaded: Loaded,
    /** `dir` is relative to it. */
    readonly cwd: string,
    /** Something else than a node with data. */
    readonly mode?: ServerMode,
  ) {
    this.startedAt = clock.now()
    this.stopwatch = new Stopwatch(clock)
    this.config = loaded.config
    this.configFile = loaded.file
    this.#users = loaded.users
    this.stopped = new Promise(done => {
      this.#exited = done
    })
    this.effects = new Effects(this)
    this.engine = new Engine(this.effects, { databases: this.config.number('databases'), random: Math.random })
    this.clients = new Clients(this)
    this.watches = new Watches(this.engine)
    this.waiting = new WaitingClients(this)
    this.acks = new WaitingAcks(this)
    this.acl = new Acl(this)
    this.scripting = new Scripting(this)
    this.repl = new ReplicaFeed(this)
    this.snapshots = new Snapshots(this)
    this.loads = new Loading(this)
    this.aof = new AppendOnly(this)
    this.failover = new Failover(this)
    this.shutdown = new Shutdown(this)
    this.dispatcher = new Dispatcher(
      this,
      [
        connectionCommands,
        trackingCommands,
        aclCommands,
        serverCommands,
        latencyCommands,
        memoryCommands,
        tableCommands,
        debugCommands,
        payloadCommands,
        persistenceCommands,
        pubsubCommands,
        transactionCommands,
        replicationCommands,
        scriptingCommands,
        ...(mode === undefined ? [] : [mode.commands]),
      ],
      loaded.renames,
    )
    this.pause = new Pauses(this)
    this.metrics = new NodeMetrics(this)
    applySettings(this)
    for (const warning of loaded.warnings) log.warning(warning)
    this.recalm()
  }

  // ── Starting and stopping ─────────────────────────────────────────────────────────────────────────────────────────

  /** Listens and loads; throws what `listen` throws. Answers when the data set is there; `onListening` comes before any client. */
  async start(onListening: () => void = () => undefined): Promise<void> {
    const { config, log } = this
    this.loading = true
    this.recalm()
    this.acl.loadAtStart(this.#users)
    const master = this.#configuredMaster()
    // A replica from the first moment: nobody may take it for a second master while it reads its file.
    if (master !== undefined) {
      this.follower = new Follower(this, master, false)
      this.#roleChanged()
    }
    await this.doors.open(this.#accept)
    onListening()
    // Only now: who starts us and reads our log must not take a taken port for a start.
    log.notice(`Lagrange node ${this.lagrangeVersion} is starting. PID: ${process.pid}`)
    const metricsPort = config.number('metrics-port')
    if (metricsPort > 0) await this.metrics.listen('127.0.0.1', metricsPort)
    this.#startTimers()
    if (this.mode === undefined) await this.loads.loadAtStart()
    this.loading = false
    this.recalm()
    this.fenced = master === undefined && config.flag('start-fenced')
    if (this.fenced) log.notice('Fenced: writes are refused until REPLICAOF says what this node shall be')
    this.recalm()
    if (master !== undefined) {
      this.follower = undefined
      this.follow(master, this.loads.restored)
    }
    if (this.mode !== undefined) log.notice(`Running mode=${this.mode.name}, port=${this.port}.`)
    log.notice('Ready to accept connections')
  }

  #configuredMaster(): Address | undefined {
    const [host, port] = this.config.text('replicaof').split(' ')
    return host === undefined || port === undefined ? undefined : { host, port: Number(port) }
  }

  #startTimers(): void {
    const { clock } = this
    this.#timers.push(every(clock, 100, () => this.#tick()))
    this.#timers.push(every(clock, 50, () => this.#expire()))
  }

  /** Closes everything; the process may end. */
  async stop(code: number): Promise<void> {
    for (const cancel of this.#timers) cancel()
    this.#timers.length = 0
    this.follower?.stop('shutdown')
    this.memory.stop()
    this.metrics.close()
    this.debugging.stop()
    this.snapshots.stop()
    this.aof.close()
    this.migration.close()
    // Whoever hears that we are gone must not be able to come back.
    const closed = this.doors.close()
    for (const session of [...this.clients]) session.peer.destroy('shutdown')
    await closed
    await this.loads.keeping
    // A start that failed ends with what was wrong.
    if (code === 0) this.log.warning('Redis-compatible node is now ready to exit, bye bye...')
    this.#exited(code)
  }

  /** The commands there are. */
  get table(): CommandTable {
    return this.mode?.table ?? builtinTable
  }

  /** Its name in metrics. */
  get address(): string {
    const host = this.config.text('replica-announce-ip')
    return `${host === '' ? '127.0.0.1' : host}:${this.port}`
  }

  get port(): number {
    return this.doors.port
  }

  // ── Connections ───────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #accept: Parameters<typeof listen>[1] = (adopt, socket, { from }) => {
    this.stats.connectionsReceived++
    const refusal = this.#refuses(from.host)
    if (refusal !== undefined) {
      this.stats.connectionsRejected++
      socket.end(`-${refusal}\r\n`)
      return
    }
    const session = new Session(this, this.clients.nextId(), this.clock.now())
    const keepAliveMs = this.config.number('tcp-keepalive') * 1000
    session.attach(adopt(session, keepAliveMs === 0 ? {} : { keepAliveMs }))
    this.clients.add(session)
    this.clients.limitOutput(session)
    this.log.verbose(`Accepted ${session.address}`)
  }

  #refuses(remote: string): string | undefined {
    if (this.clients.size >= this.config.number('maxclients')) return 'ERR max number of clients reached'
    if (!this.config.flag('protected-mode') || !this.acl.open || isLoopback(remote)) return undefined
    return 'DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. Connect from this machine, or set a password, or set protected-mode no.'
  }

  gone(session: Session, _reason: string): void {
    this.#sentByGone += session.peer.sentBytes
    this.clients.remove(session)
    this.waiting.forget(session)
    this.acks.forget(session)
    this.pause.forget(session)
    this.shutdown.forget(session)
    session.cancelTimeout?.()
    this.watches.forget(session)
    this.tracking.disable(session)
    this.pubsub.forget(session)
    this.monitors.delete(session)
    this.repl.gone(session)
    if (!this.scripting.running) this.shutdown.acknowledged()
    this.recalm()
  }

  sentBytes(): number {
    let bytes = this.#sentByGone
    for (const session of this.clients) bytes += session.peer.sentBytes
    return bytes
  }

  get blockedClients(): number {
    return this.waiting.count + this.acks.count + this.pause.count + this.shutdown.waiting
  }

  /** CLIENT UNBLOCK: as if the time were over, or with an error. */
  unblock(session: Session, error: Bytes | undefined): void {
    if (session.parked?.on === 'acks') this.acks.unblock(session, error)
    else if (error === undefined) this.waiting.timeOut(session)
    else this.waiting.fail(session, error)
  }

  discardTransaction(session: Session): void {
    session.transaction = undefined
    this.watches.forget(session)
    session.refresh()
  }

  // ── Roles ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  get role(): 'master' | 'replica' {
    return this.follower === undefined ? 'master' : 'replica'
  }

  syncRole(): 'master' | 'connected' | 'broken' {
    if (this.follower === undefined) return 'master'
    return this.follower.connected ? 'connected' : 'broken'
  }

  /** REPLICAOF host port. `mayContinue`: what we hold belongs to our history, as far as we know. */
  follow(master: Address, mayContinue: boolean, takeover = false): void {
    // What a transaction did before it made us a replica belongs to the stream that ends here.
    if (this.effects.any) this.effects.flush()
    const before = this.follower
    this.fenced = false
    before?.stop('another-master')
    this.waiting.dismissAll(DEMOTED)
    this.acks.dismissAll(DEMOTED)
    if (before === undefined && mayContinue) this.repl.log.keep()
    this.follower = new Follower(this, master, mayContinue, takeover, before)
    this.effects.refresh()
    this.config.put('replicaof', `${master.host} ${master.port}`)
    this.#roleChanged()
    this.follower.handle({ type: 'tick' })
  }

  /** REPLICAOF NO ONE: what we hold becomes a history of its own. */
  promote(): void {
    const { follower, repl } = this
    if (follower === undefined) return
    this.follower = undefined
    follower.stop('promoted')
    // They hear the new history when they ask again, and continue.
    repl.dropAll()
    repl.log.keep()
    repl.log.history.promote(newReplid())
    repl.stream.forgetDb()
    repl.replicas.becameMaster(this.clock.now())
    this.effects.refresh()
    this.aof.offsetMoved()
    this.config.put('replicaof', '')
    this.#roleChanged()
  }

  /** Somebody has said that it is the master. */
  unfence(): void {
    if (!this.fenced) return
    this.fenced = false
    // What it writes from now on is its own.
    this.repl.log.history.promote(newReplid())
    this.aof.offsetMoved()
    this.log.notice('The fence is down: this node is a master')
    this.recalm()
  }

  #roleChanged(): void {
    this.engine.isReplica = this.follower !== undefined
    this.engine.forgetOwnExpiry()
    this.log.role = this.follower === undefined ? 'M' : 'S'
    this.memory.limitChanged()
    this.oomScore.apply()
    this.recalm()
  }

  killMasterLink(): boolean {
    const peer = this.follower?.peer
    if (peer === undefined) return false
    peer.destroy('killed')
    return true
  }

  // ── What commands ask ─────────────────────────────────────────────────────────────────────────────────────────────

  /** To be called when anything changed that makes the server special: see Dispatcher. */
  recalm(): void {
    const { pause, config } = this
    // Called while the parts are being put together as well.
    if (pause === undefined) return
    this.engine.expiryPaused = pause.active || this.fenced
    this.dispatcher.calm =
      this.follower === undefined &&
      !this.loading &&
      !this.scripting.busy &&
      !pause.active &&
      this.diskError === undefined &&
      this.monitors.size === 0 &&
      !this.fenced &&
      config.number('min-replicas-to-write') === 0
  }

  /** Why writes are refused: what was acknowledged before could not be written to the disk. */
  get diskError(): string | undefined {
    return this.snapshots.diskError ?? this.aof.error
  }

  masterDown(): boolean {
    const { follower } = this
    return follower !== undefined && !follower.connected && !this.config.flag('replica-serve-stale-data')
  }

  tooFewReplicas(): boolean {
    const wanted = this.config.number('min-replicas-to-write')
    if (wanted === 0 || this.role !== 'master' || this.config.number('min-replicas-max-lag') === 0) return false
    return this.repl.replicas.countGood(this.clock.now()) < wanted
  }

  refusesProtected(session: Session, spec: CommandSpec): Bytes | undefined {
    const container = spec.container?.name ?? spec.name
    const allowed = this.config.text(container === 'debug' ? 'enable-debug-command' : 'enable-module-command')
    if (allowed === 'yes' || (allowed === 'local' && isLoopback(session.peer.remoteHost))) return undefined
    const name = container.toUpperCase()
    return `ERR ${name} command not allowed. If the enable-${container}-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.`
  }

  mayChangeProtected(session: Session): boolean {
    const allowed = this.config.text('enable-protected-configs')
    return allowed === 'yes' || (allowed === 'local' && isLoopback(session.peer.remoteHost))
  }

  newReplid(): string {
    return newReplid()
  }

  randomHex(bytes: number): string {
    return randomBytes(bytes).toString('hex')
  }

  sha256(text: Bytes): string {
    return createHash('sha256').update(Buffer.from(text, 'latin1')).digest('hex')
  }

  /** A replica has said how far it is. Within a script nothing follows from that yet: its unit is not complete. */
  acknowledged(): void {
    if (this.scripting.running) return
    this.acks.serve()
    this.failover.acknowledged()
    this.shutdown.acknowledged()
  }

  /** A busy script is over: now follows what had to wait for it. */
  afterBusy(): void {
    this.acknowledged()
    if (!this.pause.active) this.follower?.resume()
    this.dispatcher.settle()
  }

  get shutdownUntil(): Millis | undefined {
    return this.shutdown.until
  }

  /** The folder of data files. */
  get dir(): string {
    return resolve(this.cwd, this.config.text('dir'))
  }

  setLogLevel(level: string): void {
    this.log.level = level as LogLevel
  }

  // ── Watching commands ─────────────────────────────────────────────────────────────────────────────────────────────

  noteSlow(session: Session, spec: CommandSpec, args: readonly Bytes[], micros: number): void {
    if (spec.flags.has('skip_slowlog')) return
    this.slowlog.add(
      {
        unixSeconds: Math.floor(this.clock.wall() / 1000),
        micros: Math.floor(micros),
        args: redact(spec, args),
        address: session.address,
        name: session.name,
      },
      this.config.number('slowlog-max-len'),
    )
  }

  feedMonitors(session: Session, spec: CommandSpec, args: readonly Bytes[]): void {
    // Scripts are skipped only so that they can be shown before what they call, as they are here anyway.
    if (spec.flags.has('admin') || (spec.flags.has('skip_monitor') && spec.group !== 'scripting')) return
    const now: UnixMillis = this.clock.wall()
    const stamp = `${Math.floor(now / 1000)}.${String(Math.floor((now % 1000) * 1000)).padStart(6, '0')}`
    const words = redact(spec, args).map(quote).join(' ')
    const line = `${stamp} [${session.db} ${session.address}] ${words}`
    for (const monitor of this.monitors) {
      // It stops watching with that.
      if (monitor === session && spec.name === 'reset') continue
      monitor.out.simple(line)
      monitor.peer.flushSoon()
    }
  }

  /** Removes keys whose time is over, and tells our replicas; answers how many. */
  expire(slots: number): number {
    const startedAt = this.clock.now()
    const removed = this.engine.expireCycle(this.clock.wall(), slots)
    this.latency.note('expire-cycle', this.clock.now() - startedAt)
    if (removed > 0) this.effects.flushSingly()
    return removed
  }

  // ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    if (this.cronPaused) return
    this.shutdown.tick()
    const now = this.clock.now()
    this.stats.outputBytes = this.sentBytes()
    this.stats.sample(now)
    this.memory.tick()
    this.tracking.tick()
    this.snapshots.tick()
    this.aof.tick()
    this.migration.tick()
    this.failover.tick()
    this.dispatcher.settle()
    setImmediate(() => this.#judge(now))
  }

  /**
   * Who has been silent for too long. Timers run before sockets are read: after a standstill of ours (a long script, SIGSTOP)
   * what others have said meanwhile still waits there. So this comes after the sockets were read once more since
   * `heardUntil`, and judges as of then.
   */
  #judge(heardUntil: Millis): void {
    if (this.#timers.length === 0) return
    if (!this.loading) this.follower?.handle({ type: 'tick', heardUntil })
    this.snapshots.noteProgress()
    this.repl.tick(heardUntil)
    this.clients.tick(heardUntil)
    this.dispatcher.settle()
  }

  #expire(): void {
    if (this.loading) return
    this.engine.rehash(REHASH_CHAINS)
    if (this.snapshots.expirySuspended) return
    this.expire(EXPIRE_SLOTS)
    this.dispatcher.settle()
  }
}

function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/, '')
  return plain === '' || plain === '::1' || plain.startsWith('127.')
}
