/**
 * One sentinel, as a machine: everything it hears comes in here with the time, everything it wants done comes out of
 * `drain`. Monitoring goes on always; acting stops in tilt, when this process stood still and its picture is old.
 */
import type { Millis } from '../../base/units.js'
import type { Council } from './council.js'
import { checkObjective, checkSubjective, isDownForOthers, isUrgent } from './down.js'
import type { LineKind } from './effects.js'
import { vote } from './election.js'
import { readEpoch, takeHello } from './hello.js'
import { mayStand, standForElection, stepFailover, writersHeld } from './promotion.js'
import { takeInfo } from './reports.js'
import { LATE_MS, MAX_PENDING, PINGS_IN_DOWN_AFTER, RELOOK_MS, URGENT_MS } from './timing.js'
import {
  arePaused,
  failing,
  type LinkFacts,
  type MasterWatch,
  masterOf,
  type PeerWatch,
  type ReplicaWatch,
  type ServerWatch,
  type Watched,
} from './watched.js'

/** How connections end when a kernel ended them; a close of our own and a time-out say nothing about the process. */
const RESETS = new Set(['eof', 'closed', 'ECONNRESET', 'EPIPE'])
/**
 * A refusal costs the other machine nothing, and a process that comes back must be seen at once: what was held against it
 * when it was dead is not true any more. After so many, two at a time, the usual patience.
 */
const QUICK_TRIES = 600
/** Who is asked about a master asks in turn; not without end. */
const REASK_MS: Millis = RELOOK_MS

export class Quorum {
  #tickedAt: Millis | undefined

  constructor(readonly council: Council) {}

  // ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  tick(now: Millis): void {
    const late = now - (this.#tickedAt ?? now) > LATE_MS
    this.#checkTilt(now)
    for (const master of [...this.council.masters.values()]) {
      this.#watch(master, now, late)
      for (const replica of [...master.replicas.values()]) this.#watch(replica, now, late)
      for (const peer of [...master.peers.values()]) this.#watch(peer, now, late)
      if (!late) this.#decide(master, now)
    }
  }

  #checkTilt(now: Millis): void {
    const { council } = this
    const sinceMs = now - (this.#tickedAt ?? now)
    this.#tickedAt = now
    if (sinceMs < 0 || sinceMs > council.timing['tilt-trigger']) {
      council.tiltSince = now
      council.say('warning', '+tilt', undefined, '#tilt mode entered')
    } else if (council.tiltSince !== undefined && now - council.tiltSince >= council.timing['tilt-period']) {
      council.tiltSince = undefined
      council.say('warning', '-tilt', undefined, '#tilt mode exited')
    }
  }

  /** The monitoring half, and whether it is down. */
  #watch(watched: Watched, now: Millis, late: boolean): void {
    this.#connect(watched, now)
    this.#ask(watched, now)
    if (this.council.tiltSince !== undefined || late) return
    this.#dropIdle(watched, now)
    checkSubjective(this.council, watched, now)
  }

  /** The acting half. Also called when something was heard, so that nobody waits for the next tick. */
  #decide(master: MasterWatch, now: Millis): void {
    const { council } = this
    if (council.tiltSince !== undefined || council.masters.get(master.name) !== master) return
    checkSubjective(council, master, now)
    checkObjective(council, master, now)
    if (mayStand(council, master, now)) {
      standForElection(council, master, false, now)
      this.#askPeers(master, now, 0)
    }
    stepFailover(council, master, now)
    this.#askPeers(master, now)
  }

  // ── Connections ───────────────────────────────────────────────────────────────────────────────────────────────────

  #connect(watched: Watched, now: Millis): void {
    const { link, place } = watched
    if (link.whole || place.port === 0) return
    if (now - link.triedAt < this.#retryMs(link)) return
    this.#openLines(watched, now)
  }

  #retryMs(link: LinkFacts): Millis {
    const period = this.council.timing['ping-period']
    return link.refusals > 0 && link.refusals < QUICK_TRIES ? Math.min(2 * URGENT_MS, period) : period
  }

  #openLines(watched: Watched, now: Millis): void {
    const { link } = watched
    const { council } = this
    link.triedAt = now
    // A name may mean another machine by now.
    watched.place = council.place(watched.place.host, watched.place.port) ?? watched.place
    if (watched.place.ip === '') return
    if (link.commandsSince === undefined) {
      link.commandsSince = now
      link.pending = 0
      council.emit({ do: 'connect', to: watched, line: 'commands' })
      this.#ping(watched, now)
      if (watched.kind === 'sentinel') council.emit({ do: 'ask-kind', to: watched })
    }
    if (watched.kind !== 'sentinel' && link.messagesSince === undefined) {
      link.messagesSince = link.heardMessageAt = now
      council.emit({ do: 'connect', to: watched, line: 'messages' })
    }
    link.whole = true
  }

  /** A connection ended, or never began. */
  closed(watched: Watched, line: LineKind, reason: string, now: Millis): void {
    const { link } = watched
    const stoodSince = (line === 'commands' ? link.commandsSince : link.messagesSince) ?? now
    if (line === 'commands') {
      link.commandsSince = undefined
      link.pending = 0
    } else link.messagesSince = undefined
    link.whole = false
    // Whichever connection it was for: nobody listens there.
    const refused = reason === 'ECONNREFUSED'
    if (refused) {
      if (link.refusals === 0) link.refusedAt = now
      link.refusals++
    }
    if (watched.kind === 'sentinel') return
    // A machine that answers at all answers within the millisecond: is the process still there? Both connections of a dead
    // one end at once, in any order, and each of them asks. Who accepts and closes again and again is asked in the usual
    // rhythm.
    const cutOff = RESETS.has(reason) && now - stoodSince > URGENT_MS
    if (cutOff || (refused && link.refusals === 1)) this.#openLines(watched, now)
    this.#considerUrgently(masterOf(watched), now)
  }

  /** Half-dead connections are given up: a new one may get through, or be refused. */
  #dropIdle({ link, downAfterMs }: Watched, now: Millis): void {
    const { timing } = this.council
    const oldEnough = (since: Millis | undefined): boolean => {
      return since !== undefined && now - since > timing['min-link-reconnect-period']
    }
    const waits = link.pingWaitsSince !== undefined && now - link.pingWaitsSince > downAfterMs / 2
    if (oldEnough(link.commandsSince) && waits && now - link.answeredAt > downAfterMs / 2) {
      this.#close(link, 'commands')
    }
    if (oldEnough(link.messagesSince) && now - link.heardMessageAt > 3 * timing['publish-period']) {
      this.#close(link, 'messages')
    }
  }

  #close(link: LinkFacts, line: LineKind): void {
    this.council.emit({ do: 'close', link, line })
    if (line === 'commands') {
      link.commandsSince = undefined
      link.pending = 0
    } else link.messagesSince = undefined
    link.whole = false
  }

  // ── Asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #ask(watched: Watched, now: Millis): void {
    const { link } = watched
    const { timing } = this.council
    if (!link.whole || link.pending >= MAX_PENDING * link.owners) return
    if (watched.kind !== 'sentinel') this.#askInfo(watched, now)
    const pingMs = Math.min(watched.downAfterMs / PINGS_IN_DOWN_AFTER, timing['ping-period'])
    if (now - link.answeredAt > pingMs && now - link.pingedAt > pingMs / 2) this.#ping(watched, now)
    if (watched.kind === 'master' && arePaused(watched)) return
    if (now - watched.publishedAt > timing['publish-period']) this.council.emit({ do: 'hello', to: watched })
  }

  #askInfo(server: ServerWatch, now: Millis): void {
    const periodMs = this.#infoPeriod(server)
    // One that is not answered is not repeated at once; it may be the next one that is.
    if (now - server.infoAt <= periodMs || now - server.infoAskedAt < Math.min(periodMs, 1000)) return
    server.infoAskedAt = now
    this.council.emit({ do: 'info', to: server })
  }

  #infoPeriod(server: ServerWatch): Millis {
    const period = this.council.timing['info-period']
    if (server.kind === 'master') return period
    if (isUrgent(server.master)) return Math.min(this.#lookMs(server), period)
    return server.linkDownMs > 0 ? Math.min(1000, period) : period
  }

  /** The kernel has told us of a death an instant before it tells the replicas. */
  #lookMs({ master, linkUp }: ReplicaWatch): Millis {
    return linkUp && !master.sdown ? RELOOK_MS : URGENT_MS
  }

  #ping(watched: Watched, now: Millis): void {
    const { link } = watched
    link.pingedAt = now
    link.pingWaitsSince ??= now
    this.council.emit({ do: 'ping', to: watched })
  }

  /** Is it down for you as well, and may I lead? Not more often than this, or than is usual. */
  #askPeers(master: MasterWatch, now: Millis, wantedGapMs?: Millis): void {
    const { council } = this
    const { failover } = master
    const period = council.timing['ask-period']
    const standing = failover.state === 'wait_start'
    // Each of us began to wait for an answer at another moment: who did not find it down a moment ago may do so by now.
    const quick = standing || (master.sdown && !master.odown)
    for (const peer of master.peers.values()) {
      if (now - peer.saidAt > 5 * period) {
        peer.saysDown = false
        peer.vote = undefined
      }
      const forced = failover.state !== 'none' && failover.forced
      if ((!master.sdown && !(standing && forced)) || !peer.link.whole) continue
      const gapMs = wantedGapMs ?? (quick ? Math.min(4 * URGENT_MS, period) : period)
      if (now - peer.saidAt < gapMs || now - peer.askedAt < gapMs) continue
      peer.askedAt = now
      const candidate = failing(master) ? council.myid : undefined
      council.emit({ do: 'ask', to: peer, epoch: council.epoch, candidate })
    }
  }

  // ── Hearing ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** An answer to PING: its text, code first for errors. */
  pong(watched: Watched, text: string, now: Millis): void {
    const { link } = watched
    link.answeredAt = now
    if (/^(PONG|LOADING|MASTERDOWN)/.test(text)) {
      link.goodAt = now
      link.pingWaitsSince = undefined
      link.refusals = 0
      if (watched.kind === 'master' && text.startsWith('PONG')) watched.rebootSeenAt = undefined
    } else if (text.startsWith('BUSY') && watched.kind !== 'sentinel' && watched.sdown && !watched.scriptKillSent) {
      watched.scriptKillSent = true
      this.council.emit({ do: 'kill-script', to: watched })
    }
  }

  info(server: ServerWatch, text: string, now: Millis): void {
    takeInfo(this.council, server, text, now)
    this.#considerUrgently(masterOf(server), now)
  }

  /** Whether it pauses its writers, as it was asked; an INFO of it came in between. */
  paused(master: MasterWatch, paused: boolean, now: Millis): void {
    writersHeld(this.council, master, paused, now)
  }

  /** A peer's INFO: is it one of ours, which goes by evidence as we do? */
  kindTold(peer: PeerWatch, text: string): void {
    const peers = [...this.council.masters.values()].flatMap(({ peers }) => peers.get(peer.name) ?? [])
    for (const twin of peers) twin.seesEvidence = /^lagrange_version:/m.test(text)
  }

  /** On the hello channel of an instance, or told us directly. */
  hello(text: string, now: Millis): void {
    takeHello(this.council, text, now)
  }

  published(watched: Watched, now: Millis): void {
    watched.publishedAt = now
  }

  heardMessage({ link }: Watched, now: Millis): void {
    link.heardMessageAt = now
  }

  /** What a peer answered to `ask`; `leader` undefined when it gave no vote. */
  answered(peer: PeerWatch, down: boolean, leader: string | undefined, epoch: number, now: Millis): void {
    peer.saidAt = now
    peer.saysDown = down
    if (leader !== undefined) {
      if (peer.voteEpoch !== epoch) {
        this.council.emit({ do: 'log', level: 'warning', text: `${peer.name} voted for ${leader} ${epoch}` })
      }
      peer.vote = leader
      peer.voteEpoch = epoch
    }
    this.#considerUrgently(peer.master, now)
    this.#decide(peer.master, now)
  }

  /** SENTINEL IS-MASTER-DOWN-BY-ADDR; `candidate` undefined when no vote is asked for. */
  asked(
    place: { readonly host: string; readonly port: number },
    epoch: number,
    candidate: string | undefined,
    now: Millis,
  ): { readonly down: boolean; readonly leader: string | undefined; readonly epoch: number } {
    const { council } = this
    const master = council.masterAt(place.host, place.port)
    const nothing = { leader: undefined, epoch: 0 }
    if (master === undefined) {
      council.ignore('unknown-master')
      return { down: false, ...nothing }
    }
    const down = council.tiltSince === undefined && isDownForOthers(council, master, now)
    // Who asks sees it down. Whoever that is will say so when asked, and we need not find out by chance.
    if (master.sdown && !master.odown) this.#askPeers(master, now, REASK_MS)
    if (candidate === undefined) return { down, ...nothing }
    if (Number.isNaN(readEpoch(String(epoch)))) {
      council.ignore('impossible-epoch')
      return { down, ...nothing }
    }
    return { down, ...vote(council, master, epoch, candidate, now) }
  }

  /** SENTINEL FAILOVER. */
  orderFailover(master: MasterWatch, now: Millis): void {
    standForElection(this.council, master, true, now)
    this.#askPeers(master, now, 0)
  }

  #considerUrgently(master: MasterWatch, now: Millis): void {
    if (this.council.tiltSince !== undefined || !isUrgent(master)) return
    for (const replica of master.replicas.values()) {
      if (replica.link.whole && now - replica.infoAt > this.#lookMs(replica)) this.#askInfo(replica, now)
    }
    this.#decide(master, now)
  }
}
