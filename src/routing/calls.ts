/**
 * What a session must know of a command, found by the bytes of its name without making a string of them.
 *
 * The command table says what a command is; a Call says what the proxy does with it. Calls are made once per table (ours,
 * or the upstream's own answer to COMMAND) and looked up for every command.
 */
import type { Bytes } from '../base/units.js'
import { type CommandSpec, type CommandTable, checkArity, keysOf } from '../command/table.js'

/** Who takes the command. */
export type Handling =
  | 'read' // a replica that is fresh enough, or the master
  | 'master' // the master, on the shared connection
  | 'local' // the proxy answers
  | 'transaction' // MULTI, EXEC, WATCH …: a connection of its own while it lasts
  | 'blocking' // may wait: a connection of its own for this command
  | 'alone' // must not stand in a queue with others (DEBUG, SCRIPT KILL): likewise
  | 'subscribe' // (P|S)SUBSCRIBE and their opposites
  | 'monitor'
  | 'relay' // SYNC, PSYNC and what precedes them: bytes go to the master as they are from then on
  | 'refused' // would break the group behind the control plane's back

/** Which marks the command raises when it is sent to the master. */
export type Marking =
  | 'none'
  | 'keys' // those at fixed places
  | 'moving-keys' // those that `keysOf` finds in this call
  | 'all' // a barrier: nobody can say which keys it writes

export interface Call {
  /** Dense, from 0: the place of its counters. */
  readonly id: number
  /** The full name, `xinfo|stream`; `other` for commands we do not know. */
  readonly name: string
  readonly spec: CommandSpec | undefined
  readonly handling: Handling
  readonly marking: Marking
  /** True when it changes data or might: it is held during a switch, and never sent twice. */
  readonly writes: boolean
  /** False when only the node that is asked can answer: never balanced. */
  readonly portable: boolean
  /** Over in a microsecond or few, whatever it finds: `fast` by its flags. */
  readonly fast: boolean
  /** SCAN and its like: its cursor is that of one process. */
  readonly scans: boolean
  readonly firstKey: number
  readonly lastKey: number
  readonly keyStep: number
  /** Fewest and most arguments, the name included. */
  readonly argcMin: number
  readonly argcMax: number
  /** A command that may wait or not, by its arguments: the call when it does not (XREAD without BLOCK). */
  readonly patient: Call | undefined
  /** Of a container: its subcommands. */
  readonly subcommands: CallIndex | undefined
}

const LOCAL = new Set(
  'ping echo quit reset hello auth select client wait waitaof readonly readwrite asking lagrange proxy'.split(' '),
)
/** Whose the users are: nobody's but the instances', which see the proxy's only; those of a file; or read from the instances. */
export type UserSource = 'none' | 'file' | 'instances'

/** What the proxy answers of ACL: where it has a file everything, where not what an instance would say of the proxy. */
const ABOUT_USERS: Readonly<Record<UserSource, ReadonlySet<string>>> = {
  none: new Set(),
  file: new Set(['acl']),
  instances: new Set(['acl|whoami', 'acl|log']),
}
const TRANSACTION = new Set(['multi', 'exec', 'discard', 'watch', 'unwatch'])
const ALONE = new Set(['debug', 'script|kill', 'function|kill', 'function|stats'])
const SUBSCRIBE = new Set(['subscribe', 'psubscribe', 'ssubscribe', 'unsubscribe', 'punsubscribe', 'sunsubscribe'])
const REFUSED = new Set('replicaof slaveof failover shutdown cluster|failover'.split(' '))
const RELAYED = new Set(['sync', 'psync', 'replconf'])
/** Neither read nor write by their flags, and yet they may write anything. */
const SCRIPTS = new Set(['eval', 'evalsha', 'fcall'])
/** Reads that see keys they do not declare, or need something a replica may not have. */
const NOT_PORTABLE = new Set(['eval_ro', 'evalsha_ro', 'fcall_ro', 'sort_ro'])

const SCANS = new Set(['scan', 'hscan', 'sscan', 'zscan'])

/** Blocking by their flags, and without BLOCK an ordinary command. */
const MAY_WAIT = new Set(['xread', 'xreadgroup'])

/** Commands of our own, which no upstream knows. */
const OWN = ['lagrange', 'proxy']

export class CallTable {
  readonly #index = new CallIndex()
  readonly calls: Call[] = []
  /** What is done with a name that no table has: to the master, as something that may write. */
  readonly unknown: Call

  constructor(
    table: CommandTable,
    private readonly users: UserSource = 'none',
  ) {
    this.unknown = this.#keep('other', undefined, undefined)
    for (const spec of table) {
      let subcommands: CallIndex | undefined
      if (spec.subcommands !== undefined && !this.#isLocal(spec.name)) {
        subcommands = new CallIndex()
        for (const [name, sub] of spec.subcommands) subcommands.add(name, this.#keep(sub.name, sub, undefined))
      }
      this.#index.add(spec.name, this.#keep(spec.name, spec, subcommands))
    }
    for (const name of OWN) this.#index.add(name, this.#keep(name, undefined, undefined))
  }

  #isLocal(name: string): boolean {
    return LOCAL.has(name) || ABOUT_USERS[this.users].has(name)
  }

  /** The call whose name is `bytes[start…end)`. */
  find(bytes: Uint8Array, start: number, end: number): Call {
    return this.#index.find(bytes, start, end) ?? this.unknown
  }

  #keep(name: string, spec: CommandSpec | undefined, subcommands: CallIndex | undefined): Call {
    const patient = MAY_WAIT.has(name) ? callOf(this.calls.length + 1, name, spec, undefined, undefined) : undefined
    const made = callOf(this.calls.length, name, spec, subcommands, patient)
    const call: Call = this.#isLocal(name) ? { ...made, handling: 'local', writes: false } : made
    this.calls.push(call)
    if (patient !== undefined) this.calls.push(patient)
    return call
  }
}

function callOf(
  id: number,
  name: string,
  spec: CommandSpec | undefined,
  subcommands: CallIndex | undefined,
  patient: Call | undefined,
): Call {
  const handling = handlingOf(name, spec, MAY_WAIT.has(name) && patient === undefined)
  const marking = markingOf(name, spec)
  const arity = spec?.arity ?? -1
  return {
    id,
    name,
    spec,
    handling,
    marking,
    // What is no read is treated as a write when it comes to sending it twice or during a switch.
    writes: handling !== 'local' && spec?.access !== 'read',
    portable: spec !== undefined && !spec.nodeLocal && !NOT_PORTABLE.has(name),
    fast: spec?.flags.has('fast') === true,
    scans: SCANS.has(name),
    firstKey: spec?.firstKey ?? 0,
    lastKey: spec?.lastKey ?? 0,
    keyStep: Math.max(1, spec?.keyStep ?? 1),
    argcMin: Math.abs(arity),
    argcMax: arity < 0 ? Number.POSITIVE_INFINITY : arity,
    patient,
    subcommands,
  }
}

function handlingOf(name: string, spec: CommandSpec | undefined, waitsNever: boolean): Handling {
  if (LOCAL.has(name)) return 'local'
  if (TRANSACTION.has(name)) return 'transaction'
  if (SUBSCRIBE.has(name)) return 'subscribe'
  if (REFUSED.has(name)) return 'refused'
  if (ALONE.has(name)) return 'alone'
  if (name === 'monitor') return 'monitor'
  if (RELAYED.has(name)) return 'relay'
  if (spec?.blocking && !waitsNever) return 'blocking'
  return spec?.access === 'read' ? 'read' : 'master'
}

function markingOf(name: string, spec: CommandSpec | undefined): Marking {
  if (spec === undefined) return OWN.includes(name) ? 'none' : 'all'
  if (SCRIPTS.has(name) || name === 'debug') return 'all'
  if (spec.access === 'other') return 'none'
  if (spec.movableKeys) return 'moving-keys'
  return spec.firstKey === 0 ? 'all' : 'keys'
}

/** Positions of the keys of a call that moves them; undefined when they cannot be told. */
export function movingKeys(call: Call, args: readonly Bytes[]): readonly number[] | undefined {
  if (call.spec === undefined || !checkArity(call.spec, args.length)) return undefined
  const positions = keysOf(call.spec, args)
  return positions.length === 0 ? undefined : positions
}

/**
 * Names to calls, in any case, by their bytes: open addressing, at most a quarter full. Letters are folded by setting bit
 * 5, which maps no two characters of command names to one.
 */
export class CallIndex {
  #places: (Call | undefined)[] = new Array<Call | undefined>(64).fill(undefined)
  #names: (Uint8Array | undefined)[] = new Array<Uint8Array | undefined>(64).fill(undefined)
  #mask = 63
  #count = 0

  add(name: string, call: Call): void {
    if (++this.#count * 4 > this.#places.length) this.#grow()
    this.#put(
      Uint8Array.from(name, char => char.charCodeAt(0) | 0x20),
      call,
    )
  }

  find(bytes: Uint8Array, start: number, end: number): Call | undefined {
    let hash = end - start
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + ((bytes[at] as number) | 0x20)) | 0
    for (let place = spread(hash) & this.#mask; ; place = (place + 1) & this.#mask) {
      const name = this.#names[place]
      if (name === undefined) return undefined
      if (name.length === end - start && same(name, bytes, start)) return this.#places[place]
    }
  }

  #put(name: Uint8Array, call: Call): void {
    let hash = name.length
    for (const byte of name) hash = (Math.imul(hash, 31) + byte) | 0
    let place = spread(hash) & this.#mask
    while (this.#names[place] !== undefined) place = (place + 1) & this.#mask
    this.#names[place] = name
    this.#places[place] = call
  }

  #grow(): void {
    const names = this.#names
    const places = this.#places
    const size = places.length * 2
    this.#mask = size - 1
    this.#names = new Array<Uint8Array | undefined>(size).fill(undefined)
    this.#places = new Array<Call | undefined>(size).fill(undefined)
    for (const [index, name] of names.entries()) {
      if (name !== undefined) this.#put(name, places[index] as Call)
    }
  }
}

function spread(hash: number): number {
  return hash ^ (hash >>> 7)
}

function same(name: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let index = 0; index < name.length; index++) {
    if (((bytes[start + index] as number) | 0x20) !== name[index]) return false
  }
  return true
}
