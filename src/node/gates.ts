/**
 * Whether a command may run now, for this client, on this node: Redis' checks in Redis' order, with Redis' texts. Each
 * command's flags are folded into one number at start.
 */
import type { Bytes } from '../base/units.js'
import { mayReplicate } from '../command/spec.js'
import type { CommandSpec } from '../command/table.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

/** Bits of a command. */
export type Gate = number

const bit = {
  write: 1,
  read: 2,
  denyOutOfMemory: 4,
  mayReplicate: 8,
  stale: 16,
  loading: 32,
  allowBusy: 128,
  /** In RESP2, allowed while subscribed. */
  whileSubscribed: 64,
  /** Everything from here on makes the hot path ask. */
  noAuth: 256,
  noMulti: 512,
  protected: 1024,
  noAsyncLoading: 2048,
} as const

export const Refusal = { alwaysAsk: bit.noAuth } as const

export const Gates: Readonly<typeof bit> = bit

/** What a master answers that was started fenced. READONLY: it was not executed, and belongs to another instance. */
export const FENCED: Bytes =
  "READONLY You can't write against a fenced master: it waits to be told whether it still is one."

const LOADING: Bytes = 'LOADING Redis is loading the dataset in memory'

const whileSubscribed = new Set(
  'subscribe unsubscribe psubscribe punsubscribe ssubscribe sunsubscribe ping quit reset'.split(' '),
)
const endsTransaction = new Set(['exec', 'discard', 'quit', 'reset'])
const protectedCommands = new Set(['debug', 'module|load', 'module|loadex', 'module|unload'])

export function gatesOf(spec: CommandSpec): Gate {
  const { flags } = spec
  let gate = 0
  if (flags.has('write')) gate |= bit.write
  if (flags.has('readonly')) gate |= bit.read
  if (flags.has('denyoom')) gate |= bit.denyOutOfMemory
  if (flags.has('may_replicate') || mayReplicate.has(spec.name)) gate |= bit.mayReplicate
  if (flags.has('stale')) gate |= bit.stale
  if (flags.has('loading')) gate |= bit.loading
  if (whileSubscribed.has(spec.name)) gate |= bit.whileSubscribed
  if (flags.has('allow_busy')) gate |= bit.allowBusy
  if (flags.has('no_auth')) gate |= bit.noAuth
  if (flags.has('no_multi')) gate |= bit.noMulti
  if (flags.has('no_async_loading')) gate |= bit.noAsyncLoading
  if (protectedCommands.has(spec.name)) gate |= bit.protected
  return gate
}

export function isWrite(gate: Gate): boolean {
  return (gate & bit.write) !== 0
}

export function isDenyOom(gate: Gate): boolean {
  return (gate & bit.denyOutOfMemory) !== 0
}

export function isStale(gate: Gate): boolean {
  return (gate & bit.stale) !== 0
}

/** Redis' "may replicate": what CLIENT PAUSE WRITE holds back. */
export function mayChange(gate: Gate): boolean {
  return (gate & (bit.write | bit.mayReplicate)) !== 0
}

/** Why the command is refused, as the error it gets; undefined when it may run. */
export function allows(
  server: NodeServer,
  session: Session,
  spec: CommandSpec,
  ofCommand: Gate,
  args: readonly Bytes[],
): Bytes | undefined {
  const gate = spec.group === 'scripting' ? server.scripting.gateOf(spec, args, ofCommand) : ofCommand
  // EXEC is as much a write as what was queued for it.
  const all = spec.name === 'exec' ? queuedGates(server, session) : { any: gate, every: gate }
  const writes = (all.any & bit.write) !== 0

  if (!session.authenticated && (gate & bit.noAuth) === 0) return 'NOAUTH Authentication required.'
  if ((gate & bit.protected) !== 0) {
    const refusal = server.refusesProtected(session, spec)
    if (refusal !== undefined) return refusal
  }
  if (session.transaction !== undefined && (gate & bit.noMulti) !== 0) {
    return 'ERR Command not allowed inside a transaction'
  }
  const denied = server.acl.mayRun(session, spec, args)
  if (denied !== undefined) return denied

  if (server.memory.relief === 'full' && needsMemory(session, spec, all.any)) {
    return "OOM command not allowed when used memory > 'maxmemory'."
  }
  // PING too: a sentinel takes a master that cannot write for down, and lets another one be it.
  const reports = writes || spec.name === 'ping'
  if (reports && server.diskError !== undefined && server.role === 'master') return `MISCONF ${server.diskError}`
  if (writes && server.fenced) return FENCED
  if (writes && server.tooFewReplicas()) return 'NOREPLICAS Not enough good replicas to write.'
  if (writes && server.role === 'replica' && server.config.flag('replica-read-only')) {
    return "READONLY You can't write against a read only replica."
  }
  if (session.out.resp === 2 && (gate & bit.whileSubscribed) === 0 && session.subscriptionCount > 0) {
    return `ERR Can't execute '${spec.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`
  }
  if ((all.every & bit.stale) === 0 && server.masterDown()) {
    return "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
  }
  if ((all.every & bit.loading) === 0 && server.loads.dataHidden) return LOADING
  if ((all.any & bit.noAsyncLoading) !== 0 && server.loads.arriving === 'aside') return LOADING
  if (server.scripting.busy && !mayRunWhileBusy(spec, gate, args)) return server.scripting.busyError
  if (
    session.replica !== undefined &&
    session.type === 'replica' &&
    (gate & (bit.write | bit.read | bit.mayReplicate)) !== 0
  ) {
    return "ERR Replica can't interact with the keyspace"
  }
  return undefined
}

/** Whatever is queued takes memory until EXEC; what ends the transaction takes none. */
function needsMemory(session: Session, spec: CommandSpec, gate: Gate): boolean {
  if ((gate & bit.denyOutOfMemory) !== 0) return true
  return session.transaction !== undefined && !endsTransaction.has(spec.name)
}

function mayRunWhileBusy(spec: CommandSpec, gate: Gate, args: readonly Bytes[]): boolean {
  if (spec.name === 'shutdown') return args.slice(1).some(word => word.toLowerCase() === 'nosave')
  return (gate & bit.allowBusy) !== 0
}

function queuedGates(server: NodeServer, session: Session): { any: Gate; every: Gate } {
  let any = 0
  let every = bit.stale | bit.loading
  for (const { spec, args } of session.transaction?.commands ?? []) {
    const own = server.dispatcher.gateOf(spec)
    const gate = spec.group === 'scripting' ? server.scripting.gateOf(spec, args, own) : own
    any |= gate
    every &= gate
  }
  return { any, every }
}
