/**
 * Who leads a failover: one vote of every sentinel in every epoch, first come, first served.
 *
 *     candidate: epoch + 1, asks all ──▶ voter: is this epoch newer than my last vote? then it is yours, on the disk first
 *     leader of an epoch: more than half of all sentinels ever seen, and at least the quorum
 *
 * Two majorities of the same sentinels share one of them, and that one voted once: no epoch has two leaders. All of it
 * stands on votes surviving a crash of the voter. Where the state cannot be written there is no vote.
 */
import type { Millis } from '../../base/units.js'
import type { Council } from './council.js'
import { majorityOf } from './down.js'
import { VOTED_DESYNC_MS } from './timing.js'
import type { MasterWatch } from './watched.js'

export interface Vote {
  /** undefined: we have not voted, or may not tell. */
  readonly leader: string | undefined
  readonly epoch: number
  /** It was to be given now, and could not be written. */
  readonly unwritable?: true
}

/** Votes for the candidate if this epoch still has our vote; answers the vote that stands. */
export function vote(council: Council, master: MasterWatch, epoch: number, candidate: string, now: Millis): Vote {
  const adopts = epoch > council.epoch
  if (adopts) council.epoch = epoch
  const grants = master.leaderEpoch < epoch && council.epoch <= epoch
  const { leader, leaderEpoch } = master
  if (grants) Object.assign(master, { leader: candidate, leaderEpoch: council.epoch })
  const saved = !(adopts || grants) || council.save()
  if (adopts) council.say('warning', '+new-epoch', master, String(council.epoch))
  if (grants && !saved) {
    Object.assign(master, { leader, leaderEpoch })
    council.ignore('unwritable')
    const text = `No vote for ${candidate} in epoch ${epoch}: it could not be written to the configuration file`
    council.emit({ do: 'log', level: 'warning', text })
    return { leader, epoch: leaderEpoch, unwritable: true }
  } else if (grants) {
    council.say('warning', '+vote-for-leader', master, `${candidate} ${master.leaderEpoch}`)
    // Who gave its vote away gives the one who got it time, before it stands itself.
    if (candidate !== council.myid) master.attemptAt = now + council.ports.chance() * VOTED_DESYNC_MS
  }
  return { leader: master.leader, epoch: master.leaderEpoch }
}

export interface Tally {
  /** Elected in this epoch, as far as we know. */
  readonly winner: string | undefined
  /** Every sentinel that can be asked has voted in this epoch, and nobody has won: nobody will. */
  readonly split: boolean
  /** Our own vote could not be written: then this epoch is not on our disk, and after a crash we would stand in it again. */
  readonly unwritable: boolean
}

/** Counts the votes of `epoch`, our own included: we vote for the front runner, or for ourselves. */
export function tally(council: Council, master: MasterWatch, epoch: number, now: Millis): Tally {
  const votes = new Map<string, number>()
  const peers = [...master.peers.values()]
  const voted = peers.filter(peer => peer.vote !== undefined && peer.voteEpoch === council.epoch)
  for (const peer of voted) add(votes, peer.vote as string)
  const own = vote(council, master, epoch, frontRunner(votes) ?? council.myid, now)
  if (own.leader !== undefined && own.epoch === epoch) add(votes, own.leader)

  const first = frontRunner(votes)
  const most = first === undefined ? 0 : (votes.get(first) as number)
  const winner = most >= majorityOf(master) && most >= master.quorum ? first : undefined
  const everybody = peers.filter(peer => peer.link.whole && !peer.sdown).every(peer => peer.voteEpoch >= epoch)
  const split = winner === undefined && voted.length > 0 && everybody
  return { winner, split, unwritable: own.unwritable === true }
}

function add(votes: Map<string, number>, id: string): void {
  votes.set(id, (votes.get(id) ?? 0) + 1)
}

function frontRunner(votes: ReadonlyMap<string, number>): string | undefined {
  let first: string | undefined
  for (const [id, count] of votes) if (first === undefined || count > (votes.get(first) as number)) first = id
  return first
}
