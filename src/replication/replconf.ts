/**
 * REPLCONF: what a replica tells its master about itself before it syncs, and how far it is afterwards.
 *
 * Options come in pairs and are taken one after another; what came before a wrong one stays in force, as with Redis.
 */
import type { Bytes, Offset } from '../base/units.js'

/** What a snapshot for this replica contains. */
export type SnapshotFilter = 'everything' | 'functions' | 'nothing'

/** What a connection has told us about itself. */
export interface ReplicaProfile {
  readonly listeningPort: number
  /** The address it wants to be known by; undefined: the one it connects from. */
  readonly ipAddress: string | undefined
  readonly understandsEof: boolean
  readonly understandsPsync2: boolean
  /** Wants a snapshot and no stream after it (`redis-cli --rdb`). */
  readonly snapshotOnly: boolean
  readonly filter: SnapshotFilter
}

export const unknownReplica: ReplicaProfile = {
  listeningPort: 0,
  ipAddress: undefined,
  understandsEof: false,
  understandsPsync2: false,
  snapshotOnly: false,
  filter: 'everything',
}

export type ReplconfAnswer =
  | { readonly kind: 'ok' }
  | { readonly kind: 'error'; readonly error: string }
  /** An acknowledgement; nothing is answered. `offset` is undefined when it was not a number. */
  | { readonly kind: 'ack'; readonly offset: Offset | undefined }
  /** Our master wants an acknowledgement from us; nothing is answered. */
  | { readonly kind: 'getack' }

export interface ReplconfResult {
  readonly profile: ReplicaProfile
  readonly answer: ReplconfAnswer
}

const HOST_BYTES_MAX = 256

/** `args` is the whole command, its name included. */
export function readReplconf(args: readonly Bytes[], profile: ReplicaProfile): ReplconfResult {
  if (args.length % 2 === 0) return { profile, answer: error('ERR syntax error') }
  let current = profile
  for (let index = 1; index < args.length; index += 2) {
    const option = args[index] as Bytes
    const read = readOption(option, args[index + 1] as Bytes, current)
    if ('kind' in read) return { profile: current, answer: read }
    current = read
  }
  return { profile: current, answer: { kind: 'ok' } }
}

function readOption(option: Bytes, value: Bytes, profile: ReplicaProfile): ReplicaProfile | ReplconfAnswer {
  switch (option.toLowerCase()) {
    case 'listening-port': {
      const port = readInteger(value)
      return port === undefined ? notAnInteger : { ...profile, listeningPort: port }
    }
    case 'ip-address':
      if (value.length < HOST_BYTES_MAX) return { ...profile, ipAddress: value }
      return error(`ERR REPLCONF ip-address provided by replica instance is too long: ${value.length} bytes`)
    case 'capa':
      return readCapability(value.toLowerCase(), profile)
    case 'ack':
      return { kind: 'ack', offset: readInteger(value) }
    case 'getack':
      return { kind: 'getack' }
    case 'rdb-only':
      if (value !== '0' && value !== '1') {
        return readInteger(value) === undefined
          ? notAnInteger
          : error('ERR value is out of range, value must between 0 and 1')
      }
      return { ...profile, snapshotOnly: value === '1' }
    case 'rdb-filter-only':
      return readFilter(value, profile)
    default:
      return error(`ERR Unrecognized REPLCONF option: ${option}`)
  }
}

/** Capabilities that we do not know are no mistake: the replica is newer than we are. */
function readCapability(value: string, profile: ReplicaProfile): ReplicaProfile {
  if (value === 'eof') return { ...profile, understandsEof: true }
  if (value === 'psync2') return { ...profile, understandsPsync2: true }
  return profile
}

/** A list of what to include; the empty list includes nothing. */
function readFilter(value: Bytes, profile: ReplicaProfile): ReplicaProfile | ReplconfAnswer {
  let filter: SnapshotFilter = 'nothing'
  for (const word of value.split(/\s+/)) {
    if (word === '' || word === '""') continue
    if (word.toLowerCase() !== 'functions') return error(`ERR Unsupported rdb-filter-only option: ${word}`)
    filter = 'functions'
  }
  return { ...profile, filter }
}

const notAnInteger: ReplconfAnswer = { kind: 'error', error: 'ERR value is not an integer or out of range' }

function error(text: string): ReplconfAnswer {
  return { kind: 'error', error: text }
}

function readInteger(value: Bytes): number | undefined {
  if (!/^-?\d{1,16}$/.test(value)) return undefined
  return Number(value)
}
