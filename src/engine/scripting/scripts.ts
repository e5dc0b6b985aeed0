/**
 * The scripts of EVAL: compiled once, kept by the SHA1 of their text until SCRIPT FLUSH, as Redis does. Nothing else ever
 * drops one, since clients rely on EVALSHA; who makes up scripts pays for it, and INFO shows how many there are.
 */
import type { Bytes } from '../../base/units.js'
import type { Machine, Ref } from './machine.js'
import { sha1 } from './machine.js'
import { parseScript, type ScriptFlags } from './shebang.js'

export interface Script {
  readonly sha: string
  readonly source: Bytes
  readonly flags: ScriptFlags | undefined
}

interface Kept extends Script {
  readonly code: Bytes
  /** Where it lies in the machine, and in which one. */
  ref: Ref
  machine: Machine
}

/** So many texts are recognized without computing their SHA1. */
const RECENT = 64
/** Longer ones are not worth comparing. */
const RECENT_BYTES = 16 * 1024

export class Scripts {
  readonly #bySha = new Map<string, Kept>()
  readonly #recent = new Map<Bytes, Kept>()
  #machine: Machine | undefined
  #bytes = 0

  constructor(private readonly newMachine: () => Machine) {}

  get count(): number {
    return this.#bySha.size
  }

  /** Bytes of their texts. */
  get bytes(): number {
    return this.#bytes
  }

  get machine(): Machine {
    if (this.#machine === undefined || this.#machine.broken) this.#machine = this.newMachine()
    return this.#machine
  }

  /** Bytes that Lua's objects take; 0 before the first script. */
  get usedBytes(): number {
    return this.#machine === undefined || this.#machine.broken ? 0 : this.#machine.usedBytes
  }

  find(sha: Bytes): Script | undefined {
    return this.#bySha.get(sha) ?? this.#bySha.get(sha.toLowerCase())
  }

  has(sha: Bytes): boolean {
    return this.find(sha) !== undefined
  }

  /** The script of this text, compiled if it is new. */
  add(source: Bytes): Script | { readonly error: Bytes } {
    const recent = this.#recent.get(source)
    if (recent !== undefined) return recent
    const sha = sha1(source)
    const known = this.#bySha.get(sha)
    if (known !== undefined) return this.#remember(known)
    const parsed = parseScript(source)
    if ('error' in parsed) return parsed
    const { machine } = this
    const compiled = machine.compile(parsed.code, '@user_script')
    if ('error' in compiled) return { error: `ERR Error compiling script (new function): ${compiled.error}` }
    const script: Kept = { sha, source, code: parsed.code, flags: parsed.flags, ref: compiled.ref, machine }
    this.#bySha.set(sha, script)
    this.#bytes += source.length
    return this.#remember(script)
  }

  #remember(script: Kept): Script {
    if (script.source.length > RECENT_BYTES) return script
    if (this.#recent.size >= RECENT) this.#recent.clear()
    this.#recent.set(script.source, script)
    return script
  }

  /** Where it lies in the present machine; an error when it does not compile there any more. */
  refOf(script: Script): Ref | { readonly error: Bytes } {
    const kept = script as Kept
    const { machine } = this
    if (kept.machine === machine) return kept.ref
    const compiled = machine.compile(kept.code, '@user_script')
    if ('error' in compiled) return compiled
    kept.ref = compiled.ref
    kept.machine = machine
    return kept.ref
  }

  /** Forgets all of them, and the machine with all they left in it. */
  flush(): void {
    this.#bySha.clear()
    this.#recent.clear()
    this.#bytes = 0
    this.#machine = undefined
  }
}
