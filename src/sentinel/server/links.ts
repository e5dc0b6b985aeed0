/**
 * The connections of a sentinel: one for commands to everybody it watches, a second one for the hello channel to masters
 * and replicas. They open and close when the machine says so, introduce themselves as redis-sentinel does, and hand every
 * answer back to the machine. An AUTH that is refused is no end: a server without a password refuses it as well.
 */
import type { Clock } from '../../base/clock.js'
import type { Bytes, Millis } from '../../base/units.js'
import { Client } from '../../net/client.js'
import { type Frame, itemsOf, numberOf, textOf } from '../../resp/protocol.js'
import type { Council } from '../../topology/quorum/council.js'
import type { LineKind } from '../../topology/quorum/effects.js'
import { formatHello, HELLO_CHANNEL, isSentinelId, readEpoch } from '../../topology/quorum/hello.js'
import type { Quorum } from '../../topology/quorum/quorum.js'
import {
  type LinkFacts,
  type MasterWatch,
  masterOf,
  type PeerWatch,
  type Place,
  type ServerWatch,
  type Watched,
} from '../../topology/quorum/watched.js'

const CONNECT_TIMEOUT_MS = 15_000
/** Clients of a master that steps down have so long to find the next one before their connections end. */
const LET_GO_MS: Millis = 300
/** A connection that is not needed any more is closed when what was sent has had time to leave. */
const LINGER_MS: Millis = 100
const KILLS = [
  ['CLIENT', 'KILL', 'TYPE', 'normal'],
  ['CLIENT', 'KILL', 'TYPE', 'pubsub'],
] as const

interface Lines {
  commands?: Client
  messages?: Client
}

/** What other sentinels ask of us in turn, when no password for them was set. */
export type OwnPassword = () => Bytes

export class Links {
  readonly #lines = new Map<LinkFacts, Lines>()

  constructor(
    private readonly clock: Clock,
    private readonly quorum: Quorum,
    private readonly ownPassword: OwnPassword,
    private readonly ownPort: () => number,
    /** Called after the machine heard something. */
    private readonly heard: () => void,
  ) {}

  connect(to: Watched, line: LineKind): void {
    const client = new Client(
      { host: to.place.ip, port: to.place.port },
      {
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        replyTimeoutMs: 0,
        onPush: frame => this.#pushed(to, client, frame),
        onClose: reason => this.#closed(to, line, client, reason),
      },
    )
    this.#of(to.link)[line] = client
    this.#introduce(to, line, client)
  }

  close(link: LinkFacts, line: LineKind): void {
    const lines = this.#lines.get(link)
    const client = lines?.[line]
    if (lines === undefined || client === undefined) return
    delete lines[line]
    if (lines.commands === undefined && lines.messages === undefined) this.#lines.delete(link)
    // What was ordered last still goes out.
    this.clock.after(LET_GO_MS + LINGER_MS, () => client.close())
  }

  closeAll(): void {
    for (const link of [...this.#lines.keys()]) {
      this.close(link, 'commands')
      this.close(link, 'messages')
    }
  }

  // ── What is sent ──────────────────────────────────────────────────────────────────────────────────────────────────

  ping(to: Watched): void {
    this.#send(to, ['PING'], frame => {
      const text = textOf(frame)
      if (frame.type === 'simple' || frame.type === 'error') this.quorum.pong(to, text ?? '', this.clock.now())
    })
  }

  info(to: ServerWatch): void {
    this.#send(to, ['INFO'], frame => {
      const text = textOf(frame)
      if (text !== undefined && frame.type !== 'error') this.quorum.info(to, text, this.clock.now())
    })
  }

  hello(to: Watched): void {
    const client = this.#lines.get(to.link)?.commands
    const host = this.council.settings.announceIp || client?.localHost
    // Not connected yet: there is nothing to say where we are.
    if (host === undefined || host === '') return
    const own = { host: host.replace(/^::ffff:/, ''), port: this.council.settings.announcePort || this.ownPort() }
    const hello = formatHello(this.council, masterOf(to), own)
    this.#send(to, ['PUBLISH', HELLO_CHANNEL, hello], frame => {
      if (frame.type !== 'error') this.quorum.published(to, this.clock.now())
    })
  }

  askKind(to: PeerWatch): void {
    this.#send(to, ['INFO', 'server'], frame => {
      const text = textOf(frame)
      if (text !== undefined && frame.type !== 'error') this.quorum.kindTold(to, text)
    })
  }

  killScript(to: ServerWatch): void {
    this.#send(to, ['SCRIPT', 'KILL'])
  }

  /**
   * One transaction, so that it is all of it or nothing: the role, the configuration file, and the end of all client
   * connections, whose owners ask for the master when they connect again. What came of it is asked behind it.
   */
  slaveof(to: ServerWatch, place: Place | undefined): void {
    this.#sendAll(to, ['MULTI'], this.#slaveofWords(place), ['CONFIG', 'REWRITE'], ...KILLS, ['EXEC'])
    this.info(to)
  }

  /**
   * Writes that wait at a paused server are answered with -READONLY when it goes on as a replica: they were not executed,
   * and whoever sent them may send them to the next master. Ended connections would leave them in doubt, so those end later.
   */
  stepDown(to: MasterWatch, place: Place): void {
    this.#sendAll(to, ['MULTI'], this.#slaveofWords(place), ['CONFIG', 'REWRITE'], ['EXEC'], ['CLIENT', 'UNPAUSE'])
    this.info(to)
    const client = this.#lines.get(to.link)?.commands
    this.clock.after(LET_GO_MS, () => {
      for (const kill of KILLS) client?.send(renamed(to, kill)).catch(() => undefined)
    })
  }

  #slaveofWords(place: Place | undefined): readonly string[] {
    return place === undefined ? ['SLAVEOF', 'NO', 'ONE'] : ['SLAVEOF', this.council.shown(place), String(place.port)]
  }

  /** Who may not, or does not know how, answers with an error, and is not paused. */
  pause(to: MasterWatch, forMs: Millis): void {
    let paused = false
    this.#send(to, ['CLIENT', 'PAUSE', String(forMs), 'WRITE'], frame => {
      paused = frame.type !== 'error'
    })
    this.#send(to, ['INFO'], frame => {
      const now = this.clock.now()
      const text = textOf(frame)
      if (text !== undefined && frame.type !== 'error') this.quorum.info(to, text, now)
      this.quorum.paused(to, paused, now)
    })
  }

  unpause(to: MasterWatch): void {
    this.#send(to, ['CLIENT', 'UNPAUSE'])
  }

  ask(to: PeerWatch, epoch: number, candidate: string | undefined): void {
    const { place } = to.master
    const host = this.council.shown(place)
    const words = ['SENTINEL', 'is-master-down-by-addr', host, String(place.port), String(epoch), candidate ?? '*']
    this.#send(to, words, frame => {
      const [down, leader, leaderEpoch] = itemsOf(frame)
      const said = { down: numberOf(down), leader: textOf(leader), epoch: numberOf(leaderEpoch) }
      if (frame.type !== 'array' || said.down === undefined || said.leader === undefined) return
      if (said.epoch === undefined || Number.isNaN(readEpoch(String(said.epoch)))) {
        return this.council.ignore('impossible-epoch')
      }
      // It will stand in our log and may be voted for.
      if (!isSentinelId(said.leader) && said.leader !== '*') return this.council.ignore('malformed')
      const vote = said.leader === '*' ? undefined : said.leader
      this.quorum.answered(to, said.down === 1, vote, said.epoch, this.clock.now())
    })
  }

  get council(): Council {
    return this.quorum.council
  }

  // ── Below ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #introduce(to: Watched, line: LineKind, client: Client): void {
    const tell = (words: readonly Bytes[], read: (frame: Frame) => void = () => undefined): void => {
      if (line === 'commands') return this.#send(to, words, read)
      client.send(renamed(to, words), 0).then(read, () => undefined)
    }
    const login = this.#loginFor(to)
    if (login !== undefined) tell(['AUTH', ...login])
    const suffix = line === 'commands' ? 'cmd' : 'pubsub'
    tell(['CLIENT', 'SETNAME', `sentinel-${this.council.myid.slice(0, 8)}-${suffix}`])
    if (line === 'commands') return
    tell(['SUBSCRIBE', HELLO_CHANNEL], frame => {
      // Whom it does not let in hears nothing: such a connection is none.
      if (frame.type !== 'error' || this.#lines.get(to.link)?.messages !== client) return
      this.close(to.link, 'messages')
      this.quorum.closed(to, 'messages', 'refused-us', this.clock.now())
      this.heard()
    })
  }

  #loginFor(to: Watched): readonly Bytes[] | undefined {
    if (to.kind !== 'sentinel') {
      const { authUser, authPass } = masterOf(to)
      if (authPass === undefined) return undefined
      return authUser === undefined ? [authPass] : [authUser, authPass]
    }
    const { sentinelUser, sentinelPass } = this.council.settings
    if (sentinelPass !== '') return sentinelUser === '' ? [sentinelPass] : [sentinelUser, sentinelPass]
    const own = this.ownPassword()
    return own === '' ? undefined : [own]
  }

  #sendAll(to: Watched, ...commands: readonly (readonly Bytes[])[]): void {
    for (const words of commands) this.#send(to, words)
  }

  #send(to: Watched, words: readonly Bytes[], read: (frame: Frame) => void = () => undefined): void {
    const { link } = to
    const client = this.#lines.get(link)?.commands
    if (client === undefined) return
    link.pending++
    const answered = (frame: Frame | undefined): void => {
      // What an older connection still says, or failed to say, is not about this one.
      if (this.#lines.get(link)?.commands !== client) return
      link.pending--
      if (frame === undefined) return
      read(frame)
      this.heard()
    }
    client.send(renamed(to, words), 0).then(answered, () => answered(undefined))
  }

  #pushed(to: Watched, client: Client, frame: Frame): void {
    if (this.#lines.get(to.link)?.messages !== client) return
    const now = this.clock.now()
    this.quorum.heardMessage(to, now)
    const [kind, channel, message] = itemsOf(frame).map(item => textOf(item))
    if (kind === 'message' && channel === HELLO_CHANNEL && message !== undefined) this.quorum.hello(message, now)
    this.heard()
  }

  #closed(to: Watched, line: LineKind, client: Client, reason: string): void {
    const lines = this.#lines.get(to.link)
    if (lines?.[line] !== client) return
    delete lines[line]
    this.quorum.closed(to, line, reason, this.clock.now())
    this.heard()
  }

  #of(link: LinkFacts): Lines {
    const known = this.#lines.get(link)
    if (known !== undefined) return known
    const lines: Lines = {}
    this.#lines.set(link, lines)
    return lines
  }
}

/** By the names that the operator gave them there. */
function renamed(to: Watched, words: readonly Bytes[]): readonly Bytes[] {
  const name = masterOf(to).renames.get((words[0] as Bytes).toLowerCase())
  return name === undefined || to.kind === 'sentinel' ? words : [name, ...words.slice(1)]
}
