/**
 * Users and what they may do: whether a call is permitted, and if not, because of what.
 *
 *     user ─┬─ root selector      commands │ keys (read, write) │ channels
 *           ├─ (selector)
 *           └─ (selector)         one of them must permit the whole call; they do not add up
 *
 * Users are values: a change makes a new one (acl-rules.ts). Commands are known by their place in the table.
 */
import type { Bytes } from '../base/units.js'
import { matchesGlob } from './glob.js'
import { collect, keysOf } from './keys.js'
import type { KeySpec } from './row.js'
import type { CommandSpec } from './spec.js'

export interface KeyPattern {
  readonly pattern: Bytes
  readonly read: boolean
  readonly write: boolean
}

export interface Selector {
  /** 1 at the id of every permitted command. */
  readonly commands: Uint8Array
  /** Began with `+@all`: commands that we do not know yet are permitted as well. */
  readonly future: boolean
  /** Of commands not permitted as a whole, the first arguments with which they are; by command id, in lower case. */
  readonly firstArgs: ReadonlyMap<number, readonly Bytes[]>
  readonly allKeys: boolean
  readonly keys: readonly KeyPattern[]
  readonly allChannels: boolean
  readonly channels: readonly Bytes[]
}

export interface User {
  readonly name: Bytes
  readonly enabled: boolean
  /** Every password is right. */
  readonly nopass: boolean
  readonly payload: 'sanitize-payload' | 'skip-sanitize-payload' | undefined
  /** SHA-256, in hexadecimal. */
  readonly passwords: readonly string[]
  /** The first is the root. */
  readonly selectors: readonly Selector[]
}

/** What stands in the way; `object` is the command, key or channel. */
export interface Denial {
  readonly reason: 'command' | 'key' | 'channel'
  readonly object: Bytes
}

/** A key of a call and what the call does to it. Neither: it only looks whether the key is there. */
export interface KeyUse {
  readonly at: number
  readonly read: boolean
  readonly write: boolean
}

/**
 * Why the user may not make this call; undefined when one of its selectors permits it. Of several reasons that is told
 * which came furthest: a channel before a key before the command, and the later argument.
 */
export function denialOf(user: User, spec: CommandSpec, args: readonly Bytes[]): Denial | undefined {
  const call = new Call(spec, args)
  let found: Obstacle = { rank: RANK.command, at: 0 }
  for (const selector of user.selectors) {
    const obstacle = obstacleOf(selector, call)
    if (obstacle === undefined) return undefined
    if (obstacle.rank > found.rank || (obstacle.rank === found.rank && obstacle.at > found.at)) found = obstacle
  }
  if (found.rank === RANK.command) return { reason: 'command', object: spec.name }
  return { reason: found.rank === RANK.key ? 'key' : 'channel', object: args[found.at] as Bytes }
}

/** Whether a selector permits the call and, besides, the reading of any key: what SORT's BY and GET need. */
export function mayReadAnyKey(user: User, spec: CommandSpec, args: readonly Bytes[]): boolean {
  const call = new Call(spec, args)
  return user.selectors.some(selector => {
    const everywhere = selector.allKeys || selector.keys.some(({ pattern, read }) => read && pattern === '*')
    return everywhere && obstacleOf(selector, call) === undefined
  })
}

/** What the client is told of a denial, in Redis' words. */
export function refusalText({ reason }: Denial, spec: CommandSpec): Bytes {
  if (reason === 'command') return `NOPERM this user has no permissions to run the '${spec.name}' command`
  return `NOPERM this user has no permissions to access one of the ${reason}s used as arguments`
}

/** BY and GET of SORT read keys that stand nowhere in the call. Answers why that is refused. */
export function refusalOfSort(user: User, spec: CommandSpec, args: readonly Bytes[]): Bytes | undefined {
  if ((spec.name !== 'sort' && spec.name !== 'sort_ro') || mayReadAnyKey(user, spec, args)) return undefined
  const option = readingOption(args)
  return option && `ERR ${option} option of SORT denied due to insufficient ACL permissions.`
}

/** The first of BY and GET that reads other keys. BY without a star sorts nothing and reads nothing. */
function readingOption(args: readonly Bytes[]): 'BY' | 'GET' | undefined {
  for (let at = 2; at < args.length; at++) {
    const word = (args[at] as Bytes).toLowerCase()
    const value = args[at + 1]
    if (word === 'limit') at += 2
    else if (word === 'store') at += 1
    else if (word === 'get' && value !== undefined) return 'GET'
    else if (word === 'by' && value !== undefined) {
      if (value.includes('*')) return 'BY'
      at += 1
    }
  }
  return undefined
}

/** Nothing that this user might call needs a look. */
export function isUnrestricted(user: User): boolean {
  return user.selectors.some(({ future, commands, allKeys, allChannels }) => {
    return future && allKeys && allChannels && !commands.includes(0)
  })
}

/** Whether the user may hear this channel; a pattern must be permitted as it is written. */
export function mayHear(user: User, channel: Bytes, isPattern: boolean): boolean {
  return user.selectors.some(selector => selector.allChannels || matchesChannel(selector.channels, channel, isPattern))
}

/** The keys of a call, with what is done to them. */
export function keyUsesOf(spec: CommandSpec, args: readonly Bytes[]): KeyUse[] {
  if (spec.name === 'migrate') return keysOf(spec, args).map(at => ({ at, read: true, write: true }))
  if (spec.name === 'sort') {
    return keysOf(spec, args).map((at, index) => ({ at, read: index === 0, write: index > 0 }))
  }
  const uses: KeyUse[] = []
  for (const keySpec of spec.keySpecs) {
    if (keySpec.flags.includes('not_key')) continue
    const positions: number[] = []
    collect(keySpec, args, positions)
    const use = useOf(keySpec, spec, args)
    for (const at of positions) uses.push({ at, ...use })
  }
  return uses
}

type Use = Pick<KeyUse, 'read' | 'write'>

function useOf({ flags }: KeySpec, spec: CommandSpec, args: readonly Bytes[]): Use {
  if (flags.includes('variable_flags')) {
    if (spec.name === 'set') return { read: args.slice(3).some(word => word.toLowerCase() === 'get'), write: true }
    if (spec.name === 'bitfield') return { read: true, write: bitfieldWrites(args) }
  }
  return {
    read: flags.includes('access'),
    write: flags.includes('insert') || flags.includes('delete') || flags.includes('update'),
  }
}

/** What cannot be understood may write. */
function bitfieldWrites(args: readonly Bytes[]): boolean {
  for (let at = 2; at < args.length; at++) {
    const word = (args[at] as Bytes).toLowerCase()
    const left = args.length - at - 1
    if (word === 'get' && left >= 2) at += 2
    else if (word === 'overflow' && left >= 1) at += 1
    else return true
  }
  return false
}

const RANK = { command: 1, key: 2, channel: 3 } as const

interface Obstacle {
  readonly rank: number
  readonly at: number
}

/** The keys are sought once for all selectors. */
class Call {
  #keys: readonly KeyUse[] | undefined
  constructor(
    readonly spec: CommandSpec,
    readonly args: readonly Bytes[],
  ) {}

  get keys(): readonly KeyUse[] {
    this.#keys ??= keyUsesOf(this.spec, this.args)
    return this.#keys
  }
}

function obstacleOf(selector: Selector, call: Call): Obstacle | undefined {
  const { spec, args } = call
  if (!permitsCommand(selector, spec, args)) return { rank: RANK.command, at: 0 }
  if (!selector.allKeys && (spec.keySpecs.length > 0 || spec.movableKeys)) {
    const key = call.keys.find(use => !permitsKey(selector, args[use.at] as Bytes, use))
    if (key !== undefined) return { rank: RANK.key, at: key.at }
  }
  const channels = CHANNELS.get(spec.name)
  if (selector.allChannels || channels === undefined) return undefined
  const last = channels.onlyFirst ? 1 : args.length - 1
  for (let at = 1; at <= last; at++) {
    if (!matchesChannel(selector.channels, args[at] as Bytes, channels.arePatterns)) return { rank: RANK.channel, at }
  }
  return undefined
}

/** Leaving a channel is always permitted. */
const CHANNELS: ReadonlyMap<string, { readonly onlyFirst: boolean; readonly arePatterns: boolean }> = new Map([
  ['publish', { onlyFirst: true, arePatterns: false }],
  ['spublish', { onlyFirst: true, arePatterns: false }],
  ['subscribe', { onlyFirst: false, arePatterns: false }],
  ['ssubscribe', { onlyFirst: false, arePatterns: false }],
  ['psubscribe', { onlyFirst: false, arePatterns: true }],
])

function permitsCommand(selector: Selector, spec: CommandSpec, args: readonly Bytes[]): boolean {
  if (selector.commands[spec.id] === 1 || spec.flags.has('no_auth')) return true
  const first = args[spec.container === undefined ? 1 : 2]
  return first !== undefined && selector.firstArgs.get(spec.id)?.includes(first.toLowerCase()) === true
}

function permitsKey({ keys }: Selector, key: Bytes, use: Use): boolean {
  return keys.some(({ pattern, read, write }) => {
    return (read || !use.read) && (write || !use.write) && matchesGlob(pattern, key)
  })
}

function matchesChannel(permitted: readonly Bytes[], channel: Bytes, isPattern: boolean): boolean {
  return permitted.some(pattern => (isPattern ? pattern === channel : matchesGlob(pattern, channel)))
}
