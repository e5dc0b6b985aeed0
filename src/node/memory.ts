/**
 * What the node's memory is used for, and what happens at `maxmemory`.
 *
 *     used = startup + data + clients' buffers + replication + cached scripts
 *     counted = used − what replicas have not taken yet          must stay within maxmemory
 *
 *     a command, a tick ─▶ relieve() ─┬─ fits                    ▶ goes on
 *                                     ├─ evicting, not done      ▶ goes on; the rest in the next turns of the loop
 *                                     └─ nothing to evict        ▶ commands that need memory get -OOM
 *
 * All of it is an account of our own, not V8's heap: see engine/memory.ts for why. Evicting because a replica is slow would
 * feed its buffer with deletions, so that is not counted.
 *
 * Without `maxmemory` there is a limit all the same: V8 ends a process whose heap is full. Shortly before, commands that need
 * memory get -OOM, and nothing is lost. No key is evicted for it: nobody has asked for that.
 *
 * The data's part is exact at any moment. What clients' buffers hold is added up anew when it is asked for, at most once
 * per CLIENT_AGE_MS for every client: with few clients it is as good as exact, and many never cost more than a percent.
 */
import { getHeapStatistics } from 'node:v8'
import type { Millis } from '../base/units.js'
import type { EvictionPolicy } from '../engine/eviction.js'
import { ENTRY } from '../engine/types/weight.js'
import { memoryOf } from './client-memory.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

/** What an empty server takes, as Redis counts it: limits that were written for Redis keep their meaning. */
const STARTUP_BYTES = 1024 * 1024
/**
 * A connection and its first buffers. As in Redis, where they are there from the start, short replies and requests add nothing:
 * evicting keys tells those who track them, and that must not be a reason to evict more.
 */
const CLIENT_BYTES = 20 * 1024
const CLIENT_AGE_MS = 0.01
/** Of what V8 allows: the rest is for what the account does not see, garbage first of all, and the program itself. */
const CEILING = 0.8
const PROGRAM_BYTES = 48 * 1024 * 1024
/** From this share of the ceiling on every command asks. */
const NEAR = 0.9
/** Keys evicted between two looks at the clock. */
const KEYS_PER_LOOK = 16
/** Tenacity up to which the time for evicting grows evenly, by so much per step; from there on by 15 percent. */
const EVEN_TENACITY = 10
const MS_PER_TENACITY = 0.05
const TENACITY_GROWTH = 1.15

export type Relief = 'fits' | 'evicting' | 'full'

export class Memory {
  readonly startupBytes = STARTUP_BYTES
  peakBytes = 0
  /** `maxmemory`, or the ceiling when it is near; infinite for none, and where the master's deletions are waited for instead. */
  limit = Number.POSITIVE_INFINITY
  /** What this process can hold. */
  ceiling = getHeapStatistics().heap_size_limit * CEILING - PROGRAM_BYTES
  /** How the last look at the limit ended: what scripts and -OOM go by. */
  relief: Relief = 'fits'
  #clients = { normal: 0, replicas: 0 }
  #clientsAt: Millis = Number.NEGATIVE_INFINITY
  /** Since when the limit is exceeded without an end. */
  #exceededSince: Millis | undefined
  #exceededMs: Millis = 0
  #cancel: (() => void) | undefined
  #warnedOf = 0

  constructor(private readonly server: NodeServer) {}

  // ── The account ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** `used_memory`. */
  get usedBytes(): number {
    const used =
      this.startupBytes + this.server.engine.dataBytes + this.clientBytes + this.backlogBytes + this.scriptBytes
    if (used > this.peakBytes) this.peakBytes = used
    return used
  }

  /** What the limit is held against. */
  get countedBytes(): number {
    return this.usedBytes - this.replicaBytes
  }

  get clientBytes(): number {
    return this.clients.normal + this.clients.replicas
  }

  /** Bytes of buffers and connections, by the kind of client. */
  get clients(): { readonly normal: number; readonly replicas: number } {
    const { server } = this
    const now = server.clock.now()
    if (now - this.#clientsAt < server.clients.size * CLIENT_AGE_MS) return this.#clients
    this.#clientsAt = now
    const sum = { normal: 0, replicas: 0 }
    for (const session of server.clients) sum[session.type === 'replica' ? 'replicas' : 'normal'] += bytesOf(session)
    this.#clients = sum
    return sum
  }

  /** The backlog's blocks, and those that are kept only because a replica has not taken them. */
  get backlogBytes(): number {
    return this.server.repl.log.backlog?.heldBytes ?? 0
  }

  /** What replicas that are behind make us keep: `mem_not_counted_for_evict`. */
  get replicaBytes(): number {
    return this.server.repl.log.backlog?.pinnedBytes ?? 0
  }

  get scriptBytes(): number {
    return this.server.scripting.scripts.bytes
  }

  /** All that is not the keys and values themselves. */
  get overheadBytes(): number {
    return this.usedBytes - this.server.engine.dataBytes + this.keyCount * ENTRY
  }

  get keyCount(): number {
    let count = 0
    for (const { size } of this.server.engine.databases) count += size
    return count
  }

  // ── The limit ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `maxmemory` or the role changed. */
  limitChanged(): void {
    const limit = this.server.config.number('maxmemory')
    this.limit = limit === 0 || this.#leftToMaster() ? Number.POSITIVE_INFINITY : limit
    this.relief = 'fits'
    this.#soon()
    if (limit > this.heapLimit && limit !== this.#warnedOf) {
      this.#warnedOf = limit
      this.server.log.warning(
        `maxmemory is ${limit} bytes, but V8 ends this process at ${this.heapLimit}: start node with --max-old-space-size above the limit`,
      )
    }
  }

  #leftToMaster(): boolean {
    return this.server.role === 'replica' && this.server.config.flag('replica-ignore-maxmemory')
  }

  /** Asked before every command: nothing has to go. */
  get fits(): boolean {
    return this.limit === Number.POSITIVE_INFINITY || (this.relief === 'fits' && this.countedBytes <= this.limit)
  }

  /** Evicts until the limit is kept, for as long as `maxmemory-eviction-tenacity` allows, and goes on in later turns. */
  relieve(): Relief {
    if (this.limit === Number.POSITIVE_INFINITY || !this.#mayEvict()) return (this.relief = 'fits')
    const startedAt = this.server.clock.now()
    this.relief = this.#evict(startedAt)
    const now = this.server.clock.now()
    if (this.relief === 'fits') {
      if (this.#exceededSince !== undefined) this.#exceededMs += now - this.#exceededSince
      this.#exceededSince = undefined
    } else this.#exceededSince ??= startedAt
    if (this.relief === 'evicting') this.#soon()
    return this.relief
  }

  /** Data may not change by itself while it is loaded, held still, or in the hands of a script. */
  #mayEvict(): boolean {
    const { loading, scripting, pause } = this.server
    return !loading && !scripting.running && !pause.active
  }

  #evict(startedAt: Millis): Relief {
    const excess = this.countedBytes - this.limit
    if (excess <= 0) return 'fits'
    const { engine, config, clock, effects, latency } = this.server
    const policy = config.text('maxmemory-policy')
    if (policy === 'noeviction' || config.number('maxmemory') === 0) return 'full'
    const samples = config.number('maxmemory-samples')
    const until = startedAt + this.#patience()
    let relief: Relief = 'fits'
    // Measured by the data alone: what is told about evicted keys takes memory for a moment.
    const enough = engine.dataBytes - excess
    for (let evicted = 1; engine.dataBytes > enough; evicted++) {
      if (engine.evict(policy as EvictionPolicy, samples, clock.wall()) === undefined) {
        relief = 'full'
        break
      }
      if (evicted % KEYS_PER_LOOK === 0 && clock.now() >= until) {
        relief = 'evicting'
        break
      }
    }
    if (effects.any) effects.flushSingly()
    latency.note('eviction-cycle', clock.now() - startedAt)
    return relief
  }

  #patience(): Millis {
    const tenacity = this.server.config.number('maxmemory-eviction-tenacity')
    if (tenacity <= EVEN_TENACITY) return tenacity * MS_PER_TENACITY
    if (tenacity === 100) return Number.POSITIVE_INFINITY
    return EVEN_TENACITY * MS_PER_TENACITY * TENACITY_GROWTH ** (tenacity - EVEN_TENACITY)
  }

  /** In the next turn of the loop: clients are served between two rounds. */
  #soon(): void {
    if (this.limit === Number.POSITIVE_INFINITY || this.#cancel !== undefined) return
    this.#cancel = this.server.clock.after(0, () => {
      this.#cancel = undefined
      this.relieve()
    })
  }

  /** Several times a second: what grew without a command, such as the buffers of clients that do not read. */
  tick(): void {
    const used = this.usedBytes
    if (this.server.config.number('maxmemory') === 0) {
      const near = used > this.ceiling * NEAR && !this.#leftToMaster()
      if (near && this.limit > this.ceiling)
        this.server.log.warning(`${used} bytes are used, and V8 allows little more`)
      this.limit = near ? this.ceiling : Number.POSITIVE_INFINITY
    }
    if (!this.fits) this.relieve()
  }

  stop(): void {
    this.#cancel?.()
  }

  // ── What is told of it ────────────────────────────────────────────────────────────────────────────────────────────

  /** Milliseconds: in all, and since the limit is exceeded now. */
  exceeded(now: Millis): { readonly total: Millis; readonly current: Millis } {
    const current = this.#exceededSince === undefined ? 0 : now - this.#exceededSince
    return { total: Math.floor(this.#exceededMs + current), current: Math.floor(current) }
  }

  /** CONFIG RESETSTAT. */
  resetStats(): void {
    this.peakBytes = this.usedBytes
    this.#exceededMs = 0
    this.#exceededSince = undefined
  }

  /** What V8 gives this process at most; beyond it the process ends. */
  get heapLimit(): number {
    return getHeapStatistics().heap_size_limit
  }
}

function bytesOf(session: Session): number {
  // What a replica waits for is a part of the backlog.
  if (session.type === 'replica') return CLIENT_BYTES
  // What tells of evicted keys is no reason to evict more: replies count when the turn is over and the kernel has not taken
  // them, and not the block that is kept for them.
  const { total, replyBlock } = memoryOf(session)
  return Math.max(CLIENT_BYTES, total - replyBlock)
}
