/**
 * The debugger of scripts: stops one at its lines, and meanwhile does what whoever debugs it asks for.
 *
 *     running ──a line: stepping, a breakpoint, redis.breakpoint()──▶ stopped ──step, continue──▶ running
 *        └──so long without a stop that it may be an endless loop──────▲ │
 *                                                                       ├──abort──▶ the script ends with an error
 *                                                                       └──nobody is there any more──▶ runs to its end
 *
 * It speaks as redis-cli --ldb expects it: requests are commands in RESP, answers are arrays of status lines, the last one is
 * `<endsession>`. What a script does between two stops is noted and shown at the next one. One object is one EVAL.
 */
import { quote } from '../../base/quote.js'
import type { Bytes, Millis } from '../../base/units.js'
import { Decoder } from '../../resp/decoder.js'
import { ProtocolError, requestLimits } from '../../resp/protocol.js'
import { LuaType, REGISTRY, type Thread } from './lua-vm.js'
import type { Machine } from './machine.js'
import { formatG } from './number-text.js'
import type { ReplyTape } from './reply-tape.js'

/** Where whoever debugs sits. */
export interface DebugConsole {
  show(lines: readonly Bytes[]): void
  /** What was typed, waited for; undefined: nobody is there any more, or the script is not to go on. Valid until the next call. */
  read(): Buffer | undefined
}

const CHUNK = 'user_script'
const LOOP = 'timeout reached, infinite loop?'
const BREAKPOINTS_MAX = 64
const CONTEXT_LINES = 5
/** Replies and values are shown up to so many bytes, until `maxlen` says otherwise. */
const SHOWN_BYTES = 256
const SHOWN_BYTES_MIN = 60
const ARGUMENTS_SHOWN = 10
const DEPTH_MAX = 10
const COMMAND_MAX = { ...requestLimits, count: 1024, bulk: 1024 }

const help = [
  'Commands of the Lua debugger:',
  '[h]elp               This text.',
  '[s]tep               Runs the present line and stops at the next.',
  '[n]ext               The same as step.',
  '[c]ontinue           Runs to the next breakpoint.',
  '[l]ist [line] [ctx]  Shows ctx (5) lines of the script before and after a line; 0 or none: the present one.',
  '[w]hole              Shows the whole script.',
  '[p]rint              Shows all local variables.',
  '[p]rint <var>        Shows one variable: a local one, or KEYS and ARGV.',
  '[b]reak              Shows all breakpoints.',
  '[b]reak <line> ...   Sets a breakpoint; with -<line> removes it; with 0 removes all.',
  '[t]race              Shows which functions have been called.',
  '[e]val <code>        Runs code of Lua; it sees no local variables.',
  '[r]edis <command>    Runs a command, as redis.call would.',
  '[m]axlen [bytes]     Cuts replies and values that are shown at so many bytes; 0: nowhere.',
  '[a]bort              Ends the script with an error. In sync mode its changes stay.',
  '',
  'In the script itself:',
  'redis.debug(...)     Shows values here.',
  'redis.breakpoint()   Stops at the next line.',
]

export class Debugger {
  readonly #lines: readonly Bytes[]
  readonly #decoder = new Decoder(COMMAND_MAX)
  #breakpoints: number[] = []
  #noted: Bytes[] = []
  #stepping = true
  #breakSoon = false
  #line = -1
  #resumedAt: Millis | undefined
  #shownBytes = SHOWN_BYTES
  #hinted = false

  constructor(
    source: Bytes,
    private readonly user: DebugConsole,
    /** So long without a stop, and the script may be in an endless loop. */
    private readonly loopMs: Millis,
  ) {
    this.#lines = source.replace(/[\r\n]+$/, '').split('\n')
  }

  /** The script is over: its reply comes next. */
  end(): void {
    this.#note('<endsession>')
    this.#show()
  }

  // ── What happens in the script ────────────────────────────────────────────────────────────────────────────────────

  /** A line begins, or (`counted`) many instructions are over. Answers whether the script stood here. May raise an error. */
  reached(machine: Machine, L: Thread, counted: boolean): boolean {
    const place = machine.vm.place(L, 0)
    if (place === undefined || place === 'above' || !place.source.includes(CHUNK)) return false
    const now = machine.seconds() * 1000
    this.#resumedAt ??= now
    this.#line = place.line
    const why = this.#whyStop(counted, now - this.#resumedAt)
    if (why === undefined) return false
    this.#stepping = this.#breakSoon = false
    this.#note(`* Stopped at ${this.#line}, stop reason = ${why}`)
    this.#noteLine(this.#line)
    this.#show()
    const left = !this.#converse(machine, L)
    this.#resumedAt = machine.seconds() * 1000
    // Nobody could end it any more.
    if (left && why === LOOP) machine.raise(L, 'ERR timeout during Lua debugging with client closing connection')
    return true
  }

  #whyStop(counted: boolean, ranMs: Millis): string | undefined {
    if (this.#breakSoon) return 'redis.breakpoint() called'
    if (this.#breakpoints.includes(this.#line)) return 'break point'
    if (this.#stepping) return 'step over'
    return counted && ranMs >= this.loopMs ? LOOP : undefined
  }

  /** redis.breakpoint() */
  breakSoon(): void {
    this.#breakSoon = true
  }

  /** redis.debug(): all that lies on the stack. */
  noteValues(machine: Machine, L: Thread): void {
    const { api } = machine.vm
    const values: Bytes[] = []
    for (let index = 1, count = api.lua_gettop(L); index <= count; index++) {
      api.lua_pushvalue(L, index)
      values.push(describe(machine, L))
      machine.vm.pop(L)
    }
    this.#note(`<debug> line ${this.#line}: ${values.join(', ')}`)
  }

  /** redis.call has answered; `args` undefined: not even that, they were no command. */
  called(args: readonly Bytes[] | undefined, reply: ReplyTape, executed: boolean): void {
    if (!this.#stepping) return
    if (args !== undefined) {
      const more = args.length - ARGUMENTS_SHOWN
      this.#note(`<redis> ${args.slice(0, ARGUMENTS_SHOWN).join(' ')}${more > 0 ? ` ... (${more} more)` : ''}`)
    }
    const { failure } = reply
    if (executed && failure !== undefined) this.#note(`<error> -${failure}`)
    if (executed) this.#noteShortened(`<reply> ${reply.describe()}`)
    else this.#note(`<error> ${failure?.replace(/^ERR /, '')}`)
  }

  // ── What is asked ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Does what is asked until the script is to go on. Answers false when nobody is there any more. */
  #converse(machine: Machine, L: Thread): boolean {
    for (;;) {
      const words = this.#nextCommand(machine, L)
      if (words === undefined) {
        this.#breakpoints = []
        return false
      }
      if (this.#obey(words, machine, L)) return true
      this.#show()
    }
  }

  #nextCommand(machine: Machine, L: Thread): readonly Bytes[] | undefined {
    const decoder = this.#decoder
    let broken = false
    for (;;) {
      let words: Bytes[] | undefined
      try {
        if (decoder.nextRequest()) words = decoder.args()
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
        broken = true
      }
      decoder.release()
      if (broken) machine.raise(L, 'ERR protocol error')
      if (words !== undefined) return words
      const bytes = this.user.read()
      if (bytes === undefined) return undefined
      decoder.feed(bytes)
    }
  }

  /** Answers whether the script goes on. */
  #obey(words: readonly Bytes[], machine: Machine, L: Thread): boolean {
    const [name = '', ...args] = words
    const [first] = args
    switch (name.toLowerCase()) {
      case 's':
      case 'step':
      case 'n':
      case 'next':
        this.#stepping = true
        return true
      case 'c':
      case 'continue':
        return true
      case 'h':
      case 'help':
        for (const line of help) this.#note(line)
        return false
      case 'l':
      case 'list':
        this.#list(first, args[1])
        return false
      case 'w':
      case 'whole':
        for (let line = 1; line <= this.#lines.length; line++) this.#noteLine(line)
        return false
      case 'p':
      case 'print':
        if (args.length === 1) this.#printOne(first as Bytes, machine, L)
        else this.#printAll(machine, L)
        return false
      case 'b':
      case 'break':
        if (args.length === 0) this.#noteBreakpoints()
        for (const line of args) this.#setBreakpoint(line)
        return false
      case 't':
      case 'trace':
        this.#trace(machine, L)
        return false
      case 'm':
      case 'maxlen':
        this.#limitShown(args)
        return false
      case 'e':
      case 'eval':
        this.#evaluate(args.join(' '), machine, L)
        return false
      case 'a':
      case 'abort':
        machine.raise(L, 'ERR script aborted for user request')
        break
      case 'r':
      case 'redis':
        if (args.length === 0 || machine.run === undefined) break
        this.#stepping = true
        machine.callForDebugger(args, machine.run)
        this.#stepping = false
        return false
    }
    this.#note('<error> Unknown Redis Lua debugger command or wrong number of arguments.')
    return false
  }

  #list(around: Bytes | undefined, context: Bytes | undefined): void {
    const middle = around === undefined ? 0 : integerOf(around)
    const center = middle > 0 ? middle : this.#line
    this.#noteAround(center, context === undefined ? CONTEXT_LINES : integerOf(context))
  }

  #noteAround(center: number, context: number): void {
    const last = Math.min(this.#lines.length, center + context)
    for (let line = Math.max(1, center - context); line <= last; line++) this.#noteLine(line)
  }

  #printOne(name: Bytes, machine: Machine, L: Thread): void {
    const { vm, sandbox } = machine
    for (let level = 0; vm.place(L, level) !== 'above'; level++) {
      let value: Bytes | undefined
      forEachLocal(machine, L, level, (local, text) => {
        // Of several with one name the last is the one that code sees here.
        if (local === name) value = text()
      })
      if (value !== undefined) return this.#noteShortened(`<value> ${value}`)
    }
    if (name !== 'KEYS' && name !== 'ARGV') return this.#note('No such variable.')
    vm.api.lua_rawgeti(L, REGISTRY, sandbox.globalsRef)
    vm.getField(L, -1, name)
    this.#noteShortened(`<value> ${describe(machine, L)}`)
    vm.pop(L, 2)
  }

  #printAll(machine: Machine, L: Thread): void {
    let any = false
    forEachLocal(machine, L, 0, (name, text) => {
      if (name.includes('(*temporary)')) return
      any = true
      this.#noteShortened(`<value> ${name} = ${text()}`)
    })
    if (!any) this.#note('No local variables in the current context.')
  }

  #noteBreakpoints(): void {
    const set = this.#breakpoints
    if (set.length === 0) return this.#note("No breakpoints set. Use 'b <line>' to add one.")
    this.#note(`${set.length} breakpoints set:`)
    for (const line of set) this.#noteLine(line)
  }

  #setBreakpoint(text: Bytes): void {
    if (!/^(0|-?[1-9]\d{0,17})$/.test(text)) return this.#note(`Invalid argument:'${text}'`)
    const line = Number(text)
    const set = this.#breakpoints
    if (line === 0) {
      this.#breakpoints = []
      return this.#note('All breakpoints removed.')
    }
    if (line < 0) {
      const at = set.indexOf(-line)
      if (at >= 0) set.splice(at, 1)
      return this.#note(at < 0 ? 'No breakpoint in the specified line.' : 'Breakpoint removed.')
    }
    if (set.length === BREAKPOINTS_MAX) return this.#note('Too many breakpoints set.')
    if (line > this.#lines.length) return this.#note('Wrong line number.')
    set.push(line)
    this.#noteAround(line, 1)
  }

  #trace(machine: Machine, L: Thread): void {
    for (let level = 0; ; level++) {
      const place = machine.vm.place(L, level)
      if (place === 'above') return
      if (place === undefined || !place.source.includes(CHUNK)) continue
      const name = machine.vm.functionName(L, level) ?? 'top level'
      this.#note(`${level === 0 ? 'In' : 'From'} ${name}:`)
      this.#noteLine(place.line)
    }
  }

  #limitShown(args: readonly Bytes[]): void {
    const [text] = args
    if (args.length === 1) {
      const bytes = integerOf(text as Bytes)
      this.#hinted = true
      this.#shownBytes = bytes === 0 ? 0 : Math.max(SHOWN_BYTES_MIN, bytes)
    }
    this.#note(
      this.#shownBytes === 0
        ? '<value> replies are unlimited.'
        : `<value> replies are truncated at ${this.#shownBytes} bytes.`,
    )
  }

  /** As an expression if it is one. */
  #evaluate(code: Bytes, machine: Machine, L: Thread): void {
    const { vm } = machine
    let compiled = vm.load(L, `return ${code}`, '@ldb_eval')
    if (!compiled) {
      vm.pop(L)
      compiled = vm.load(L, code, '@ldb_eval')
    }
    if (!compiled || vm.api.lua_pcall(L, 0, 1, 0) !== 0) this.#note(`<error> ${machine.errorText(L)}`)
    else this.#noteShortened(`<retval> ${describe(machine, L)}`)
    vm.pop(L)
  }

  // ── What is shown ─────────────────────────────────────────────────────────────────────────────────────────────────

  #note(line: Bytes): void {
    this.#noted.push(line)
  }

  #noteShortened(line: Bytes): void {
    const limit = this.#shownBytes
    if (limit === 0 || line.length <= limit) return this.#note(line)
    this.#note(`${line.slice(0, limit)} ...`)
    if (this.#hinted) return
    this.#hinted = true
    this.#note("<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.")
  }

  #noteLine(line: number): void {
    const arrow = line === this.#line ? '->' : '  '
    const mark = this.#breakpoints.includes(line) ? '#' : ' '
    const text = this.#lines[line - 1] ?? '<out of range source code line>'
    this.#note(`${arrow}${mark}${String(line).padEnd(3)} ${text}`)
  }

  #show(): void {
    const lines = this.#noted
    this.#noted = []
    this.user.show(lines.map(line => line.replace(/[\r\n]/g, ' ')))
  }
}

/** As C's atoi. */
function integerOf(text: Bytes): number {
  return Number.parseInt(text, 10) || 0
}

/** `text` describes the value; only to be called meanwhile. */
function forEachLocal(
  machine: Machine,
  L: Thread,
  level: number,
  visit: (name: Bytes, text: () => Bytes) => void,
): void {
  for (let n = 1; ; n++) {
    const name = machine.vm.local(L, level, n)
    if (name === undefined) return
    visit(name, () => describe(machine, L))
    machine.vm.pop(L)
  }
}

/** The value on top, which stays there. Nothing of the script's is called. */
function describe(machine: Machine, L: Thread, depth = 0): Bytes {
  const { vm } = machine
  const { api } = vm
  if (depth === DEPTH_MAX) return '<max recursion level reached! Nested table?>'
  switch (api.lua_type(L, -1)) {
    case LuaType.nil:
      return 'nil'
    case LuaType.boolean:
      return api.lua_toboolean(L, -1) === 0 ? 'false' : 'true'
    case LuaType.number:
      return formatG(api.lua_tonumber(L, -1), 17)
    case LuaType.string:
      return quote(vm.text(L, -1) ?? '')
    case LuaType.table:
      return describeTable(machine, L, depth + 1)
    default:
      return `"${vm.typeName(L, -1)}@0x${api.lua_topointer(L, -1).toString(16)}"`
  }
}

/** `{10; 20}` when it is a list, otherwise `{["a"]=1; [true]=2}`. */
function describeTable(machine: Machine, L: Thread, depth: number): Bytes {
  const { vm, sandbox } = machine
  const { api } = vm
  if (api.lua_checkstack(L, 4) === 0) return '{…}'
  api.lua_pushvalue(L, -1)
  // Of what scripts may not change they hold a stand-in only.
  sandbox.unveil(L, api.lua_gettop(L))
  const values: Bytes[] = []
  const pairs: Bytes[] = []
  let isList = true
  api.lua_pushnil(L)
  while (api.lua_next(L, -2) !== 0) {
    const value = describe(machine, L, depth)
    // A copy, as reading a number as text would change the key that the walk goes on from.
    api.lua_pushvalue(L, -2)
    const key = describe(machine, L, depth)
    vm.pop(L, 2)
    isList &&= api.lua_type(L, -1) === LuaType.number && api.lua_tonumber(L, -1) === values.length + 1
    values.push(value)
    pairs.push(`[${key}]=${value}`)
  }
  vm.pop(L)
  return `{${(isList ? values : pairs).join('; ')}}`
}
