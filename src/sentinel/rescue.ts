/**
 * Before an old master is demoted, what it alone has is saved; later, an operator may apply it.
 *
 *     returned master ──INFO──▶ planRescue ──┬─ nothing ────────────────────────────▶ demote
 *                                            ├─ PSYNC from the fork ─▶ .aof, index ─▶ demote
 *                                            └─ its data set ────────▶ .rdb, index ─▶ demote
 *
 * It gets no traffic from us by then, but others may write to it: its clients' writes are paused while it is asked. What
 * cannot be had is said in the index. A failure that may pass (the connection, the disk) postpones the demotion.
 */
import type { Address } from '../base/address.js'
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import type { Bytes, Millis } from '../base/units.js'
import type { MetricStore } from '../metrics/store.js'
import { Client, ConnectionError, type Credentials } from '../net/client.js'
import type { Observer } from '../observer/observer.js'
import { infoOf } from '../observer/probe.js'
import { encodeCommand } from '../resp/encoder.js'
import { ProtocolError } from '../resp/protocol.js'
import type { InfoReply } from '../topology/facts.js'
import { planRescue, type RescuePlan } from '../topology/rescue.js'
import type { Lineage } from '../topology/view.js'
import { type Write, WriteReader } from '../topology/written.js'
import { type ExcerptResult, takeExcerpt } from './excerpt.js'
import { Replayer } from './replay.js'
import type { RescuedKey, RescueFile, RescueFiles, RescueIndex } from './rescue-files.js'

export interface ApplyRequest {
  readonly id: string
  /** Leave out writes to keys that the group has changed since. */
  readonly skipChanged: boolean
  readonly dryRun: boolean
}

export interface ApplyReport {
  readonly id: string
  readonly applied: number
  readonly skipped: number
  /** Error replies: those writes were not applied. */
  readonly failed: number
  readonly skippedKeys: readonly string[]
  readonly firstError: string | undefined
}

/** Why nothing was applied. */
export interface ApplyRefusal {
  readonly refused: 'unknown-rescue' | 'no-writes' | 'no-master' | 'changes-unknown'
  readonly detail: string
}

const CONNECT_MS: Millis = 1000
const REPLY_MS: Millis = 5000
const IDLE_MS: Millis = 10_000
/** For the question and the answer; the demotion follows at once. */
const PAUSE_MS: Millis = 5000
/** Named in an index; all of them are in the file. */
const KEYS_MAX = 10_000
const CLOSE_MS: Millis = 50
const SHOWN_KEYS_MAX = 1000

export class Rescuer {
  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly metrics: MetricStore,
    private readonly observer: Observer,
    private readonly credentials: Credentials,
    readonly files: RescueFiles,
  ) {
    for (const result of ['stream', 'snapshot', 'nothing', 'failed']) this.#count(result, 0)
    this.metrics.counter('lagrange_rescued_writes_total', { group: observer.name })
  }

  /**
   * To be awaited before `id` is demoted. Throws when it should be tried again. Afterwards writes are still paused there:
   * what was accepted between the rescue and the demotion would be lost. Whoever demotes it ends the pause.
   */
  async rescue(id: string): Promise<void> {
    const instance = this.observer.instance(id)
    const { lineage, declared } = this.observer.group
    if (instance === undefined || lineage === undefined || declared === undefined || declared === id) return
    const client = this.#dial(instance.address)
    try {
      await client.send(['CLIENT', 'PAUSE', String(PAUSE_MS), 'WRITE'])
      const info = await askInfo(client)
      const plan = planRescue(info, lineage)
      if (plan.take === 'nothing') return this.#count('nothing')
      await this.#save(instance.address, id, declared, info, plan, lineage)
    } catch (error) {
      this.#count('failed')
      const fields = { group: this.observer.name, node: id, reason: (error as Error).message }
      this.events.event('error', '-rescue-failed', fields)
      client.send(['CLIENT', 'UNPAUSE']).catch(() => undefined)
      throw error
    } finally {
      // After what was sent last has left.
      this.clock.after(CLOSE_MS, () => client.close())
    }
  }

  async #save(
    address: Address,
    node: string,
    master: string,
    info: InfoReply,
    plan: Exclude<RescuePlan, { take: 'nothing' }>,
    lineage: Lineage,
  ): Promise<void> {
    const at = this.clock.wall()
    const id = `${stamp(at)}-${node.replaceAll(':', '-')}`
    const taking = new Saving(this.files, id, info)
    const request =
      plan.take === 'stream'
        ? ({ what: 'stream', replid: plan.replid, from: plan.from, until: plan.until } as const)
        : ({ what: 'snapshot' } as const)
    const options = { credentials: this.credentials, connectTimeoutMs: CONNECT_MS, idleTimeoutMs: IDLE_MS }
    let result: ExcerptResult
    try {
      result = await takeExcerpt(this.clock, address, request, taking, options)
    } catch (error) {
      taking.abandon()
      throw error
    }
    taking.finish()
    const missing = missingOf(plan, result)
    const { writes, keys } = taking
    const worth = result.got !== 'stream' || writes > 0
    const index: RescueIndex = {
      id,
      group: this.observer.name,
      at,
      node,
      master,
      replid: plan.take === 'stream' ? plan.replid : (lineage.replid2 ?? ''),
      from: plan.from,
      until: plan.take === 'stream' ? plan.until : undefined,
      file: result.got === 'nothing' ? undefined : taking.name,
      bytes: taking.bytes,
      writes,
      keys: keys.slice(0, KEYS_MAX),
      keyCount: keys.length,
      missing,
      database: taking.database,
      applied: undefined,
    }
    // PINGs alone are nobody's loss.
    if (worth) this.files.save(index)
    this.#count(worth ? (result.got === 'nothing' ? 'failed' : result.got) : 'nothing')
    this.metrics.counter('lagrange_rescued_writes_total', { group: this.observer.name }).value += writes
    if (!worth) return
    const named = keys.slice(0, 5).map(({ key }) => bytesToText(key))
    const fields = { group: this.observer.name, node, id, writes, keys: keys.length, bytes: taking.bytes, missing }
    this.events.event('error', '+lost-writes', { ...fields, named: named.join(' ') })
  }

  // ── Applying ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends the rescued writes to the master of the moment, in their order, a transaction as a transaction. */
  async apply(request: ApplyRequest): Promise<ApplyReport | ApplyRefusal> {
    const index = this.files.find(request.id)
    if (index === undefined) return refuse('unknown-rescue', `there is no rescue ${request.id}`)
    if (index.writes === 0)
      return refuse('no-writes', `only the data could be had (${index.missing}): see ${index.file}`)
    const master = this.observer.view.groups[0]?.master
    if (master === undefined) return refuse('no-master', 'nobody is master at the moment')
    const changed = request.skipChanged ? await this.#changedSince(index, master) : new Set<string>()
    if (changed === undefined) {
      return refuse('changes-unknown', 'the master does not hold its stream back to the fork any more')
    }
    const writes = new WriteReader(0).feed(this.files.read(index))
    const isChanged = (write: Write): boolean =>
      request.skipChanged && (write.keys ?? []).some(key => changed.has(`${write.db}:${key}`) || changed.has('*'))
    const skipped = writes.filter(isChanged)
    const chosen = writes.filter(write => !isChanged(write))
    const skippedKeys = new Set(skipped.flatMap(write => (write.keys ?? []).map(bytesToText)))
    const sent = request.dryRun ? { failed: 0, firstError: undefined } : await this.#send(master, chosen)
    const report: ApplyReport = {
      id: index.id,
      applied: chosen.length - sent.failed,
      skipped: skipped.length,
      skippedKeys: [...skippedKeys].slice(0, SHOWN_KEYS_MAX),
      ...sent,
    }
    if (request.dryRun) return report
    const { applied, failed } = report
    this.files.save({ ...index, applied: { at: this.clock.wall(), applied, skipped: report.skipped } })
    const fields = { group: this.observer.name, id: index.id, applied, skipped: report.skipped, failed }
    this.events.event('warn', '+rescue-applied', fields)
    return report
  }

  /** `db:key` of everything written since the fork, `*` when that may be anything; undefined when nobody can tell. */
  async #changedSince(index: RescueIndex, master: Address): Promise<Set<string> | undefined> {
    const client = this.#dial(master)
    const info = await askInfo(client).finally(() => client.close())
    const { replid, offset } = info
    if (replid === undefined || offset === undefined || !info.backlog.active) return undefined
    if (index.from < offset + 1 - info.backlog.historyBytes) return undefined
    const changed = new Set<string>()
    const reader = new WriteReader(0)
    const sink = {
      onStream: (chunk: Buffer): void => {
        for (const { db, keys } of reader.feed(chunk)) {
          if (keys === undefined) changed.add('*')
          for (const key of keys ?? []) changed.add(`${db}:${key}`)
        }
      },
      onSnapshot: (): void => {
        throw new ConnectionError('full-resync')
      },
    }
    const options = { credentials: this.credentials, connectTimeoutMs: CONNECT_MS, idleTimeoutMs: IDLE_MS }
    const request = { what: 'stream', replid, from: index.from, until: offset + 1 } as const
    try {
      const { got } = await takeExcerpt(this.clock, master, request, sink, options)
      return got === 'stream' ? changed : undefined
    } catch (error) {
      if (error instanceof ConnectionError || error instanceof ProtocolError) return undefined
      throw error
    }
  }

  async #send(
    master: Address,
    writes: readonly Write[],
  ): Promise<{ readonly failed: number; readonly firstError: string | undefined }> {
    const client = this.#dial(master)
    try {
      const replayer = new Replayer(command => client.send(command))
      await replayer.replay(writes)
      return replayer.replayed
    } finally {
      client.close()
    }
  }

  #dial(address: Address): Client {
    return new Client(address, {
      ...this.credentials,
      connectTimeoutMs: CONNECT_MS,
      replyTimeoutMs: REPLY_MS,
      name: 'lagrange-rescue',
    })
  }

  #count(result: string, by = 1): void {
    this.metrics.counter('lagrange_rescues_total', { group: this.observer.name, result }).value += by
  }
}

/** One rescue under way: bytes go to the file, and are read for what they do. */
class Saving {
  readonly database: RescueIndex['database']
  writes = 0
  name: string
  #file: RescueFile | undefined
  readonly #keys = new Map<string, { readonly db: number; readonly key: Bytes; writes: number }>()
  readonly #reader: WriteReader
  #writtenDb = -1

  constructor(
    private readonly files: RescueFiles,
    private readonly id: string,
    info: InfoReply,
  ) {
    // The stream names a database only when it changes. Where just one is in use, it is that one.
    const [only, another] = info.databases
    this.database = only !== undefined && another === undefined ? 'known' : 'assumed'
    this.#reader = new WriteReader(another === undefined ? (only ?? 0) : 0)
    this.name = `${id}.aof`
  }

  get bytes(): number {
    return this.#file?.bytes ?? 0
  }

  get keys(): readonly RescuedKey[] {
    return [...this.#keys.values()]
  }

  onStream(chunk: Buffer): void {
    for (const write of this.#reader.feed(chunk)) {
      this.writes++
      this.#append(write)
      for (const key of write.keys ?? []) {
        const name = `${write.db}:${key}`
        const known = this.#keys.get(name)
        if (known === undefined) this.#keys.set(name, { db: write.db, key, writes: 1 })
        else known.writes++
      }
    }
  }

  onSnapshot(chunk: Buffer): void {
    this.name = `${this.id}.rdb`
    this.#file ??= this.files.begin(this.name)
    this.#file.write(chunk)
  }

  /** As an append-only file has it: every database named, transactions whole. */
  #append({ db, commands }: Write): void {
    this.#file ??= this.files.begin(this.name)
    if (db !== this.#writtenDb) this.#file.write(encodeCommand(['SELECT', String(db)]))
    this.#writtenDb = db
    if (commands.length > 1) this.#file.write(encodeCommand(['MULTI']))
    for (const command of commands) this.#file.write(encodeCommand(command))
    if (commands.length > 1) this.#file.write(encodeCommand(['EXEC']))
  }

  finish(): void {
    this.#file?.finish()
  }

  abandon(): void {
    this.#file?.abandon()
  }
}

async function askInfo(client: Client): Promise<InfoReply> {
  const info = infoOf(await client.send(['INFO']))
  if (info === undefined) throw new ConnectionError('no-info')
  return info
}

function missingOf(plan: RescuePlan, result: ExcerptResult): string | undefined {
  if (result.got === 'nothing') return `everything: ${result.refused}`
  if (plan.take === 'snapshot') return `the writes themselves: ${plan.because}`
  return result.got === 'snapshot' ? 'the writes themselves: psync-refused' : undefined
}

function bytesToText(bytes: Bytes): string {
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

function refuse(refused: ApplyRefusal['refused'], detail: string): ApplyRefusal {
  return { refused, detail }
}

function stamp(at: number): string {
  return new Date(at).toISOString().replaceAll(/[-:]|\.\d+/g, '')
}
