/**
 * Bytes that are nearly RESP: whole commands and replies, broken in the ways that matter. Everything follows from a seed.
 */
import { builtinTable } from '../../src/command/table.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { bulk } from '../support/fake-upstream.js'
import { seeded } from '../support/random.js'

export class Chance {
  readonly #next: () => number

  constructor(seed: number) {
    this.#next = seeded(seed)
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    return Math.floor(this.#next() * below)
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0
  }
}

/** What would end the process, wait, or reach beyond it. */
const LEFT_OUT = new Set(
  'shutdown debug failover replicaof slaveof sync psync replconf monitor save bgsave bgrewriteaof migrate module client'.split(
    ' ',
  ),
)

const names = [...builtinTable].map(spec => spec.name).filter(name => !LEFT_OUT.has(name))
const numbers = [
  '0',
  '1',
  '-1',
  '2',
  '10',
  '-0',
  '9223372036854775807',
  '-9223372036854775808',
  '1e400',
  'nan',
  'inf',
  '3.14',
  '',
]
const words = [
  'k',
  'key',
  'list',
  'set',
  'hash',
  'zset',
  'stream',
  '*',
  'GET',
  'NX',
  'EX',
  'PX',
  'COUNT',
  'BLOCK',
  'STREAMS',
  '>',
  '$',
  '0-1',
  'MATCH',
  'BY',
  'LIMIT',
  'STORE',
  'WITHSCORES',
  'AND',
  'x'.repeat(300),
  '\0',
  '\r\n',
  'é',
  '__proto__',
  'constructor',
]

/** A call that may be right, is often wrong, and does no harm beyond its data. */
export function anyCall(chance: Chance): string[] {
  const name = chance.pick(names)
  const subcommands = builtinTable.find(name)?.subcommands
  const args = [name]
  if (subcommands !== undefined && !chance.oneIn(5)) args.push(chance.pick([...subcommands.keys()]))
  for (let more = chance.below(6); more > 0; more--)
    args.push(chance.oneIn(3) ? chance.pick(numbers) : chance.pick(words))
  return args
}

const sizes = [
  '0',
  '-1',
  '1',
  '-2',
  '10',
  '11',
  '16385',
  '1048577',
  '536870913',
  '99999999999999999999',
  '0x1',
  '',
  ' 1',
  '+1',
]

/** Requests: right ones, broken ones, inline ones, several in a row. */
export function requestBytes(chance: Chance): Buffer {
  const parts: Buffer[] = []
  for (let count = 1 + chance.below(4); count > 0; count--) {
    switch (chance.below(6)) {
      case 0:
        parts.push(Buffer.from(`${anyCall(chance).join(' ')}\r\n`, 'latin1'))
        break
      case 1:
        parts.push(Buffer.from(`*${chance.pick(sizes)}\r\n$${chance.pick(sizes)}\r\nPING\r\n`))
        break
      default:
        parts.push(encodeCommand(anyCall(chance)))
    }
  }
  return broken(Buffer.concat(parts), chance)
}

/** Replies of both protocols, nested and broken. */
export function replyBytes(chance: Chance): Buffer {
  const parts: string[] = []
  for (let count = 1 + chance.below(3); count > 0; count--) parts.push(anyReply(chance, 0))
  return broken(Buffer.from(parts.join(''), 'latin1'), chance)
}

function anyReply(chance: Chance, depth: number): string {
  const inner = (count: number): string => Array.from({ length: count }, () => anyReply(chance, depth + 1)).join('')
  const size = depth > 4 ? 0 : chance.below(4)
  switch (chance.below(15)) {
    case 0:
      return '+OK\r\n'
    case 1:
      return '-ERR wrong\r\n'
    case 2:
      return `:${chance.pick(numbers)}\r\n`
    case 3:
      return bulk(chance.pick(words))
    case 4:
      return '$-1\r\n'
    case 5:
      return '*-1\r\n'
    case 6:
      return `*${size}\r\n${inner(size)}`
    case 7:
      return `~${size}\r\n${inner(size)}`
    case 8:
      return `%${size}\r\n${inner(size * 2)}`
    case 9:
      return `>${size}\r\n${inner(size)}`
    case 10:
      return '_\r\n'
    case 11:
      return chance.pick(['#t\r\n', '#f\r\n', ',1.5\r\n', ',inf\r\n', '(123456789012345678901234567890\r\n'])
    case 12:
      return `=8\r\ntxt:text\r\n`
    case 13:
      return `*?\r\n${inner(size)}.\r\n`
    default:
      return `|1\r\n+a\r\n+b\r\n${anyReply(chance, depth + 1)}`
  }
}

function broken(bytes: Buffer, chance: Chance): Buffer {
  if (chance.oneIn(4)) return bytes
  let made: Buffer = Buffer.from(bytes)
  for (let times = chance.below(3); times >= 0 && made.length > 0; times--) {
    const at = chance.below(made.length)
    switch (chance.below(6)) {
      case 0:
        made[at] = chance.below(256)
        break
      case 1:
        made[at] = chance.pick([...Buffer.from('\r\n*$+-:0123456789\0"\'\\')])
        break
      case 2:
        made = made.subarray(0, at)
        break
      case 3:
        made = Buffer.concat([made.subarray(0, at), made.subarray(chance.below(made.length))])
        break
      case 4:
        made = Buffer.concat([made.subarray(0, at), Buffer.from(chance.pick(sizes)), made.subarray(at)])
        break
      default:
        made = Buffer.concat([made.subarray(0, at), made.subarray(at + 1)])
    }
  }
  return made
}

/** The same bytes, as the network may bring them. */
export function pieces(bytes: Buffer, chance: Chance): Buffer[] {
  const cut: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + chance.below(chance.oneIn(3) ? 3 : 64))
    cut.push(bytes.subarray(at, end))
    at = end
  }
  return cut
}
