/**
 * Following sentinels that somebody else runs: they decide, the proxy uses their master within milliseconds.
 *
 *     every sentinel ──messages──▶ something happened to our master ─┐
 *                    ──every second, and at once then──▶ who is it? ─┴─▶ believe ─▶ INFO of it: master? ─▶ declareMaster
 *
 * A word is not enough: nothing is written to an instance before it has said itself that it is master. Sentinels tell of
 * each other and of the replicas, so that new ones are met and lost ones are not needed.
 */
import { type Address, formatAddress, parseAddress } from '../base/address.js'
import type { EventSink } from '../base/bus.js'
import { type Clock, every } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import type { MetricStore } from '../metrics/store.js'
import { Client, ConnectionError, type Credentials } from '../net/client.js'
import type { Observer } from '../observer/observer.js'
import { type Frame, itemsOf, textOf } from '../resp/protocol.js'
import { isUp } from '../topology/group.js'
import { lineageOf } from '../topology/lineage.js'
import { believe, type SentinelWord } from '../topology/quorum/follow.js'

export interface FollowOptions {
  readonly sentinels: readonly Address[]
  /** What they call our group. */
  readonly masterName: string
  readonly credentials: Credentials
}

const POLL_MS: Millis = 1000
const RETRY_MS: Millis = 1000
const TIMEOUT_MS: Millis = 2000
/** What was said is looked at again this soon while the instance does not say it itself. */
const VERIFY_MS: Millis = 5
const URGENT_MS: Millis = 3000
/** Where instances and sentinels disagree for so long, the sentinels are right: they will act on what they believe. */
const INSIST_MS: Millis = 5000
/** Discovered ones are input of others: no more than this. */
const SENTINELS_MAX = 32
/** A discovered sentinel that does not answer for so long is forgotten; the configured ones never are. */
const LOST_MS: Millis = 60_000

interface Source {
  readonly address: Address
  readonly configured: boolean
  questions: Client | undefined
  messages: Client | undefined
  triedAt: Millis
  heardAt: Millis
  up: boolean
  asking: boolean
}

export class SentinelFollower {
  readonly #sources = new Map<string, Source>()
  readonly #words = new Map<string, SentinelWord>()
  #cancel: (() => void)[] = []
  #verifying: string | undefined
  /** What we are about to believe, and until when it is worth asking again and again. */
  #claim = ''
  #urgentUntil: Millis = 0
  #declared = { claim: '', at: 0 }
  #stopped = false

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly metrics: MetricStore,
    private readonly observer: Observer,
    private readonly options: FollowOptions,
  ) {
    for (const address of options.sentinels) this.#add(address, true)
  }

  start(): void {
    this.#cancel = [every(this.clock, POLL_MS, () => this.#tick()), this.observer.onChange(() => this.#consider())]
    this.#tick()
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#cancel) cancel()
    for (const source of this.#sources.values()) this.#close(source)
  }

  /** Asks sentinels, one after the other, until one takes the order; answers its name. Throws what the last one said. */
  async order(...args: readonly string[]): Promise<string> {
    let last: unknown = new ConnectionError('no-sentinel')
    for (const [name, { questions, up }] of this.#sources) {
      if (!up || questions === undefined || questions.closed) continue
      try {
        await questions.call(...args)
        return name
      } catch (error) {
        last = error
      }
    }
    throw last
  }

  // ── Connections ───────────────────────────────────────────────────────────────────────────────────────────────────

  #add(address: Address, configured: boolean): void {
    const name = formatAddress(address)
    if (this.#sources.has(name) || this.#sources.size >= SENTINELS_MAX) return
    const never = Number.NEGATIVE_INFINITY
    const fresh = { questions: undefined, messages: undefined, triedAt: never, up: false, asking: false }
    this.#sources.set(name, { address, configured, heardAt: this.clock.now(), ...fresh })
    if (!configured) this.events.event('info', '+sentinel', { group: this.observer.name, sentinel: name })
  }

  #tick(): void {
    const now = this.clock.now()
    for (const [name, source] of [...this.#sources]) {
      if (!source.configured && now - source.heardAt > LOST_MS) {
        this.#close(source)
        this.#sources.delete(name)
        this.#words.delete(name)
        this.events.event('info', '-sentinel', { group: this.observer.name, sentinel: name })
        continue
      }
      if (source.questions === undefined && now - source.triedAt >= RETRY_MS) this.#connect(name, source)
      void this.#ask(name, source)
    }
    this.#count()
  }

  #connect(name: string, source: Source): void {
    source.triedAt = this.clock.now()
    const common = { ...this.options.credentials, connectTimeoutMs: TIMEOUT_MS, name: 'lagrange-proxy' }
    source.questions = new Client(source.address, {
      ...common,
      replyTimeoutMs: TIMEOUT_MS,
      onClose: () => this.#lost(name, source),
    })
    source.messages = new Client(source.address, {
      ...common,
      replyTimeoutMs: 0,
      onPush: frame => this.#pushed(name, source, frame),
      // One without the other is of half use: both are opened again.
      onClose: () => source.questions?.close('no-messages'),
    })
    source.messages.send(['PSUBSCRIBE', '*']).catch(() => undefined)
  }

  #lost(name: string, source: Source): void {
    this.#close(source)
    if (source.up) this.events.event('warn', '-sentinel-link', { group: this.observer.name, sentinel: name })
    source.up = false
  }

  #close(source: Source): void {
    const { questions, messages } = source
    source.questions = source.messages = undefined
    questions?.close()
    messages?.close()
  }

  // ── Hearing ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #pushed(name: string, source: Source, frame: Frame): void {
    const [kind, , channel = '', message = ''] = itemsOf(frame).map(item => textOf(item) ?? '')
    if (kind !== 'pmessage' || !message.split(' ').includes(this.options.masterName)) return
    source.heardAt = this.clock.now()
    if (channel === '+switch-master') {
      const [, , , host = '', port = ''] = message.split(' ')
      // Its probe connects while we ask.
      if (parseAddress(formatAddress({ host, port: Number(port) })) !== undefined) {
        this.observer.addSeed({ host, port: Number(port) })
      }
    }
    void this.#ask(name, source, true)
  }

  async #ask(name: string, source: Source, again = false): Promise<void> {
    const { questions } = source
    if (questions === undefined || questions.closed || (source.asking && !again)) return
    source.asking = true
    const { masterName } = this.options
    try {
      const [address, master, replicas, sentinels] = await Promise.all(
        ['GET-MASTER-ADDR-BY-NAME', 'MASTER', 'REPLICAS', 'SENTINELS'].map(word =>
          questions.send(['SENTINEL', word, masterName]),
        ),
      )
      if (this.#stopped) return
      this.#heard(name, source)
      this.#learn(sentinels, fields => this.#add(fields, false))
      this.#learn(replicas, fields => this.observer.addSeed(fields))
      const word = wordOf(name, address, master, this.clock.now())
      if (word === undefined) return
      this.#words.set(name, word)
      this.#consider()
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
    } finally {
      source.asking = false
    }
  }

  #heard(name: string, source: Source): void {
    source.heardAt = this.clock.now()
    if (source.up) return
    source.up = true
    this.events.event('info', '+sentinel-link', { group: this.observer.name, sentinel: name })
    this.#count()
  }

  /** Those that can be reached, as far as the sentinel knows. */
  #learn(frame: Frame | undefined, take: (address: Address) => void): void {
    for (const item of itemsOf(frame)) {
      const fields = fieldsOf(item)
      const flags = (fields.get('flags') ?? '').split(',')
      if (flags.includes('s_down') || flags.includes('disconnected')) continue
      const address = parseAddress(formatAddress({ host: fields.get('ip') ?? '', port: Number(fields.get('port')) }))
      if (address !== undefined) take(address)
    }
  }

  // ── Believing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Called whenever somebody said something, and whenever facts changed. */
  #consider(): void {
    if (this.#stopped) return
    const word = believe([...this.#words.values()], this.clock.now())
    if (word === undefined) return
    this.observer.addSeed(word.master)
    const claim = `${formatAddress(word.master)} ${word.configEpoch}`
    if (claim !== this.#claim) {
      this.#claim = claim
      this.#urgentUntil = this.clock.now() + URGENT_MS
    }
    const named = this.observer.find(word.master)
    if (named === undefined || named.id === this.observer.group.declared) return
    const now = this.clock.now()
    const says = named.role === 'master' && named.infoAt !== undefined && named.infoAt >= named.roleSince
    const lives = isUp(named, this.observer.judgeOptions, now)
    if (!says || !lives || lineageOf(named) === undefined) return this.#verify(named.id)
    // The instances may show a change before the sentinels do; their old word must not undo it again and again.
    if (this.#declared.claim === claim && now - this.#declared.at < INSIST_MS) return
    this.#declared = { claim, at: now }
    this.observer.declareMaster(named.id, word.configEpoch, `sentinel ${word.sentinel}`)
  }

  /** It is about to be master, or the sentinel knows more than we: we ask until one of them says otherwise. */
  #verify(id: string): void {
    // It may be dead, and the sentinels not know it yet: then the next word will be about another one.
    if (this.#verifying === id || this.clock.now() > this.#urgentUntil) return
    this.#verifying = id
    this.observer.look([id])
    this.clock.after(VERIFY_MS, () => {
      this.#verifying = undefined
      this.#consider()
    })
  }

  #count(): void {
    const sources = [...this.#sources.values()]
    const group = this.observer.name
    this.metrics.gauge('lagrange_sentinels', { group, state: 'up' }).value = sources.filter(({ up }) => up).length
    this.metrics.gauge('lagrange_sentinels', { group, state: 'down' }).value = sources.filter(({ up }) => !up).length
  }
}

function wordOf(
  sentinel: string,
  address: Frame | undefined,
  master: Frame | undefined,
  at: Millis,
): SentinelWord | undefined {
  const [host = '', port = ''] = itemsOf(address).map(item => textOf(item) ?? '')
  const place = parseAddress(formatAddress({ host, port: Number(port) }))
  const configEpoch = Number(fieldsOf(master).get('config-epoch'))
  if (place === undefined || !Number.isSafeInteger(configEpoch)) return undefined
  return { sentinel, master: place, configEpoch, at }
}

/** `[name, value, …]` in RESP2. */
function fieldsOf(frame: Frame | undefined): ReadonlyMap<string, string> {
  const texts = itemsOf(frame).map(item => textOf(item) ?? '')
  const fields = new Map<string, string>()
  for (let at = 0; at + 1 < texts.length; at += 2) fields.set(texts[at] as string, texts[at + 1] as string)
  return fields
}
