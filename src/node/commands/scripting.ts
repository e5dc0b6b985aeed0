/**
 * EVAL and its relatives, SCRIPT, FUNCTION, FCALL.
 */
import type { Bytes } from '../../base/units.js'
import { matchesGlob } from '../../command/glob.js'
import { findCommand } from '../../command/table.js'
import type { Debugger } from '../../engine/scripting/debugger.js'
import type { Library, RestorePolicy } from '../../engine/scripting/libraries.js'
import { dumpFunctions, readFunctions } from '../../persistence/functions.js'
import type { Encoder } from '../../resp/encoder.js'
import type { NodeCommands } from '../dispatch.js'
import type { ScriptCaller } from '../scripting.js'
import type { NodeServer } from '../server.js'
import type { Session } from '../session.js'
import { bulkArray, lower, NOT_AN_INTEGER, readInteger, replyHelp } from './words.js'

const NO_SCRIPT = 'NOSCRIPT No matching script. Please use EVAL.'
const SHA_LENGTH = 40
const EVAL_ONLY = 'ERR Please use EVAL instead of EVALSHA for debugging'

export const scriptingCommands: NodeCommands = {
  eval: (session, args, reply, server) => evaluateOrDebug(session, args, reply, server, false),
  eval_ro: (session, args, reply, server) => evaluateOrDebug(session, args, reply, server, true),
  evalsha(session, args, reply, server) {
    if (session.debugging !== undefined) return reply.error(EVAL_ONLY)
    evaluateSha(session, args, reply, server, false)
  },
  evalsha_ro(session, args, reply, server) {
    if (session.debugging !== undefined) return reply.error(EVAL_ONLY)
    evaluateSha(session, args, reply, server, true)
  },
  fcall: (session, args, reply, server) => callFunction(session, args, reply, server, false),
  fcall_ro: (session, args, reply, server) => callFunction(session, args, reply, server, true),

  'script|load'(_session, args, reply, { scripting }) {
    const script = scripting.scripts.add(args[2] as Bytes)
    if ('error' in script) reply.error(script.error)
    else reply.bulk(script.sha)
  },

  'script|exists'(_session, args, reply, { scripting }) {
    reply.array(args.length - 2)
    for (const sha of args.slice(2)) reply.integer(scripting.scripts.has(sha) ? 1 : 0)
  },

  'script|flush'(_session, args, reply, { scripting }) {
    if (args.length > 3 || (args.length === 3 && !isSyncOrAsync(args[2]))) {
      return reply.error('ERR SCRIPT FLUSH only support SYNC|ASYNC option')
    }
    scripting.scripts.flush()
    reply.ok()
  },

  'script|kill'(_session, _args, reply, { scripting }) {
    const refusal = scripting.kill('eval')
    if (refusal === undefined) reply.ok()
    else reply.error(refusal)
  },

  'script|debug'(session, args, reply) {
    if (session.peer.queuedBytes > 0) return reply.error('ERR SCRIPT DEBUG must be called outside a pipeline')
    const mode = lower(args[2])
    if (mode !== 'no' && mode !== 'yes' && mode !== 'sync') return reply.error('ERR Use SCRIPT DEBUG YES/SYNC/NO')
    if (mode === 'sync' && session.peer.secure) {
      return reply.error('ERR SCRIPT DEBUG SYNC is not possible through TLS, SCRIPT DEBUG YES is')
    }
    session.debugging = mode === 'no' ? undefined : mode === 'yes' ? 'copy' : 'sync'
    reply.ok()
  },

  'script|help': (_session, _args, reply) => help('script', reply),

  'function|load'(session, args, reply, server) {
    let replace = false
    for (const word of args.slice(2, -1)) {
      if (lower(word) !== 'replace') return reply.error(`ERR Unknown option given: ${word}`)
      replace = true
    }
    const loaded = server.scripting.libraries.load(args.at(-1) as Bytes, replace, server.clock.now())
    if ('error' in loaded) return reply.error(loaded.error)
    server.effects.propagate(session.db, args)
    server.effects.wrote(1)
    reply.bulk(loaded.library.name)
  },

  'function|delete'(session, args, reply, server) {
    if (!server.scripting.libraries.delete(args[2] as Bytes)) return reply.error('ERR Library not found')
    server.effects.propagate(session.db, args)
    server.effects.wrote(1)
    reply.ok()
  },

  'function|flush'(session, args, reply, server) {
    if (args.length > 3) return reply.error(wrongSubcommand(args))
    if (args.length === 3 && !isSyncOrAsync(args[2])) {
      return reply.error('ERR FUNCTION FLUSH only supports SYNC|ASYNC option')
    }
    server.scripting.libraries.flush()
    server.effects.propagate(session.db, args)
    server.effects.wrote(1)
    reply.ok()
  },

  'function|kill'(_session, _args, reply, { scripting }) {
    const refusal = scripting.kill('function')
    if (refusal === undefined) reply.ok()
    else reply.error(refusal)
  },

  'function|dump'(_session, _args, reply, { scripting }) {
    reply.bulk(dumpFunctions(scripting.libraries.sources))
  },

  'function|restore'(session, args, reply, server) {
    if (args.length > 4) return reply.error(wrongSubcommand(args))
    const policy = args.length === 4 ? lower(args[3]) : 'append'
    if (!isPolicy(policy)) {
      return reply.error('ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.')
    }
    const read = readFunctions(args[2] as Bytes)
    if ('refused' in read) {
      return reply.error(
        read.refused === 'bad-footer'
          ? 'ERR DUMP payload version or checksum are wrong'
          : read.refused === 'not-a-function'
            ? 'ERR given type is not a function'
            : 'ERR Failed loading functions payload',
      )
    }
    const failed = server.scripting.libraries.restore(read.sources, policy, server.clock.now())
    if (failed !== undefined) return reply.error(failed.error)
    server.effects.propagate(session.db, args)
    server.effects.wrote(1)
    reply.ok()
  },

  'function|list'(_session, args, reply, { scripting }) {
    let withCode = false
    let pattern: Bytes | undefined
    for (let index = 2; index < args.length; index++) {
      const word = lower(args[index])
      if (!withCode && word === 'withcode') withCode = true
      else if (pattern === undefined && word === 'libraryname') {
        pattern = args[++index]
        if (pattern === undefined) return reply.error('ERR library name argument was not given')
      } else return reply.error(`ERR Unknown argument ${args[index]}`)
    }
    const wanted = [...scripting.libraries.all].filter(
      ({ name }) => pattern === undefined || matchesGlob(pattern, name, true),
    )
    reply.array(wanted.length)
    for (const library of wanted) replyLibrary(library, withCode, reply)
  },

  'function|stats'(_session, _args, reply, { scripting }) {
    const { current, libraries } = scripting
    if (current?.run.kind === 'eval') return reply.error(scripting.busyError)
    reply.map(2)
    reply.bulk('running_script')
    if (current === undefined) reply.null()
    else {
      reply.map(3)
      reply.bulk('name')
      reply.bulk(current.run.name)
      reply.bulk('command')
      bulkArray(reply, current.args)
      reply.bulk('duration_ms')
      reply.integer(Math.floor(current.ranMs))
    }
    reply.bulk('engines')
    reply.map(1)
    reply.bulk('LUA')
    reply.map(2)
    reply.bulk('libraries_count')
    reply.integer(libraries.count)
    reply.bulk('functions_count')
    reply.integer(libraries.functionCount)
  },

  'function|help': (_session, _args, reply) => help('function', reply),
}

function evaluateOrDebug(
  session: Session,
  args: readonly Bytes[],
  reply: Encoder,
  server: NodeServer,
  readOnly: boolean,
): void {
  if (session.debugging === undefined) evaluate(session, args, reply, server, readOnly)
  else server.debugging.evaluate(session, args, reply, readOnly)
}

export function evaluate(
  caller: ScriptCaller,
  args: readonly Bytes[],
  reply: Encoder,
  server: NodeServer,
  readOnly: boolean,
  debug?: Debugger,
): void {
  const keys = splitKeys(args)
  if (typeof keys === 'string') return reply.error(keys)
  const script = server.scripting.scripts.add(args[1] as Bytes)
  if ('error' in script) return reply.error(script.error)
  runScript(caller, args, script, keys, reply, server, readOnly, debug)
}

export function evaluateSha(
  caller: ScriptCaller,
  args: readonly Bytes[],
  reply: Encoder,
  server: NodeServer,
  readOnly: boolean,
): void {
  const sha = args[1] as Bytes
  if (sha.length !== SHA_LENGTH) return reply.error(NO_SCRIPT)
  const keys = splitKeys(args)
  if (typeof keys === 'string') return reply.error(keys)
  const script = server.scripting.scripts.find(sha)
  if (script === undefined) return reply.error(NO_SCRIPT)
  runScript(caller, args, script, keys, reply, server, readOnly)
}

function runScript(
  caller: ScriptCaller,
  args: readonly Bytes[],
  script: Script,
  { keys, rest }: Split,
  reply: Encoder,
  server: NodeServer,
  readOnly: boolean,
  debug?: Debugger,
): void {
  const { scripting } = server
  const { scripts } = scripting
  const invocation = { name: script.sha, kind: 'eval', readOnly, flags: script.flags, debugger: debug } as const
  scripting.invoke(caller, args, invocation, reply, run => {
    const ref = scripts.refOf(script)
    if (typeof ref !== 'number') return reply.error(`ERR Error compiling script (new function): ${ref.error}`)
    scripts.machine.call(ref, { keys, args: rest, as: 'globals' }, run, reply)
  })
}

export function callFunction(
  caller: ScriptCaller,
  args: readonly Bytes[],
  reply: Encoder,
  server: NodeServer,
  readOnly: boolean,
): void {
  const { scripting } = server
  const { libraries } = scripting
  const name = args[1] as Bytes
  const found = libraries.find(name)
  if (found === undefined) return reply.error('ERR Function not found')
  const keys = splitKeys(args)
  if (typeof keys === 'string') {
    return reply.error(keys === notANumber ? 'ERR Bad number of keys provided' : keys)
  }
  const invocation = { name, kind: 'function', readOnly, flags: found.flags } as const
  scripting.invoke(caller, args, invocation, reply, run => {
    libraries.machine.call(found.ref, { keys: keys.keys, args: keys.rest, as: 'arguments' }, run, reply)
  })
}

/** A command of our master's that is about scripts. */
export function runFromMaster(
  name: string,
  caller: ScriptCaller,
  args: readonly Bytes[],
  reply: Encoder,
  server: NodeServer,
): void {
  switch (name) {
    case 'eval':
    case 'eval_ro':
      return evaluate(caller, args, reply, server, false)
    case 'evalsha':
    case 'evalsha_ro':
      return evaluateSha(caller, args, reply, server, false)
    case 'fcall':
    case 'fcall_ro':
      return callFunction(caller, args, reply, server, false)
    default:
      // The others ask nothing of their session but its database.
      scriptingCommands[name]?.(caller as Parameters<(typeof scriptingCommands)[string]>[0], args, reply, server)
  }
}

type Script = NonNullable<ReturnType<NodeServer['scripting']['scripts']['find']>>

interface Split {
  readonly keys: readonly Bytes[]
  readonly rest: readonly Bytes[]
}

const notANumber = NOT_AN_INTEGER

/** Keys and further arguments, or why they cannot be told apart. */
function splitKeys(args: readonly Bytes[]): Split | string {
  const count = readInteger(args[2])
  if (count === undefined) return notANumber
  if (count > args.length - 3) return "ERR Number of keys can't be greater than number of args"
  if (count < 0) return "ERR Number of keys can't be negative"
  return { keys: args.slice(3, 3 + count), rest: args.slice(3 + count) }
}

function replyLibrary(library: Library, withCode: boolean, reply: Encoder): void {
  reply.map(withCode ? 4 : 3)
  reply.bulk('library_name')
  reply.bulk(library.name)
  reply.bulk('engine')
  reply.bulk(library.engine)
  reply.bulk('functions')
  reply.array(library.functions.size)
  for (const { name, description, flagNames } of library.functions.values()) {
    reply.map(3)
    reply.bulk('name')
    reply.bulk(name)
    reply.bulk('description')
    if (description === undefined) reply.null()
    else reply.bulk(description)
    reply.bulk('flags')
    reply.set(flagNames.length)
    for (const flag of flagNames) reply.simple(flag)
  }
  if (!withCode) return
  reply.bulk('library_code')
  reply.bulk(library.source)
}

function isSyncOrAsync(word: Bytes | undefined): boolean {
  return lower(word) === 'sync' || lower(word) === 'async'
}

function isPolicy(word: string): word is RestorePolicy {
  return word === 'flush' || word === 'append' || word === 'replace'
}

function wrongSubcommand(args: readonly Bytes[]): string {
  return `ERR unknown subcommand or wrong number of arguments for '${args[1]}'. Try FUNCTION HELP.`
}

function help(container: string, reply: Encoder): void {
  const spec = findCommand(container)
  if (spec !== undefined) replyHelp(spec, reply)
}
