/**
 * Rules to users and back, and what users may do. The hash of a password is a stand-in of the right form.
 */
import { describe, expect, test } from 'vitest'
import { denialOf, isUnrestricted, keyUsesOf, mayHear, mayReadAnyKey, type User } from '../../../src/command/acl.js'
import {
  applyRules,
  categoryNames,
  describeCommands,
  describeUser,
  newUser,
  openUser,
  type RuleContext,
} from '../../../src/command/acl-rules.js'
import { builtinTable, type CommandSpec } from '../../../src/command/table.js'

const context: RuleContext = {
  table: builtinTable,
  hash: password => Buffer.from(password, 'latin1').toString('hex').padStart(64, '0'),
  allChannels: false,
}

describe('rules', () => {
  test.each([
    ['', 'off resetchannels -@all'],
    ['on nopass ~* &* +@all', 'on nopass ~* &* +@all'],
    ['allkeys allchannels allcommands', 'off ~* &* +@all'],
    ['+@all nocommands ~a resetkeys &c resetchannels', 'off resetchannels -@all'],
    ['%R~a %w~a %RW~b %W~c %R~c2 ~b', 'off ~a ~b %W~c %R~c2 resetchannels -@all'],
    ['+get +GET -get +set', 'off resetchannels -@all +set'],
    ['+@all -@string +incr', 'off resetchannels +@all -@string +incr'],
    ['+config -config|set', 'off resetchannels -@all +config -config|set'],
    ['+memory|doctor +memory', 'off resetchannels -@all +memory'],
    ['+@all -client +client|id', 'off resetchannels +@all -client +client|id'],
    ['+select|0 +select|1 +SELECT|0', 'off resetchannels -@all +select|0 +select|1'],
    ['+select|0 +select -select', 'off resetchannels -@all'],
    ['(+get ~a) ( +set', undefined],
    ['(+get ~a) ( +set ~b )', 'off resetchannels -@all (~a resetchannels -@all +get) (~b resetchannels -@all +set)'],
    ['(+get) clearselectors', 'off resetchannels -@all'],
    ['on +get ~a (+set) reset', 'off sanitize-payload resetchannels -@all'],
    ['skip-sanitize-payload', 'off skip-sanitize-payload resetchannels -@all'],
    ['>x >x >y <x', `off #${'79'.padStart(64, '0')} resetchannels -@all`],
    ['>x nopass', 'off nopass resetchannels -@all'],
    ['nopass >x resetpass', 'off resetchannels -@all'],
  ])('%s', (rules, described) => {
    const made = applyRules(newUser('u', context), words(rules), context)
    if (described === undefined) expect(made).toHaveProperty('error')
    else expect('user' in made && describeUser(made.user, builtinTable)).toBe(`user u ${described}`)
  })

  test.each([
    ['foo', 'Syntax error'],
    [')', 'Syntax error'],
    ['%~a', 'Syntax error'],
    ['%Z~a', 'Syntax error'],
    ['%RR~a', 'Syntax error'],
    ['+debug|', 'Syntax error'],
    ['+nothing', 'Unknown command'],
    ['-get|a', 'Unknown command'],
    ['+config|nothing', 'Unknown command'],
    ['+get|a|b', 'Unknown command'],
    ['+@nothing', 'Unknown command'],
    ['+config|get|x', 'first-arg of a subcommand'],
    ['~* ~a', 'after the * pattern'],
    ['&* &a', 'after the * pattern'],
    ['<never', 'does not exist'],
    ['#12', 'exactly 64 characters'],
    ['(+get +nothing)', "modifier '(+get +nothing)': Unknown command"],
  ])('%s is refused, and nothing of it stays', (rules, because) => {
    const before = newUser('u', context)
    const made = applyRules(before, ['on', ...words(rules)], context)
    expect('error' in made && made.error).toContain(because)
    expect(before).toEqual(newUser('u', context))
  })

  test('each category by itself is described as itself, and rules made from a user make it again', () => {
    for (const category of categoryNames) {
      for (const rules of [`-@all +@${category}`, `+@all -@${category}`]) {
        const [selector] = userOf(rules).selectors
        if (selector !== undefined) expect(describeCommands(selector, builtinTable)).toBe(rules)
      }
    }
    const user = userOf('on >secret +@all -@dangerous +info -set +select|3 %R~r* ~b &c (+@read -get ~x*)')
    const [, , ...rules] = describeUser(user, builtinTable).split(' ')
    expect(describeUser(userOf(rules.join(' ')), builtinTable)).toBe(describeUser(user, builtinTable))
  })

  test('only who may do everything is unrestricted', () => {
    expect(isUnrestricted(openUser('default', context))).toBe(true)
    for (const rules of ['~* &*', '+@all ~*', '+@all &*', '+@all ~* &* -get', '(~* +@all) &*']) {
      expect([rules, isUnrestricted(userOf(rules))]).toEqual([rules, false])
    }
    expect(isUnrestricted(userOf('(~* &* +@all)'))).toBe(true)
  })
})

describe('checks', () => {
  const readWrite = '+@all %R~r* %W~w* ~b*'
  test.each([
    ['', 'GET a', 'command get'],
    ['', 'AUTH x', ''],
    ['+get', 'GET a', 'key a'],
    ['+get ~a', 'GET a', ''],
    ['+@all -config|set', 'CONFIG SET a b', 'command config|set'],
    ['+select|0', 'SELECT 0', ''],
    ['+select|0', 'SELECT 1', 'command select'],
    [readWrite, 'GET r', ''],
    [readWrite, 'GET w', 'key w'],
    [readWrite, 'LPUSH w x', ''],
    [readWrite, 'LPUSH r x', 'key r'],
    [readWrite, 'SET w get', ''],
    [readWrite, 'SET w x GET', 'key w'],
    [readWrite, 'SET b x GET', ''],
    [readWrite, 'COPY r w', ''],
    [readWrite, 'COPY w r', 'key w'],
    [readWrite, 'EXISTS r w b', ''],
    [readWrite, 'EXISTS r x', 'key x'],
    [readWrite, 'BITFIELD r GET u4 0', ''],
    [readWrite, 'BITFIELD r GET u4 0 SET u4 0 1', 'key r'],
    [readWrite, 'SORT r STORE w', ''],
    [readWrite, 'SORT r STORE r', 'key r'],
    [readWrite, 'MIGRATE h 1 r 0 5', 'key r'],
    [readWrite, 'MIGRATE h 1 "" 0 5 AUTH KEYS KEYS b1', ''],
    [readWrite, 'EVAL s 1 b', ''],
    [readWrite, 'EVAL s 1 r', 'key r'],
    [readWrite, 'EVAL s 0 x', ''],
    [readWrite, 'EVAL s 3 x x', ''],
    [readWrite, 'GEORADIUS r 1 1 1 M STOREDIST r2', 'key r2'],
    ['+@all', 'UNSUBSCRIBE a', ''],
    ['+@all &c*', 'PUBLISH c1 x', ''],
    ['+@all &c*', 'SUBSCRIBE c1 d', 'channel d'],
    ['+@all &c*', 'PSUBSCRIBE c*', ''],
    ['+@all &c*', 'PSUBSCRIBE c1', 'channel c1'],
    ['+@all &c*', 'SSUBSCRIBE d', 'channel d'],
    ['(+get ~a) (+set ~b)', 'GET a', ''],
    ['(+get ~a) (+set ~b)', 'GET b', 'key b'],
    ['(+get ~a) (+set ~b)', 'DEL a', 'command del'],
    ['+mget ~k (+mget ~k ~o)', 'MGET k o s', 'key s'],
  ])('with %s: %s', (rules, call, denied) => {
    const { spec, args } = callOf(call)
    const denial = denialOf(userOf(rules), spec, args)
    expect(denial === undefined ? '' : `${denial.reason} ${denial.object}`).toBe(denied)
  })

  test('what reads keys that stand nowhere needs all of them', () => {
    const { spec, args } = callOf('SORT l BY v*')
    expect(
      ['+sort ~l', '+sort ~l %W~*', '+sort ~l %R~*', '+sort ~*', '~* (+sort ~l)'].map(rules =>
        mayReadAnyKey(userOf(rules), spec, args),
      ),
    ).toEqual([false, false, true, true, false])
  })

  test('patterns are heard as they are written', () => {
    const user = userOf('&a* (&b)')
    expect([
      mayHear(user, 'ab', false),
      mayHear(user, 'ab', true),
      mayHear(user, 'a*', true),
      mayHear(user, 'b', false),
    ]).toEqual([true, false, true, true])
  })

  test('every command with keys in its table uses its first key somehow', () => {
    const { spec, args } = callOf('SINTERSTORE a b c')
    expect(keyUsesOf(spec, args)).toEqual([
      { at: 1, read: false, write: true },
      { at: 2, read: true, write: false },
      { at: 3, read: true, write: false },
    ])
  })
})

function userOf(rules: string): User {
  const made = applyRules(newUser('u', context), words(rules), context)
  if ('error' in made) throw new Error(made.error)
  return made.user
}

function callOf(text: string): { spec: CommandSpec; args: string[] } {
  const args = text.split(' ').map(word => (word === '""' ? '' : word))
  const spec = builtinTable.resolve(args)
  if (spec === undefined) throw new Error(text)
  return { spec, args }
}

function words(text: string): string[] {
  return text === '' ? [] : text.split(' ')
}
