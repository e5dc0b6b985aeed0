/**
 * The clients of bench:history: what they write, by all the ways in which a key can come to hold something, and how they
 * read it.
 *
 * Every writer has keys of its own, of each kind one:
 *
 *     r   register            SET, GETSET, in MULTI, by a script that declares nothing, RENAME, COPY, from another database
 *     l   list                RPUSH, and BLMOVE that waited for its element: reads must show a run of one order
 *     a b pair                MSET, MULTI: nobody may see one without the other
 *     c   counter             INCR: answers never go back
 *     s   stream              XADD; s/seen: what its group has been handed by XREADGROUP
 *     d   comes and goes      SET, DEL, PEXPIRE, SET PX
 *     x   of databases 2, 3   SET, SWAPDB, FLUSHDB, DEL
 *
 * Each value carries the name of its key, so that a reply for somebody else is seen at once; and so do tokens of ECHO
 * between the commands of a pipeline.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Operation, Sight } from '../support/history.js'
import { type Plain, plain, RawClient } from '../support/raw-client.js'

export interface Round {
  readonly port: number
  readonly name: string
  readonly until: number
  /** Scripts and FLUSHDB make all reads take care: half of the rounds go without. */
  readonly barriers: boolean
  /** The master changes: some counts are not what they were. */
  readonly switches: boolean
  readonly history: Operation[]
  readonly sights: Sight[]
  /** Versions that are missing between two that were seen: none of them may have been acknowledged. */
  readonly gaps: { readonly key: string; readonly version: number; readonly at: number }[]
  /** Keys whose value was not known any more from then on, as a write is in doubt. */
  readonly unsure: Map<string, number>
  refused: number
  heard: number
  wrong: string[]
}

export const CLIENTS = 24
export const WRITERS = 12
/** Reads in one pipeline. */
const BATCH = 16

const SCRIPT = "redis.call('SET', ARGV[1], ARGV[2]) return redis.call('GET', ARGV[1])"
const READING_SCRIPT = "return redis.call('GET', KEYS[1])"

/** Refused, or not even looked at: it was not executed. */
const NOT_DONE = /^-(MASTERDOWN|LOSTWRITE|READONLY|EXECABORT|LOADING|NOREPLICAS)/

export async function use(round: Round, client: number, level: string, chance: () => number): Promise<void> {
  const user = new User(round, client, level, chance)
  await user.open()
  try {
    await user.work()
  } finally {
    user.close()
  }
}

type Kind = 'r' | 'l' | 'p' | 'c' | 's' | 'd'

/** One read of a pipeline: what is sent, and what is made of the reply. */
interface Question {
  readonly commands: readonly (readonly string[])[]
  /** Of the replies, the one that counts. */
  readonly at: number
  take(reply: Plain): void
}

class User {
  readonly #connections: RawClient[] = []
  #writing!: RawClient
  #subscriber: RawClient | undefined
  #waiting: RawClient | undefined
  readonly #versions = new Map<string, number>()
  readonly #given = new Set<Kind>()
  #from = 0
  #to = 0
  /** The number of the connection that was used last. */
  #by = 0
  #tokens = 0
  /** What the reply at hand is to. */
  #asked = ''
  #inTwo: string | null = null
  #inThree: string | null = null
  /** In which the value of a key that comes and goes is not known any more. */
  #unsure = false

  constructor(
    private readonly round: Round,
    private readonly client: number,
    private readonly level: string,
    private readonly chance: () => number,
  ) {}

  get #writes(): boolean {
    return this.client < WRITERS
  }

  async open(): Promise<void> {
    // At level session one connection is the session; at the others a client may come by any.
    const count = this.level === 'session' ? 1 : 2
    for (let index = 0; index < count; index++) this.#connections.push(await this.#connect())
    this.#writing = this.#connections[0] as RawClient
    if (this.#writes && this.level !== 'session') this.#writing = await this.#connect()
    if (this.#writes && this.level !== 'session') this.#waiting = await this.#connect()
    if (this.level === 'causal' && !this.#writes) await this.#subscribe()
  }

  async #connect(): Promise<RawClient> {
    const connection = await RawClient.open(this.round.port)
    const reply = await connection.call('LAGRANGE', 'CONSISTENCY', ...this.level.split(' '))
    if (reply !== 'OK') throw new Error(String(reply))
    return connection
  }

  close(): void {
    for (const one of [...this.#connections, this.#writing, this.#subscriber, this.#waiting]) one?.close()
  }

  async work(): Promise<void> {
    while (performance.now() < this.round.until) {
      if (this.#writes && this.chance() < 0.3) await this.#write()
      else await this.#read()
      if (this.chance() < 0.02) await sleep(this.chance() * 5)
    }
  }

  // ── Writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #write(): Promise<void> {
    if (this.client === 0 && this.round.barriers && this.chance() < 0.05) return this.#exchange()
    const kind = this.#pick(['r', 'r', 'l', 'l', 'p', 'c', 's', 'd'] as const)
    if (this.#given.has(kind)) return
    switch (kind) {
      case 'r':
        return this.#writeRegister()
      case 'l':
        return this.#waiting !== undefined && this.chance() < 0.1 ? this.#moveToList() : this.#pushToList()
      case 'p':
        return this.#writePair()
      case 'c':
        return this.#count()
      case 's':
        return this.#append()
      default:
        return this.#comeAndGo()
    }
  }

  async #writeRegister(): Promise<void> {
    const key = this.#key('r')
    const version = this.#next(key)
    const value = `${key}=${version}`
    const [commands, at] = this.#waysToSet(key, value)
    // In one write with what tells of it, and with reads around it.
    const channel = this.round.name
    const before = this.chance() < 0.2 ? [['GET', key]] : []
    const after = this.chance() < 0.3 ? [['GET', key]] : []
    const news = this.chance() < 0.2 ? [['PUBLISH', channel, value]] : []
    const replies = await this.#send(this.#writing, [...before, ...commands, ...news, ...after])
    const by = `${commands.map(words => words.join(' ')).join(', ')} -> ${JSON.stringify(replies)}`
    const outcome = this.#record(key, version, replies[before.length + at], by)
    if (before.length > 0) {
      const seen = this.#versionOf(key, replies[0])
      // Asked again after it, where its connection died: then the write is in doubt.
      if (seen !== undefined && seen >= version && outcome !== 'doubtful')
        this.#wrong(`${key}: read ${seen} before ${version} was written, ${by}`)
    }
    this.#asked = 'GET behind'
    if (after.length > 0 && outcome === 'done') {
      const seen = this.#versionOf(key, replies.at(-1))
      if (seen !== undefined) this.#saw(key, seen)
    }
  }

  /** The commands, and whose reply tells whether it was done. */
  #waysToSet(key: string, value: string): [commands: string[][], at: number] {
    // A name of its own: of what an earlier write left aside, where this one's SET was refused, COPY would make the new value.
    const aside = `${value}:aside`
    const way = Math.floor(this.chance() * (this.round.barriers ? 9 : 7))
    switch (way) {
      case 0:
        return [[['MULTI'], ['SET', key, value], ['EXEC']], 2]
      case 1:
        return [
          [
            ['SET', aside, value],
            ['RENAME', aside, key],
          ],
          1,
        ]
      case 2:
        return [
          [
            ['SET', aside, value],
            ['COPY', aside, key, 'REPLACE'],
            ['UNLINK', aside],
          ],
          1,
        ]
      case 3:
        return [[['GETSET', key, value]], 0]
      case 4:
        return [
          [
            ['SELECT', '1'],
            ['SET', aside, value],
            ['COPY', aside, key, 'DB', '0', 'REPLACE'],
            ['UNLINK', aside],
            ['SELECT', '0'],
          ],
          2,
        ]
      case 7:
        return [[['EVAL', SCRIPT, '0', key, value]], 0]
      case 8:
        return [[['EVAL', SCRIPT, '1', aside, key, value].map(String)], 0]
      default:
        return [[['SET', key, value]], 0]
    }
  }

  async #pushToList(): Promise<void> {
    const key = this.#key('l')
    const version = this.#next(key)
    const [reply] = await this.#send(this.#writing, [['RPUSH', key, `${key}=${version}`]])
    this.#record(key, version, reply)
  }

  /** It waits for an element that comes on another connection. */
  async #moveToList(): Promise<void> {
    const waiting = this.#waiting as RawClient
    const key = this.#key('l')
    const queue = `${key}:queue`
    const version = this.#next(key)
    const value = `${key}=${version}`
    const from = performance.now()
    const moved = waiting.call('BLMOVE', queue, key, 'LEFT', 'RIGHT', '2').then(
      reply => ({ reply, to: performance.now() }),
      () => ({ reply: '-closed' as Plain, to: performance.now() }),
    )
    await this.#send(this.#writing, [['RPUSH', queue, value]])
    const { reply, to } = await moved
    this.#noteTold(reply, to)
    if (reply === value) this.#push({ key, does: 'write', version, from, to })
    else {
      // It may come later, or never, and not in its place.
      this.#push({ key, does: 'write', version, from, to: Number.POSITIVE_INFINITY })
      this.#give('l')
    }
  }

  async #writePair(): Promise<void> {
    const [a, b] = [this.#key('a'), this.#key('b')]
    const version = this.#next(a)
    const [first, second] = [`${a}=${version}`, `${b}=${version}`]
    const [commands, at] =
      this.chance() < 0.5
        ? [[['MSET', a, first, b, second]], 0]
        : [[['MULTI'], ['SET', b, second], ['SET', a, first], ['EXEC']], 3]
    const replies = await this.#send(this.#writing, commands as string[][])
    for (const key of [a, b]) this.#record(key, version, replies[at as number])
  }

  async #count(): Promise<void> {
    const key = this.#key('c')
    const version = this.#next(key)
    const [reply] = await this.#send(this.#writing, [['INCR', key]])
    if (reply === version) this.#push({ key, does: 'write', version, from: this.#from, to: this.#to })
    else if (typeof reply === 'number') this.#wrong(`${key}: counted to ${reply}, not to ${version}`)
    else {
      this.#push({ key, does: 'write', version, from: this.#from, to: Number.POSITIVE_INFINITY })
      this.#give('c')
    }
  }

  async #append(): Promise<void> {
    const key = this.#key('s')
    const group = 'readers'
    if (!this.#versions.has(key)) {
      const [reply] = await this.#send(this.#writing, [['XGROUP', 'CREATE', key, group, '0', 'MKSTREAM']])
      if (reply !== 'OK') return this.#give('s')
    }
    const version = this.#next(key)
    const [added] = await this.#send(this.#writing, [['XADD', key, '*', 'v', `${key}=${version}`]])
    if (this.#record(key, version, added) !== 'done') return this.#give('s')
    if (this.chance() < 0.5) return
    const seen = `${key}/seen`
    const handed = this.#next(seen)
    const [reply] = await this.#send(this.#writing, [
      ['XREADGROUP', 'GROUP', group, 'one', 'COUNT', '1', 'STREAMS', key, '>'],
    ])
    if (reply === null || this.#record(seen, handed, reply) !== 'done') this.#give('s')
  }

  async #comeAndGo(): Promise<void> {
    if (this.#unsure) return
    const key = this.#key('d')
    const value = `${key}=${this.#next(key)}`
    const way = Math.floor(this.chance() * 6)
    const command = [
      ['DEL', key],
      ['SET', key, value, 'PX', '40'],
      ['PEXPIRE', key, '0'],
      ['UNLINK', key],
      ['SET', key, value],
      ['SET', key, value],
    ][way] as string[]
    const [reply] = await this.#send(this.#writing, [command])
    if (!this.#isSure(reply, key)) return
    const written = way === 1 || way > 3
    this.#step(key, written ? value : null, this.#from, this.#to)
    if (way !== 1) return
    // By whose clock it goes is the instance's; all are this machine's. Nothing is written meanwhile.
    const [earliest, latest] = [this.#from + 38, this.#to + 45]
    while (performance.now() < latest) await sleep(5)
    this.#step(key, null, earliest, latest, true)
  }

  /** Two keys of the same name, in two databases that are exchanged and emptied. */
  async #exchange(): Promise<void> {
    if (this.#unsure) return
    const key = this.#key('x')
    const value = `${key}=${this.#next(key)}`
    const way = Math.floor(this.chance() * 5)
    const commands = [
      [
        ['SELECT', '2'],
        ['SET', key, value],
        ['SELECT', '0'],
      ],
      [
        ['SELECT', '3'],
        ['SET', key, value],
        ['SELECT', '0'],
      ],
      [['SWAPDB', '2', '3']],
      [['SELECT', '2'], ['FLUSHDB'], ['SELECT', '0']],
      [
        ['SELECT', '2'],
        ['SET', key, value],
        ['MOVE', key, '4'],
        ['SELECT', '0'],
      ],
    ][way] as string[][]
    const replies = await this.#send(this.#writing, commands)
    if (!this.#isSure(replies[Math.max(0, commands.length - 2)], `2/${key}`, `3/${key}`)) return
    const [two, three] = [this.#inTwo, this.#inThree]
    if (way === 0) this.#inTwo = value
    else if (way === 1) this.#inThree = value
    else if (way === 2) [this.#inTwo, this.#inThree] = [three, two]
    else if (way === 3) this.#inTwo = null
    else return this.#wrongIfLeft(key)
    if (this.#inTwo !== two) this.#step(`2/${key}`, this.#inTwo, this.#from, this.#to)
    if (this.#inThree !== three) this.#step(`3/${key}`, this.#inThree, this.#from, this.#to)
  }

  /** What it was moved to is emptied, for the next time; where it came from it has been for a moment. */
  async #wrongIfLeft(key: string): Promise<void> {
    const from = this.#from
    await this.#send(this.#writing, [
      ['SELECT', '4'],
      ['DEL', key],
      ['SELECT', '0'],
    ])
    const value = `${key}=${this.#versions.get(key)}`
    this.#step(`2/${key}`, value, from, this.#to)
    this.#step(`2/${key}`, null, from, this.#to)
    this.#inTwo = null
  }

  #isSure(reply: Plain | undefined, ...keys: readonly string[]): boolean {
    const isError = typeof reply === 'string' && reply.startsWith('-')
    if (isError) this.#doubt(keys)
    return !isError
  }

  #doubt(keys: readonly string[]): void {
    this.#unsure = true
    for (const key of keys) if (!this.round.unsure.has(key)) this.round.unsure.set(key, this.#from)
  }

  #step(key: string, value: string | null, from: number, to: number, byClock = false): void {
    this.round.sights.push({ client: this.client, key, does: 'step', value, from, to, byClock })
  }

  /** What became of a write, by the reply that tells. */
  #record(key: string, version: number, reply: Plain | undefined, by = ''): 'done' | 'doubtful' | 'refused' {
    const isError = String(Array.isArray(reply) ? reply[0] : reply).startsWith('-')
    // COPY and its like found nothing to copy.
    if (reply === 0 || (isError && NOT_DONE.test(String(reply)))) return 'refused'
    if (isError || reply === undefined) {
      this.#push({ key, does: 'write', version, from: this.#from, to: Number.POSITIVE_INFINITY, by })
      return 'doubtful'
    }
    this.#push({ key, does: 'write', version, from: this.#from, to: this.#to, by })
    return 'done'
  }

  /** Promises are made to connections; where nothing is lost they hold for all of a client's together. */
  #push(operation: Omit<Operation, 'client'>): void {
    const client = this.round.switches ? this.client + this.#by / 16 : this.client
    this.round.history.push({ client, ...operation })
  }

  /** Nothing more is written to it in this round. */
  #give(kind: Kind): void {
    this.#given.add(kind)
  }

  #key(kind: string): string {
    return `${this.round.name}:${this.client}:${kind}`
  }

  #next(key: string): number {
    const version = (this.#versions.get(key) ?? 0) + 1
    this.#versions.set(key, version)
    return version
  }

  // ── Reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #read(): Promise<void> {
    const count = this.chance() < 0.3 ? 1 : BATCH
    const questions = Array.from({ length: count }, () => this.#question())
    const tokens = this.chance() < 0.1
    const commands = questions.flatMap(({ commands }) => [...commands])
    const token = `${this.client}.${this.#tokens++}`
    const replies = await this.#send(this.#pick(this.#connections), tokens ? [...commands, ['ECHO', token]] : commands)
    let first = 0
    for (const { commands, at, take } of questions) {
      const reply = replies[first + at]
      first += commands.length
      const isError = typeof reply === 'string' && reply.startsWith('-')
      this.#asked = commands.join(' ')
      if (isError && !reply.startsWith('-NOGROUP')) this.#noteRefused(reply)
      else take(reply as Plain)
    }
    if (tokens && replies.at(-1) !== token) this.#wrong(`asked for the echo of ${token}, got ${replies.at(-1)}`)
  }

  #question(): Question {
    const writer = this.#writes && this.chance() < 0.2 ? this.client : Math.floor(this.chance() * WRITERS)
    const name = (kind: string): string => `${this.round.name}:${writer}:${kind}`
    switch (this.#pick(['r', 'r', 'r', 'l', 'l', 'p', 'c', 's', 'd', 'x'] as const)) {
      case 'r':
        return this.#askRegister(name('r'))
      case 'l':
        return one(['LRANGE', name('l'), '-8', '-1'], reply => this.#takeRun(name('l'), reply))
      case 'p':
        return one(['MGET', name('a'), name('b')], reply => this.#takePair(name('a'), name('b'), reply as Plain[]))
      case 'c':
        return one(['GET', name('c')], reply => this.#saw(name('c'), Number(reply ?? 0)))
      case 's':
        return this.#askStream(name('s'))
      case 'd':
        return one(['GET', name('d')], reply => this.#sight(name('d'), reply))
      default:
        return this.#askDatabase(`${this.round.name}:0:x`)
    }
  }

  #askRegister(key: string): Question {
    const take = (reply: Plain): void => {
      const version = this.#versionOf(key, reply === '' ? null : reply)
      if (version !== undefined) this.#saw(key, version)
    }
    const way = this.chance()
    if (way < 0.02)
      return { commands: [['MULTI'], ['GET', key], ['EXEC']], at: 2, take: reply => takeFirst(reply, take) }
    if (way < 0.03) return one(['EVAL_RO', READING_SCRIPT, '1', key], take)
    if (way < 0.15) return one(['GETRANGE', key, '0', '-1'], take)
    return one(['GET', key], take)
  }

  #askStream(key: string): Question {
    const way = this.chance()
    if (way < 0.3) {
      const seen = `${key}/seen`
      return one(['XPENDING', key, 'readers'], reply => {
        // A group that is not there has been handed nothing.
        this.#saw(seen, Array.isArray(reply) ? Number(reply[0]) : 0)
      })
    }
    return one(['XREVRANGE', key, '+', '-', 'COUNT', '1'], reply => {
      if (!Array.isArray(reply)) return this.#wrong(`${key}: ${String(reply)}`)
      const [entry] = reply
      const value = entry === undefined ? null : ((entry as Plain[])[1] as Plain[])[1]
      const version = this.#versionOf(key, value)
      if (version !== undefined) this.#saw(key, version)
    })
  }

  #askDatabase(key: string): Question {
    const db = this.chance() < 0.5 ? '2' : '3'
    const take = (reply: Plain): void => this.#sight(`${db}/${key}`, reply)
    return {
      commands: [
        ['SELECT', db],
        ['GET', key],
        ['SELECT', '0'],
      ],
      at: 1,
      take,
    }
  }

  /** The end of a list: each version once, in order; what is missing between two must never have been acknowledged. */
  #takeRun(key: string, reply: Plain): void {
    let last = 0
    for (const item of reply as Plain[]) {
      const version = this.#versionOf(key, item) ?? 0
      if (last > 0 && version <= last) return this.#wrong(`${key}: twice or out of order: ${String(reply)}`)
      for (let missing = last + 1; last > 0 && missing < version; missing++) {
        this.round.gaps.push({ key, version: missing, at: this.#from })
      }
      last = version
    }
    this.#saw(key, last)
  }

  #takePair(a: string, b: string, [first, second]: readonly Plain[]): void {
    const [versionA, versionB] = [this.#versionOf(a, first), this.#versionOf(b, second)]
    if (versionA === undefined || versionB === undefined) return
    if (versionA !== versionB) this.#wrong(`${a} at ${versionA} together with ${b} at ${versionB}`)
    this.#saw(a, versionA)
    this.#saw(b, versionB)
  }

  #saw(key: string, version: number): void {
    this.#push({ key, does: 'read', version, from: this.#from, to: this.#to, by: this.#asked })
  }

  #sight(key: string, reply: Plain): void {
    const value = reply === null ? null : String(reply)
    this.round.sights.push({ client: this.client, key, does: 'sight', value, from: this.#from, to: this.#to })
  }

  #versionOf(key: string, reply: Plain | undefined): number | undefined {
    if (reply === null) return 0
    if (reply === undefined || String(reply).startsWith('-')) return undefined
    const [owner, version] = String(reply).split('=')
    if (owner === key) return Number(version)
    this.#wrong(`asked for ${key}, got ${String(reply).slice(0, 100)}`)
    return undefined
  }

  // ── Messages ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whoever is told of a write by a message finds it written, on its other connections. */
  async #subscribe(): Promise<void> {
    const subscriber = await RawClient.open(this.round.port)
    this.#subscriber = subscriber
    await subscriber.call('SUBSCRIBE', this.round.name)
    void (async () => {
      for (;;) {
        const [, , text] = plain(await subscriber.next()) as Plain[]
        const [key, version] = String(text).split('=') as [string, string]
        const now = performance.now()
        this.round.heard++
        this.#push({ key, does: 'heard', version: Number(version), from: now, to: now })
      }
    })().catch(() => undefined)
  }

  // ── Sending ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #send(connection: RawClient, commands: readonly (readonly string[])[]): Promise<Plain[]> {
    const from = performance.now()
    const replies = await connection.pipeline(...commands)
    this.#by = Math.max(0, this.#connections.indexOf(connection))
    if (connection === this.#writing && this.#by === 0 && this.#connections[0] !== connection) this.#by = 8
    this.#from = from
    this.#to = performance.now()
    for (const reply of replies) this.#noteTold(reply, this.#to)
    return replies
  }

  #noteTold(reply: Plain, at: number): void {
    if (typeof reply === 'string' && reply.startsWith('-LOSTWRITE')) {
      this.#push({ key: '', does: 'told', version: 0, from: at, to: at })
      // What was counted begins anew, from what nobody can say.
      for (const kind of ['c', 's', 'l'] as const) this.#give(kind)
      this.#doubt([this.#key('d'), `2/${this.#key('x')}`, `3/${this.#key('x')}`])
    }
  }

  #noteRefused(reply: string): void {
    if (!/^-(UNKNOWNRESULT|MASTERDOWN|LOSTWRITE|EXECABORT|ERR EXEC without)/.test(reply)) this.#wrong(reply)
    this.round.refused++
  }

  #wrong(what: string): void {
    this.round.wrong.push(`${this.level}, client ${this.client}: ${what}`)
  }

  #pick<One>(these: readonly One[]): One {
    return these[Math.floor(this.chance() * these.length)] as One
  }
}

function one(command: readonly string[], take: (reply: Plain) => void): Question {
  return { commands: [command], at: 0, take }
}

/** The reply of EXEC. */
function takeFirst(reply: Plain, take: (reply: Plain) => void): void {
  if (Array.isArray(reply) && !String(reply[0]).startsWith('-')) take(reply[0] as Plain)
}
