/**
 * One run of a script, and what it asks of whoever runs it.
 */
import type { Bytes, Millis } from '../../base/units.js'
import type { Debugger } from './debugger.js'
import type { ReplyTape } from './reply-tape.js'
import type { ScriptFlags } from './shebang.js'

/** The state of one EVAL or FCALL while it runs. */
export interface ScriptRun {
  /** The SHA1 of a script, the name of a function: for error lines. */
  readonly name: Bytes
  readonly kind: 'eval' | 'function' | 'load'
  readonly startedAt: Millis
  /** No writes, by the command (`…_RO`) or by the script's own flags. */
  readonly readOnly: boolean
  /** Of scripts that declare them; older ones have none, and each of their commands is checked by itself. */
  readonly flags: ScriptFlags | undefined
  /** Whoever debugs it. */
  readonly debugger: Debugger | undefined
  /** What `redis.setresp` chose. */
  resp: 2 | 3
  /** What `redis.set_repl` chose: where writes go. */
  replicate: { readonly file: boolean; readonly replicas: boolean }
  /** It has changed data: it cannot be killed any more. */
  wrote: boolean
  killed: boolean
  /** The error a killed script ends with. */
  killedBy: Bytes | undefined
}

/** The node, as scripts see it. */
export interface ScriptHost {
  readonly version: string
  /** Runs a command and notes its reply, errors included: all checks are the host's. Answers false when it was refused. */
  call(args: readonly Bytes[], run: ScriptRun, reply: ReplyTape): boolean
  /** Whether the caller's user may run this; undefined: there is no such command. */
  mayCall(args: readonly Bytes[], run: ScriptRun): boolean | undefined
  /** Asked now and then while a script runs: why it must not go on, if so. */
  interrupt(run: ScriptRun): Bytes | undefined
  log(level: 'debug' | 'verbose' | 'notice' | 'warning', text: Bytes): void
  /** An error came about inside a script. */
  countError(code: Bytes): void
  /** The error that the script now replies with was counted where it came about. */
  errorWasCounted(): void
  /** Seconds of work, for `os.clock`. */
  seconds(): number
}

export const EVERYWHERE = { file: true, replicas: true } as const
