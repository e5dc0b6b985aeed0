/**
 * What a directive may hold: reading words into the value that is kept, and printing it as CONFIG GET does. The words of
 * a refusal are Redis'.
 */
import { splitWords } from '../../resp/decoder.js'
import type { Directive, DirectiveType } from './directives.js'

export type Value = boolean | number | string

/** The value, or why the words are refused. */
export type Parsed = { readonly value: Value } | { readonly refused: string }

/** `before` is the value so far: `client-output-buffer-limit` changes only the classes it names. */
export function parseValue(directive: Directive, words: readonly string[], before: Value): Parsed {
  const { type } = directive
  const several = takesSeveral(type)
  if (!several && words.length !== 1) return refused('wrong number of arguments')
  const word = words[0] ?? ''
  switch (type.kind) {
    case 'bool':
      if (/^yes$/i.test(word)) return { value: true }
      return /^no$/i.test(word) ? { value: false } : refused("argument must be 'yes' or 'no'")
    case 'int':
      if (!/^(0|-?[1-9]\d{0,18})$/.test(word)) return refused("argument couldn't be parsed into an integer")
      return inRange(Number(word), type)
    case 'octal':
      if (!/^-?[0-7]+$/.test(word)) return refused("argument couldn't be parsed as an octal number")
      return inRange(Number.parseInt(word, 8), type)
    case 'memory':
      return parseMemoryValue(word, type)
    case 'text':
    case 'dir':
      return { value: word }
    case 'filename':
      if (word === '' && !type.mayBeEmpty) return refused(`${directive.name} can't be empty`)
      if (!/[/\\]/.test(word)) return { value: word }
      return refused(
        `${directive.name} can't be a path, just a ${directive.name === 'appenddirname' ? 'dirname' : 'filename'}`,
      )
    case 'one-of': {
      const value = type.values.find(allowed => allowed === word.toLowerCase())
      return value === undefined ? refusedChoice(type.values) : { value }
    }
    case 'some-of':
      return parseFlags(words, type.values)
    case 'save':
      return parseSave(words)
    case 'output-limits':
      return parseOutputLimits(words, String(before))
    case 'events':
      return parseEvents(words)
    case 'bind':
      if (words.length > 16) return refused('Too many bind addresses specified.')
      return { value: words.join(' ') }
    case 'replicaof':
      return parseReplicaOf(words)
    case 'oom-values':
      if (words.length !== 3) return refused('wrong number of arguments')
      return words.every(value => /^-?\d+$/.test(value) && Math.abs(Number(value)) <= 2000)
        ? { value: words.join(' ') }
        : refused('Invalid oom-score-adj-values, elements must be between -2000 and 2000.')
    case 'percentiles':
      return parsePercentiles(words)
  }
}

/** Directives of several words; one word that holds spaces is split first. */
export function takesSeveral(type: DirectiveType): boolean {
  return ['some-of', 'save', 'output-limits', 'bind', 'replicaof', 'oom-values', 'percentiles'].includes(type.kind)
}

/** The words of a multi-word directive given as one text, as CONFIG SET and the command line do. */
export function wordsOf(directive: Directive, text: string): readonly string[] {
  if (!takesSeveral(directive.type) || text === '') return [text]
  return splitWords(text) ?? text.split(' ')
}

/** As CONFIG GET prints it. */
export function printValue(directive: Directive, value: Value): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (typeof value === 'string') return value
  if (directive.type.kind === 'octal') return value.toString(8)
  if (directive.type.kind === 'memory' && directive.type.percent === true && value < 0) return `${-value}%`
  return printInteger(value)
}

/** Bytes with their unit: `1k` is 1000, `1kb` 1024. undefined when it is none. */
export function parseMemory(text: string): number | undefined {
  const match = /^(\d+)(b|k|kb|m|mb|g|gb)?$/i.exec(text)
  if (match === null) return undefined
  return Number(match[1]) * (units[(match[2] ?? 'b').toLowerCase()] as number)
}

const units: Readonly<Record<string, number>> = {
  b: 1,
  k: 1000,
  kb: 1024,
  m: 1000 ** 2,
  mb: 1024 ** 2,
  g: 1000 ** 3,
  gb: 1024 ** 3,
}

/** The shortest exact form for the file: `64mb` rather than `67108864`. */
export function printMemory(bytes: number): string {
  for (const unit of ['gb', 'mb', 'kb'] as const) {
    const size = units[unit] as number
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return printInteger(bytes)
}

function printInteger(value: number): string {
  return value >= Number('9223372036854775807') ? '9223372036854775807' : String(value)
}

function refused(reason: string): Parsed {
  return { refused: reason }
}

function refusedChoice(values: readonly string[]): Parsed {
  return refused(`argument(s) must be one of the following: ${values.join(', ')}`)
}

function inRange(value: number, { min, max }: { readonly min: number; readonly max: number }): Parsed {
  if (value >= min && value <= max) return { value }
  return refused(`argument must be between ${printInteger(min)} and ${printInteger(max)} inclusive`)
}

function parseMemoryValue(word: string, type: DirectiveType & { kind: 'memory' }): Parsed {
  const bytes = parseMemory(word)
  if (bytes !== undefined) return inRange(bytes, type)
  if (type.percent !== true) return refused('argument must be a memory value')
  const percent = /^(\d+)%$/.exec(word)
  if (percent === null) return refused('argument must be a memory or percent value')
  const value = Number(percent[1])
  return value <= -type.min ? { value: -value } : refused(`percentage argument must be less or equal to ${-type.min}`)
}

function parseFlags(words: readonly string[], values: readonly string[]): Parsed {
  const flags = words.map(word => word.toLowerCase())
  if (flags.length === 0 || !flags.every(flag => values.includes(flag))) return refusedChoice(values)
  if (flags.includes('save') && flags.includes('nosave')) {
    return refused("shutdown options SAVE and NOSAVE can't be used simultaneously")
  }
  const set = values.filter(value => value !== 'default' && flags.includes(value))
  return { value: set.length === 0 ? 'default' : set.join(' ') }
}

function parseSave(words: readonly string[]): Parsed {
  if (words.length === 0 || (words.length === 1 && words[0] === '')) return { value: '' }
  const valid = words.every((word, index) => /^\d+$/.test(word) && Number(word) >= (index % 2 === 0 ? 1 : 0))
  return words.length % 2 === 0 && valid ? { value: words.map(Number).join(' ') } : refused('Invalid save parameters')
}

export interface OutputLimit {
  readonly hardBytes: number
  readonly softBytes: number
  readonly softSeconds: number
}

export type OutputClass = 'normal' | 'replica' | 'pubsub'

/** The limits of each class, from the text that is kept. */
export function outputLimitsOf(text: string): Readonly<Record<OutputClass, OutputLimit>> {
  const words = text.split(' ')
  const limit = (at: number): OutputLimit => ({
    hardBytes: Number(words[at + 1]),
    softBytes: Number(words[at + 2]),
    softSeconds: Number(words[at + 3]),
  })
  return { normal: limit(0), replica: limit(4), pubsub: limit(8) }
}

function parseOutputLimits(words: readonly string[], before: string): Parsed {
  if (words.length === 0 || words.length % 4 !== 0) {
    return refused('Wrong number of arguments in buffer limit configuration.')
  }
  const kept = before.split(' ')
  for (let at = 0; at < words.length; at += 4) {
    const place = { normal: 0, slave: 4, replica: 4, pubsub: 8 }[(words[at] as string).toLowerCase()]
    if (place === undefined) return refused('Invalid client class specified in buffer limit configuration.')
    const hard = parseMemory(words[at + 1] as string)
    const soft = parseMemory(words[at + 2] as string)
    if (hard === undefined || soft === undefined || !/^\d+$/.test(words[at + 3] as string)) {
      return refused('Error in hard, soft or soft_seconds setting in buffer limit configuration.')
    }
    kept.splice(place + 1, 3, String(hard), String(soft), String(Number(words[at + 3])))
  }
  return { value: kept.join(' ') }
}

/** Every class but `m` and `n`. */
const ALL_EVENTS = 'g$lshzxetd'

function parseEvents(words: readonly string[]): Parsed {
  if (words.length !== 1) return refused('wrong number of arguments')
  const flags = new Set((words[0] as string).replace('A', ALL_EVENTS))
  for (const flag of flags) {
    if (!`A${ALL_EVENTS}KEmn`.includes(flag)) {
      return refused("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
    }
  }
  const all = [...ALL_EVENTS].every(flag => flags.has(flag))
  const classes = all ? 'A' : [...'g$lshzxedt'].filter(flag => flags.has(flag)).join('')
  return { value: classes + [...'KEmn'].filter(flag => flags.has(flag)).join('') }
}

function parseReplicaOf(words: readonly string[]): Parsed {
  if (words.length === 1 && words[0] === '') return { value: '' }
  if (words.length !== 2) return refused('wrong number of arguments')
  const [host, port] = words as [string, string]
  if (/^no$/i.test(host) && /^one$/i.test(port)) return { value: '' }
  if (!/^\d+$/.test(port) || Number(port) > 65535) return refused('Invalid master port')
  return { value: `${host} ${Number(port)}` }
}

function parsePercentiles(words: readonly string[]): Parsed {
  if (words.length === 1 && words[0] === '') return { value: '' }
  if (!words.every(word => /^[\d.]+$/.test(word) && !Number.isNaN(Number(word)))) {
    return refused('Invalid latency-tracking-info-percentiles parameters')
  }
  if (!words.every(word => Number(word) <= 100)) {
    return refused('latency-tracking-info-percentiles parameters should sit between [0.0,100.0]')
  }
  return { value: words.map(word => String(Number(word))).join(' ') }
}
