import { expect, onTestFinished, test } from 'vitest'
import {
  accessOf,
  builtinTable,
  type CommandSpec,
  findCommand,
  isBlocking,
  keysOf,
  resolveCommand,
  tableFromCommandReply,
  unknownCommandError,
} from '../../../src/command/table.js'
import { type Frame, itemsOf, numberOf, textOf } from '../../../src/resp/protocol.js'
import { requireReal } from '../../support/real.js'
import { startRedis } from '../../support/redis-process.js'

function call(line: string): { spec: CommandSpec; args: string[] } {
  const args = line.split(' ').map(word => (word === '""' ? '' : word))
  const spec = resolveCommand(args)
  if (spec === undefined) throw new Error(`unknown: ${line}`)
  return { spec, args }
}

for (const [line, expected] of [
  ['GET k', 'k'],
  ['mSet a 1 b 2', 'a b'],
  ['MSET a 1 b', 'a b'],
  ['DEL a b c', 'a b c'],
  ['BLPOP a b 0', 'a b'],
  ['PING', ''],
  ['LMOVE a b LEFT RIGHT', 'a b'],
  ['EVAL body 2 a b arg', 'a b'],
  ['EVAL body 9 a b arg', ''],
  ['ZUNION 2 a b WITHSCORES', 'a b'],
  ['ZUNIONSTORE d 2 a b WEIGHTS 1 2', 'd a b'],
  ['XREAD COUNT 2 STREAMS a b 0 0', 'a b'],
  ['XREADGROUP GROUP g c STREAMS a >', 'a'],
  ['SORT l BY w_* GET store STORE d', 'l d'],
  ['SORT l BY store LIMIT store 3', 'l'],
  ['GEORADIUS g 1 2 3 km STORE a STOREDIST b', 'g b'],
  ['GEORADIUS g 1 2 3 km STOREDIST a STORE b', 'g b'],
  ['GEORADIUS g 1 2 3 km STORE a STORE b', 'g b'],
  ['GEORADIUS g 1 2 3 km COUNT 1 STORE store', 'g store'],
  ['GEORADIUS g 1 2 3 km', 'g'],
  ['GEORADIUSBYMEMBER store store 3 km STORE store', 'store store'],
  ['MIGRATE h 1 k 0 10', 'k'],
  ['MIGRATE h 1 "" 0 10 AUTH keys KEYS a b', 'a b'],
  ['OBJECT ENCODING k', 'k'],
  ['XGROUP CREATE s g $', 's'],
  ['MEMORY USAGE k', 'k'],
  ['LMPOP 2 a b LEFT', 'a b'],
  ['BLMPOP 0 2 a b LEFT', 'a b'],
  ['BITOP AND d a b', 'd a b'],
] as const)
  test(`keys of ${line}`, () => {
    const { spec, args } = call(line)
    expect(
      keysOf(spec, args)
        .map(at => args[at])
        .join(' '),
    ).toBe(expected)
  })

for (const [line, expected] of [
  ['get k', 'read'],
  ['GETDEL k', 'write'],
  ['GETEX k', 'write'],
  ['EVAL return 0', 'other'],
  ['EVAL_RO return 0', 'read'],
  ['PUBLISH c m', 'other'],
  ['OBJECT FREQ k', 'read'],
  ['XGROUP CREATE s g $', 'write'],
  ['CONFIG GET x', 'other'],
  ['SORT l', 'write'],
] as const)
  test(`access of ${line}`, () => {
    const { spec, args } = call(line)
    expect(accessOf(spec, args)).toBe(expected)
  })

test('only what may wait is blocking', () => {
  for (const [line, expected] of [
    ['XREAD STREAMS s 0', false],
    ['XREAD BLOCK 0 STREAMS s 0', true],
    ['XREAD STREAMS BLOCK 0', false],
    ['BLPOP k 0', true],
    ['LPOP k', false],
  ] as const) {
    const { spec, args } = call(line)
    expect(isBlocking(spec, args), line).toBe(expected)
  }
})

test('unknown commands are refused in the words of Redis', () => {
  expect(findCommand('constructor')).toBeUndefined()
  expect(findCommand('__proto__')).toBeUndefined()
  expect(resolveCommand(['XINFO', 'constructor'])).toBeUndefined()
  expect(unknownCommandError(['foo', 'a', 'b'])).toBe("ERR unknown command 'foo', with args beginning with: 'a' 'b' ")
  expect(unknownCommandError(['xinfo', 'a'])).toBe("ERR unknown subcommand 'a'. Try XINFO HELP.")
})

test('a command of a module gets its place by its own flags', () => {
  const text = (value: string): Frame => ({ type: 'bulk', value })
  const array = (...items: Frame[]): Frame => ({ type: 'array', items })
  const integer = (value: number): Frame => ({ type: 'integer', value })
  const reply = array(
    array(text('json.get'), integer(-2), array(text('readonly')), integer(1), integer(1), integer(1), array()),
    array(text('get'), integer(2), array(text('write')), integer(1), integer(1), integer(1), array()),
  )
  const table = tableFromCommandReply(reply)
  const json = table.find('JSON.GET') as CommandSpec
  expect(json.access).toBe('read')
  expect(keysOf(json, ['JSON.GET', 'k'])).toEqual([1])
  expect(table.find('get')?.access).toBe('write')
  expect(table.find('set')?.access).toBe('write')
})

requireReal('redis-server').test('our table is the COMMAND of Redis 7.0', async () => {
  const upstream = new Map<string, string>()
  describeAll(await commandReply(), upstream)
  const ours = new Map<string, string>()
  for (const spec of builtinTable.specs) ours.set(spec.name, describe(spec))
  expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(upstream))
})

function describe(spec: CommandSpec): string {
  const flags = [...spec.flags].sort().join(' ')
  const subcommands = [...(spec.subcommands?.keys() ?? [])].length
  return `${spec.arity} ${flags} ${spec.firstKey} ${spec.lastKey} ${spec.keyStep} ${[...spec.categories].sort().join(' ')} ${subcommands}`
}

function describeAll(commands: readonly Frame[], into: Map<string, string>): void {
  for (const command of commands) {
    const [name, arity, flags, first, last, step, categories, , , subcommands] = itemsOf(command)
    const numbers = [first, last, step].map(numberOf).join(' ')
    const list = (frame: Frame | undefined) => itemsOf(frame).map(textOf).sort().join(' ')
    const subs = itemsOf(subcommands)
    into.set(textOf(name) as string, `${numberOf(arity)} ${list(flags)} ${numbers} ${list(categories)} ${subs.length}`)
    describeAll(subs, into)
  }
}

async function commandReply(): Promise<readonly Frame[]> {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  const [reply] = await redis.call([['COMMAND']])
  return itemsOf(reply)
}
