/**
 * What we know of one instance, and how an answer changes it.
 *
 * Parsers turn replies into plain values and change nothing; `observe` is the one door through which an observation
 * becomes a fact. Facts are never judged here: diagnose.ts and candidate.ts do that.
 *
 *     bytes ──parse──▶ InfoReply / RoleReply ──observe──▶ InstanceFacts ──diagnose──▶ 'master-down'
 */
import { type Address, formatAddress } from '../base/address.js'
import { unreachable } from '../base/invariant.js'
import type { Millis, Offset } from '../base/units.js'
import { type Frame, itemsOf, numberOf, textOf } from '../resp/protocol.js'
import { asked, died, forgive, heard, type Liveness, type Sign, unheard } from './detector.js'
import type { Role } from './view.js'

// ── Replies ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** One line of the master's table (`slave0:ip=…`). */
export interface AttachedReplica {
  readonly address: Address
  readonly online: boolean
  /** What it acknowledged last, up to a second ago: to be shown, never to route by. */
  readonly acknowledged: Offset | undefined
}

/** A field is undefined when the reply (or the section that was asked for) does not have it. */
export interface InfoReply {
  readonly runId: string | undefined
  readonly version: string | undefined
  readonly loading: boolean | undefined
  readonly role: Role
  readonly replid: string | undefined
  readonly replid2: string | undefined
  readonly secondOffset: Offset
  /** Produced on a master, applied on a replica. */
  readonly offset: Offset | undefined
  readonly priority: number
  readonly announced: boolean
  readonly master: MasterReply | undefined
  readonly replicas: readonly AttachedReplica[]
  readonly backlog: Backlog
  readonly resyncs: Resyncs | undefined
  /** Keys in all databases; undefined when the keyspace was not asked for. */
  readonly keys: number | undefined
  /** Those that hold keys. */
  readonly databases: readonly number[]
  /** Set while it waits for its replicas before it ends. */
  readonly shuttingDown: boolean
  /** It stands in for a tap, of ours or of another proxy: nobody to read from. */
  readonly standsIn: boolean
  /** min-replicas-to-write is set: whoever is attached and speaks is counted. */
  readonly countsReplicas: boolean
}

interface MasterReply {
  readonly address: Address
  readonly up: boolean
  readonly syncing: boolean
  /** Whole seconds, rounded either way by the server. */
  readonly lastIoSeconds: number | undefined
}

export interface Backlog {
  readonly active: boolean
  readonly sizeBytes: number
  readonly historyBytes: number
}

/** Resyncs this instance served to others since it started. */
export interface Resyncs {
  readonly full: number
  readonly partial: number
  readonly partialRefused: number
}

export type RoleReply =
  | { readonly role: 'master'; readonly offset: Offset }
  | {
      readonly role: 'replica'
      readonly master: Address
      readonly state: string
      /** undefined while the link is down: Redis answers -1 then, although it knows. */
      readonly offset: Offset | undefined
    }

/** The field by which observers know a stand-in. */
export const STANDS_IN = 'lagrange_tap'

const NO_HISTORY = '0000000000000000000000000000000000000000'

/** Reads INFO, whole or its replication section; undefined when it is not an INFO at all. */
export function parseInfo(text: string): InfoReply | undefined {
  const fields = readFields(text)
  const role = fields.get('role')
  if (role === undefined) return undefined
  const number = (name: string): number | undefined => toNumber(fields.get(name))
  const replid2 = fields.get('master_replid2')
  const isReplica = role === 'slave'
  return {
    runId: fields.get('run_id'),
    version: fields.get('redis_version'),
    loading: fields.has('loading') ? fields.get('loading') === '1' : undefined,
    role: isReplica ? 'replica' : role === 'master' ? 'master' : 'unknown',
    replid: fields.get('master_replid'),
    replid2: replid2 === NO_HISTORY ? undefined : replid2,
    secondOffset: number('second_repl_offset') ?? -1,
    offset: (isReplica ? number('slave_repl_offset') : undefined) ?? number('master_repl_offset'),
    priority: number('slave_priority') ?? 100,
    announced: fields.get('replica_announced') !== '0',
    master: isReplica ? readMaster(fields) : undefined,
    replicas: readReplicas(fields),
    backlog: {
      active: fields.get('repl_backlog_active') === '1',
      sizeBytes: number('repl_backlog_size') ?? 0,
      historyBytes: number('repl_backlog_histlen') ?? 0,
    },
    resyncs: fields.has('sync_full')
      ? {
          full: number('sync_full') ?? 0,
          partial: number('sync_partial_ok') ?? 0,
          partialRefused: number('sync_partial_err') ?? 0,
        }
      : undefined,
    keys: text.includes('# Keyspace') ? countKeys(fields) : undefined,
    databases: [...fields.keys()].filter(name => /^db\d+$/.test(name)).map(name => Number(name.slice(2))),
    shuttingDown: fields.has('shutdown_in_milliseconds'),
    standsIn: fields.has(STANDS_IN),
    countsReplicas: fields.has('min_slaves_good_slaves'),
  }
}

/** Reads ROLE; undefined for a sentinel or something that is no ROLE. */
export function parseRole(frame: Frame): RoleReply | undefined {
  const items = itemsOf(frame)
  const role = textOf(items[0])
  if (role === 'master') {
    const offset = numberOf(items[1])
    return offset === undefined ? undefined : { role, offset }
  }
  if (role !== 'slave') return undefined
  const host = textOf(items[1])
  const port = numberOf(items[2])
  const state = textOf(items[3])
  const offset = numberOf(items[4])
  if (host === undefined || port === undefined || state === undefined) return undefined
  return {
    role: 'replica',
    master: { host, port },
    state,
    offset: offset === undefined || offset < 0 ? undefined : offset,
  }
}

/** What an answer to PING says besides "I am here". */
export type PingReply = 'pong' | 'loading' | 'master-down' | 'denied' | 'busy' | 'other'

export function parsePing(frame: Frame): PingReply {
  if (frame.type !== 'error') return 'pong'
  const code = frame.value.split(' ', 1)[0]
  if (code === 'LOADING') return 'loading'
  if (code === 'MASTERDOWN') return 'master-down'
  if (code === 'BUSY') return 'busy'
  return code === 'NOAUTH' || code === 'NOPERM' || code === 'WRONGPASS' ? 'denied' : 'other'
}

function readFields(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trimEnd())
  }
  return fields
}

function readMaster(fields: Map<string, string>): MasterReply | undefined {
  const host = fields.get('master_host')
  const port = toNumber(fields.get('master_port'))
  if (host === undefined || port === undefined) return undefined
  const lastIoSeconds = toNumber(fields.get('master_last_io_seconds_ago'))
  return {
    address: { host, port },
    up: fields.get('master_link_status') === 'up',
    syncing: fields.get('master_sync_in_progress') === '1',
    lastIoSeconds: lastIoSeconds === undefined || lastIoSeconds < 0 ? undefined : lastIoSeconds,
  }
}

function readReplicas(fields: Map<string, string>): AttachedReplica[] {
  const replicas: AttachedReplica[] = []
  for (const [name, value] of fields) {
    if (!/^slave\d+$/.test(name)) continue
    const row = new Map(value.split(',').map(pair => splitAt(pair, '=')))
    const host = row.get('ip')
    const port = toNumber(row.get('port'))
    // Port 0 is a tap: it listens nowhere.
    if (host === undefined || host === '' || port === undefined || port < 1 || port > 65535) continue
    replicas.push({
      address: { host, port },
      online: row.get('state') === 'online',
      acknowledged: toNumber(row.get('offset')),
    })
  }
  return replicas
}

function countKeys(fields: Map<string, string>): number {
  let keys = 0
  for (const [name, value] of fields) {
    if (/^db\d+$/.test(name)) keys += toNumber(/^keys=(\d+)/.exec(value)?.[1]) ?? 0
  }
  return keys
}

function splitAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

function toNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined
}

// ── Facts ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A replica's connection to its master, as the replica tells it. */
export interface MasterLink {
  /** Where the replica believes its master to be: its own name for it, maybe through NAT or a relay. */
  readonly address: Address
  readonly up: boolean
  readonly syncing: boolean
  /** Since when it has been this link, up or down. */
  readonly since: Millis
}

export interface InstanceFacts {
  /** `host:port` as we reach it. */
  readonly id: string
  readonly address: Address
  /** An operator named it; it was not merely found. */
  readonly seed: boolean
  readonly zone: string | undefined
  /** An operator asked that it serves no reads. */
  readonly drained: boolean
  readonly liveness: Liveness
  readonly role: Role
  readonly roleSince: Millis
  readonly runId: string | undefined
  readonly version: string | undefined
  readonly loading: boolean
  readonly replid: string | undefined
  readonly replid2: string | undefined
  readonly secondOffset: Offset
  readonly offset: Offset | undefined
  readonly offsetAt: Millis
  /** When the offset was last seen to grow: for a stream that has stopped. */
  readonly movedAt: Millis
  readonly priority: number
  readonly announced: boolean
  readonly master: MasterLink | undefined
  /** A replica: it has certainly received a byte from its master at this time or later. */
  readonly lastByteAt: Millis | undefined
  readonly replicas: readonly AttachedReplica[]
  readonly backlog: Backlog
  readonly resyncs: Resyncs | undefined
  readonly keys: number | undefined
  readonly shuttingDown: boolean
  /** Our credentials are refused: it lives, but we see nothing of it. */
  readonly denied: boolean
  readonly infoAt: Millis | undefined
}

export type Observation =
  | { readonly type: 'asked' }
  | { readonly type: 'info'; readonly info: InfoReply }
  | { readonly type: 'role'; readonly role: RoleReply }
  | { readonly type: 'ping'; readonly reply: PingReply }
  /** A tap on its stream: it has applied everything up to here, in the history it is known to be of. */
  | { readonly type: 'applied'; readonly offset: Offset }
  /** The connection ended or was refused. */
  | { readonly type: 'died'; readonly sign: Sign }
  /** We were away ourselves: silence is counted anew. */
  | { readonly type: 'stalled' }

export function newInstance(
  id: string,
  address: Address,
  from: { readonly seed: boolean; readonly zone?: string | undefined },
): InstanceFacts {
  return {
    id,
    address,
    seed: from.seed,
    zone: from.zone,
    drained: false,
    liveness: unheard,
    role: 'unknown',
    roleSince: 0,
    runId: undefined,
    version: undefined,
    loading: false,
    replid: undefined,
    replid2: undefined,
    secondOffset: -1,
    offset: undefined,
    offsetAt: 0,
    movedAt: 0,
    priority: 100,
    announced: true,
    master: undefined,
    lastByteAt: undefined,
    replicas: [],
    backlog: { active: false, sizeBytes: 0, historyBytes: 0 },
    resyncs: undefined,
    keys: undefined,
    shuttingDown: false,
    denied: false,
    infoAt: undefined,
  }
}

/** The only function that makes facts of an instance. */
export function observe(facts: InstanceFacts, observation: Observation, now: Millis): InstanceFacts {
  switch (observation.type) {
    case 'asked':
      return { ...facts, liveness: asked(facts.liveness, now) }
    case 'stalled':
      return { ...facts, liveness: forgive(facts.liveness, now) }
    case 'died':
      return { ...facts, liveness: died(facts.liveness, observation.sign, now) }
    case 'ping':
      return observePing(facts, observation.reply, now)
    case 'role':
      return observeRole(facts, observation.role, now)
    case 'info':
      return observeInfo(facts, observation.info, now)
    case 'applied':
      // An answer that was asked for before may come later.
      return { ...facts, ...withOffset(facts, Math.max(observation.offset, facts.offset ?? 0), now) }
    default:
      return unreachable(observation)
  }
}

function observePing(facts: InstanceFacts, reply: PingReply, now: Millis): InstanceFacts {
  const liveness = heard(facts.liveness, now)
  if (reply === 'denied') return { ...facts, liveness, denied: true }
  return { ...facts, liveness, loading: reply === 'loading', denied: false }
}

function observeRole(facts: InstanceFacts, reply: RoleReply, now: Millis): InstanceFacts {
  const liveness = heard(facts.liveness, now)
  const offset = reply.offset ?? facts.offset
  const next = {
    ...facts,
    ...withRole(facts, reply.role, now),
    ...withOffset(facts, offset, now),
    liveness,
    denied: false,
  }
  if (reply.role === 'master') return { ...next, master: undefined }
  return {
    ...next,
    master: linkOf(facts.master, reply.master, reply.state === 'connected', reply.state === 'sync', now),
  }
}

function observeInfo(facts: InstanceFacts, info: InfoReply, now: Millis): InstanceFacts {
  const { master } = info
  return {
    ...facts,
    ...withRole(facts, info.role, now),
    ...withOffset(facts, info.offset, now),
    liveness: heard(facts.liveness, now),
    denied: false,
    runId: info.runId ?? facts.runId,
    version: info.version ?? facts.version,
    loading: info.loading ?? facts.loading,
    replid: info.replid,
    replid2: info.replid2,
    secondOffset: info.secondOffset,
    priority: info.priority,
    announced: info.announced,
    master: master && linkOf(facts.master, master.address, master.up, master.syncing, now),
    lastByteAt: lastByteOf(facts, info, now),
    replicas: info.replicas,
    backlog: info.backlog,
    resyncs: info.resyncs ?? facts.resyncs,
    keys: info.keys ?? facts.keys,
    shuttingDown: info.shuttingDown,
    infoAt: now,
  }
}

function withRole(facts: InstanceFacts, role: Role, now: Millis): Pick<InstanceFacts, 'role' | 'roleSince'> {
  return role === facts.role ? { role, roleSince: facts.roleSince } : { role, roleSince: now }
}

/** A linked replica whose offset grows has received the bytes since we last looked. */
function withOffset(
  facts: InstanceFacts,
  offset: Offset | undefined,
  now: Millis,
): Pick<InstanceFacts, 'offset' | 'offsetAt' | 'movedAt' | 'lastByteAt'> {
  const moved = offset !== facts.offset
  const grew = facts.offset !== undefined && offset !== undefined && offset > facts.offset
  return {
    offset,
    offsetAt: now,
    movedAt: moved ? now : facts.movedAt,
    lastByteAt: grew && facts.role === 'replica' ? Math.max(facts.lastByteAt ?? 0, facts.offsetAt) : facts.lastByteAt,
  }
}

/**
 * `master_last_io_seconds_ago` is a difference of two whole seconds: n means an age between n-1 and n+1. The older end
 * is what is certain.
 */
function lastByteOf(facts: InstanceFacts, info: InfoReply, now: Millis): Millis | undefined {
  const grown = withOffset(facts, info.offset, now).lastByteAt
  const seconds = info.master?.lastIoSeconds
  if (seconds === undefined) return grown
  const certain = now - (seconds + 1) * 1000
  return grown === undefined ? certain : Math.max(grown, certain)
}

function linkOf(
  before: MasterLink | undefined,
  address: Address,
  up: boolean,
  syncing: boolean,
  now: Millis,
): MasterLink {
  // Another address is another link, even if both are up.
  const same = before !== undefined && before.up === up && formatAddress(before.address) === formatAddress(address)
  return { address, up, syncing, since: same ? before.since : now }
}
