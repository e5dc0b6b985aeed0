/**
 * The formats of our options, registered with convict. Each reads the text of an environment variable or a flag
 * (`coerce`) and judges the value of any source (`validate`); a text that cannot be read is left as it is, so that the
 * message can show it.
 */
import convict from 'convict'
import { formatAddress, parseAddress } from '../base/address.js'

export const consistencyLevels = ['strong', 'causal', 'session', 'bounded', 'eventual'] as const
export type ConsistencyLevel = (typeof consistencyLevels)[number]

export const accesses = ['all', 'read-only', 'master-only'] as const
export const clientCertificates = ['off', 'optional', 'required'] as const
export type ClientCertificates = (typeof clientCertificates)[number]
export const tlsVersions = ['TLSv1.2', 'TLSv1.3'] as const
export type TlsVersion = (typeof tlsVersions)[number]
const switches = ['on', 'off'] as const

/** An address clients connect to. */
export interface ListenerConfig {
  readonly host: string
  readonly port: number
  /** Overrides `consistency.level` for clients of this listener. */
  readonly consistency?: ConsistencyLevel
  /** What may be asked there; everything, unless it is said. */
  readonly access?: (typeof accesses)[number]
  readonly tls?: (typeof switches)[number]
  readonly proxyProtocol?: (typeof switches)[number]
}

/** What holds for some clients, commands or keys. */
export interface RuleConfig {
  readonly user?: string
  readonly clientName?: string
  readonly commands?: readonly string[]
  readonly keyPrefix?: string
  readonly level?: ConsistencyLevel
  readonly boundMs?: number
  readonly readFrom?: 'any' | 'master'
  /** So many replicas, or the witness, must have a write before it is acknowledged. */
  readonly acks?: number | 'witness'
  readonly acksTimeoutMs?: number
  readonly acksOtherwise?: 'refuse' | 'degrade'
  readonly deny?: boolean
}

/** An instance we are told of. */
export interface UpstreamConfig {
  readonly host: string
  readonly port: number
  /** Compared with our own `zone` for locality. */
  readonly zone?: string
}

/** Thrown by a format when a list is wrong in several places; one line each, beginning with the place. */
class ListError extends Error {}

convict.addFormats({
  text: {
    validate: (value: unknown) => must(typeof value === 'string'),
    coerce: String,
  },
  name: {
    validate: (value: unknown) => must(typeof value === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(value)),
    coerce: String,
  },
  texts: {
    validate: (value: unknown) => must(Array.isArray(value) && value.every(item => typeof item === 'string')),
    coerce: splitList,
  },
  switch: {
    validate: (value: unknown) => must(typeof value === 'boolean'),
    coerce: readSwitch,
  },
  millis: {
    validate: (value: unknown) => must(isWhole(value, 0, 86_400_000)),
    coerce: readNumber,
  },
  'positive-millis': {
    validate: (value: unknown) => must(isWhole(value, 1, 86_400_000)),
    coerce: readNumber,
  },
  'size-in-bytes': {
    validate: (value: unknown) => must(isWhole(value, 0, Number.MAX_SAFE_INTEGER)),
    coerce: readSize,
  },
  'tcp-port': {
    validate: (value: unknown) => must(isWhole(value, 1, 65_535)),
    coerce: readNumber,
  },
  replicas: {
    validate: (value: unknown) => must(isWhole(value, 0, 16)),
    coerce: readNumber,
  },
  percent: {
    validate: (value: unknown) => must(isWhole(value, 0, 100)),
    coerce: readNumber,
  },
  'slow-entries': {
    validate: (value: unknown) => must(isWhole(value, 1, 10_000)),
    coerce: readNumber,
  },
  'sample-every': {
    validate: (value: unknown) => must(isWhole(value, 0, 1_000_000)),
    coerce: readNumber,
  },
  acks: {
    validate: (value: unknown) => must(value === 'witness' || isWhole(value, 0, 63)),
    coerce: readNumber,
  },
  workers: {
    validate: (value: unknown) => must(value === 'auto' || isWhole(value, 1, 64)),
    coerce: readNumber,
  },
  'address-or-off': {
    validate: (value: unknown) =>
      must(value === 'off' || (typeof value === 'string' && (parseAddress(value)?.port ?? 0) > 0)),
    coerce: String,
  },
  listeners: {
    validate: (value: unknown) =>
      validateList(value, {
        consistency: text => oneOf(text, consistencyLevels),
        access: text => oneOf(text, accesses),
        tls: text => oneOf(text, switches),
        proxyProtocol: text => oneOf(text, switches),
      }),
    coerce: splitList,
  },
  upstreams: {
    validate: (value: unknown) => validateList(value, { zone: text => text !== '' || 'must not be empty' }),
    coerce: splitList,
  },
  count: {
    validate: (value: unknown) => must(isWhole(value, 0, 1_000_000_000)),
    coerce: readNumber,
  },
  networks: {
    validate: (value: unknown) => must(Array.isArray(value) && value.every(isNetwork)),
    coerce: splitList,
  },
  'file-mode': {
    validate: (value: unknown) => must(typeof value === 'string' && /^0?[0-7]{3}$/.test(value)),
    coerce: String,
  },
  rules: {
    validate: validateRules,
  },
})

/**
 * Values that may be written in several ways, in one way: `on` becomes true, `127.0.0.1:6400` in a list becomes
 * `{ host, port }`. What cannot be read stays as it is, for the format to refuse.
 */
export function normalize(format: string | readonly string[], value: unknown): unknown {
  if (format === 'switch' && typeof value === 'string') return readSwitch(value)
  if (format === 'size-in-bytes' && typeof value === 'string') return readSize(value)
  if (format === 'rules') return Array.isArray(value) ? value.map(normalizeRule) : value
  if (format !== 'listeners' && format !== 'upstreams') return value
  const items = typeof value === 'string' ? splitList(value) : value
  return Array.isArray(items) ? items.map(normalizeAddressItem) : items
}

/** The way back, for printing: `{ host, port, zone }` as `{ address, zone }`, and a bare address as its text. */
export function denormalize(value: unknown): unknown {
  if (!Array.isArray(value)) return value
  return value.map(item => {
    if (!isRecord(item) || typeof item.host !== 'string' || typeof item.port !== 'number') return item
    const { host, port, ...rest } = item
    const address = formatAddress({ host, port })
    return Object.keys(rest).length === 0 ? address : { address, ...rest }
  })
}

function normalizeAddressItem(item: unknown): unknown {
  if (typeof item === 'string') return parseAddress(item.trim()) ?? item
  if (!isRecord(item) || typeof item.address !== 'string') return item
  const address = parseAddress(item.address)
  if (address === undefined) return item
  const { address: _, ...rest } = item
  // YAML has two words for each.
  const fields = Object.entries(rest).map(([name, field]) => [name, typeof field === 'boolean' ? onOff(field) : field])
  return { ...address, ...Object.fromEntries(fields) }
}

function onOff(value: boolean): string {
  return value ? 'on' : 'off'
}

function normalizeRule(rule: unknown): unknown {
  if (!isRecord(rule)) return rule
  const { commands, deny } = rule
  return {
    ...rule,
    ...(typeof commands === 'string' ? { commands: splitList(commands) } : {}),
    ...(typeof deny === 'string' ? { deny: readSwitch(deny) } : {}),
  }
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''

/** What each field of a rule may hold, and how that is said. */
const ruleFields: Readonly<Record<string, readonly [allowed: string, check: (value: unknown) => boolean]>> = {
  user: ['a glob', isText],
  clientName: ['a glob', isText],
  commands: ['a list of names', value => Array.isArray(value) && value.length > 0 && value.every(isText)],
  keyPrefix: ['text', isText],
  level: [`one of ${consistencyLevels.join(', ')}`, value => consistencyLevels.some(level => level === value)],
  boundMs: ['a whole number of milliseconds from 1 to 86400000', value => isWhole(value, 1, 86_400_000)],
  readFrom: ['any or master', value => value === 'any' || value === 'master'],
  acks: ['a number of replicas from 1 to 63, or witness', value => value === 'witness' || isWhole(value, 1, 63)],
  acksTimeoutMs: ['a whole number of milliseconds from 1 to 3600000', value => isWhole(value, 1, 3_600_000)],
  acksOtherwise: ['refuse or degrade', value => value === 'refuse' || value === 'degrade'],
  deny: ['on or off', value => typeof value === 'boolean'],
}

function validateRules(value: unknown): void {
  must(Array.isArray(value))
  const mistakes = (value as readonly unknown[]).flatMap((rule, index) =>
    ruleMistakes(rule).map(mistake => `[${index}]${mistake}`),
  )
  if (mistakes.length > 0) throw new ListError(mistakes.join('\n'))
}

function ruleMistakes(rule: unknown): readonly string[] {
  if (!isRecord(rule)) return [`: must be a rule, not ${JSON.stringify(rule)}`]
  const mistakes = Object.entries(rule).flatMap(([name, field]) => {
    const known = Object.hasOwn(ruleFields, name) ? ruleFields[name] : undefined
    if (known === undefined) return [`.${name}: unknown; allowed here: ${Object.keys(ruleFields).join(', ')}`]
    const [allowed, check] = known
    return check(field) ? [] : [`.${name}: must be ${allowed}, not ${JSON.stringify(field)}`]
  })
  const says = ['level', 'readFrom', 'acks', 'deny'].some(name => rule[name] !== undefined)
  if (mistakes.length === 0 && !says) mistakes.push(': says nothing: level, readFrom, acks or deny is missing')
  for (const name of ['acksTimeoutMs', 'acksOtherwise']) {
    if (rule[name] !== undefined && rule.acks === undefined) mistakes.push(`.${name}: means nothing without acks`)
  }
  return mistakes
}

function isNetwork(value: unknown): boolean {
  const match = typeof value === 'string' ? /^([0-9.]+|[0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(value) : null
  if (match === null) return false
  const [, address = '', bits] = match
  const four = /^(\d{1,3})(\.\d{1,3}){3}$/.test(address) && address.split('.').every(part => Number(part) < 256)
  const six = address.includes(':') && URL.canParse(`http://[${address}]`)
  return (four || six) && (bits === undefined || Number(bits) <= (four ? 32 : 128))
}

type FieldCheck = (text: string) => true | string

/** A list of addresses with optional fields: every mistake in it, by place. */
function validateList(value: unknown, fields: Readonly<Record<string, FieldCheck>>): void {
  must(Array.isArray(value) && value.length > 0)
  const mistakes = (value as readonly unknown[]).flatMap((item, index) =>
    itemMistakes(item, fields).map(mistake => `[${index}]${mistake}`),
  )
  if (mistakes.length > 0) throw new ListError(mistakes.join('\n'))
}

function itemMistakes(item: unknown, fields: Readonly<Record<string, FieldCheck>>): readonly string[] {
  if (!isRecord(item)) return [`: must be host:port with a port from 1 to 65535, not ${JSON.stringify(item)}`]
  const mistakes: string[] = []
  if ('address' in item) mistakes.push(`.address: must be host:port, not ${JSON.stringify(item.address)}`)
  else if (!('host' in item && 'port' in item)) mistakes.push(': address is missing')
  else if (parseAddress(formatAddress(item as unknown as { host: string; port: number })) === undefined) {
    mistakes.push('.address: must be host:port with a port from 1 to 65535')
  }
  for (const [name, field] of Object.entries(item)) {
    if (name === 'address' || name === 'host' || name === 'port') continue
    const check = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (check === undefined) {
      mistakes.push(`.${name}: unknown; allowed here: address, ${Object.keys(fields).join(', ')}`)
      continue
    }
    const verdict = typeof field === 'string' ? check(field) : 'must be text'
    if (verdict !== true) mistakes.push(`.${name}: ${verdict}, not ${JSON.stringify(field)}`)
  }
  return mistakes
}

function oneOf(text: string, allowed: readonly string[]): true | string {
  return allowed.includes(text) || `must be one of ${allowed.join(', ')}`
}

/** The loader completes the sentence with what is allowed and what was found. */
function must(condition: boolean): void {
  if (!condition) throw new Error('must be')
}

function isWhole(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readNumber(text: string): unknown {
  return /^\d{1,15}$/.test(text) ? Number(text) : text
}

const units: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30 }

function readSize(text: string): unknown {
  const match = /^(\d{1,12})\s*(b|kb|mb|gb)?$/i.exec(text)
  return match === null ? text : Number(match[1]) * (units[(match[2] ?? '').toLowerCase()] ?? 1)
}

function readSwitch(text: string): unknown {
  if (['on', 'yes', 'true'].includes(text.toLowerCase())) return true
  return ['off', 'no', 'false'].includes(text.toLowerCase()) ? false : text
}

function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
}
