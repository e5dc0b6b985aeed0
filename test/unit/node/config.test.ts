import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Config, ConfigRefusal } from '../../../src/node/config/config.js'
import { type Directive, type DirectiveName, directives } from '../../../src/node/config/directives.js'
import { ConfigMistakes, type Loaded, loadConfig } from '../../../src/node/config/load.js'
import { rewriteConfig } from '../../../src/node/config/rewrite.js'
import { parseMemory, printMemory } from '../../../src/node/config/values.js'

const anyone = { loading: false, mayChangeProtected: false }

function folder(files: Record<string, string>): string {
  const dir = mkdtempSync(join(tmpdir(), 'lagrange-config-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
  return dir
}

function load(text: string, ...argv: string[]): Loaded {
  return loadConfig(['redis.conf', ...argv], folder({ 'redis.conf': text }))
}

function mistakesOf(act: () => unknown): readonly string[] {
  try {
    act()
  } catch (error) {
    if (error instanceof ConfigMistakes) return error.mistakes
    throw error
  }
  return []
}

describe('the file and the command line', () => {
  test('values, quotes, comments, older spellings; the command line wins', () => {
    const text = [
      '# comment',
      'port 7000',
      'slave-priority 7',
      'masterauth "a \\x41 \\"b"',
      "dbfilename 'x.rdb'",
      '  MAXMEMORY 1gb  ',
    ]
    const { config } = load(text.join('\n'), '--port', '7001', '--save', '900', '1', '--replicaof', '127.0.0.1 6379')
    expect(config.number('port')).toBe(7001)
    expect(config.number('replica-priority')).toBe(7)
    expect(config.text('masterauth')).toBe('a A "b')
    expect(config.text('dbfilename')).toBe('x.rdb')
    expect(config.number('maxmemory')).toBe(2 ** 30)
    expect(config.text('save')).toBe('900 1')
    expect(config.text('replicaof')).toBe('127.0.0.1 6379')
  })

  test('save points add up, the first replaces the default, "" removes all', () => {
    expect(load('save 900 1\nsave 300 10').config.text('save')).toBe('900 1 300 10')
    expect(load('').config.text('save')).toBe('3600 1 300 100 60 10000')
    expect(load('save ""').config.text('save')).toBe('')
    expect(load('save 900 1', '--save', '').config.text('save')).toBe('')
  })

  for (const [argv, name, value] of [
    [['--port 7001', '--timeout', '9'], 'port', '7001'],
    [['--port', '7001', '--timeout', '9'], 'timeout', '9'],
    [['--timeout', '9', "--maxmemory '1mb'"], 'maxmemory', '1048576'],
    [['--proc-title-template', '--mine', '--timeout', '9'], 'proc-title-template', '--mine'],
    [['--save', '--timeout', '9'], 'save', ''],
    [['--timeout', '9', '--save'], 'save', ''],
    [['--proc-title-template', '--save', '--save', ''], 'proc-title-template', '--save'],
    [['--shutdown-on-sigint', 'nosave', 'now', '--timeout', '9'], 'shutdown-on-sigint', 'nosave now'],
    [['--shutdown-on-sigint', 'nosave now'], 'shutdown-on-sigint', 'nosave now'],
  ] as const)
    test(`on the command line: ${argv.join(' | ')}`, () => {
      expect(loadConfig([...argv], folder({})).config.print(name)).toBe(value)
    })

  for (const [argv, mistake] of [
    [['--port'], "option 'port': port: wrong number of arguments"],
    [['--port', '--timeout', '9'], `option 'port "--timeout" "9"': port: wrong number of arguments`],
    [['--port', '--x', '--timeout', '9'], `option 'port "--x"': port: argument couldn't be parsed into an integer`],
    [['--shutdown-on-sigint'], "option 'shutdown-on-sigint': shutdown-on-sigint: argument(s) must be one of"],
  ] as const)
    test(`a mistake on the command line: ${argv.join(' | ')}`, () => {
      expect(mistakesOf(() => loadConfig([...argv], folder({})))[0]).toContain(mistake)
    })

  test('include, and an include of itself', () => {
    const dir = folder({ 'a.conf': 'port 1\ninclude b.conf', 'b.conf': 'timeout 9', 'loop.conf': 'include loop.conf' })
    expect(loadConfig(['a.conf'], dir).config.number('timeout')).toBe(9)
    expect(mistakesOf(() => loadConfig(['loop.conf'], dir))[0]).toContain('nested more than 16 deep')
  })

  test('all mistakes at once, each with its place', () => {
    expect(mistakesOf(() => load('prot 7000\nport 99999\nsave 1\ndir "x', '--timeout', 'soon'))).toEqual(
      [
        'redis.conf:4: unbalanced quotes',
        "redis.conf:1: 'prot' is not a directive, or has the wrong number of arguments",
        'redis.conf:2: port: argument must be between 0 and 65535 inclusive',
        'redis.conf:3: save: Invalid save parameters',
        `option 'timeout "soon"': timeout: argument couldn't be parsed into an integer`,
      ].sort((a, b) => order(a) - order(b)),
    )
    expect(mistakesOf(() => loadConfig(['nowhere.conf'], folder({})))[0]).toContain('ENOENT')
  })

  test('what has no meaning here is accepted with one warning, and none at its default', () => {
    const { warnings } = load('io-threads 4\ndaemonize no\nactivedefrag yes\nlua-replicate-commands yes')
    expect(warnings.map(warning => warning.split(' ', 2).join(' '))).toEqual([
      'redis.conf:4: lua-replicate-commands',
      'io-threads has',
      'activedefrag has',
    ])
  })

  test('rename-command is kept for the dispatcher', () => {
    expect(load('rename-command FLUSHALL ""\nrename-command CONFIG c').renames).toEqual(
      new Map([
        ['flushall', ''],
        ['config', 'c'],
      ]),
    )
  })
})

/** Mistakes come in the order of the lines. */
function order(mistake: string): number {
  return Number(/redis\.conf:(\d+)/.exec(mistake)?.[1] ?? 99)
}

describe('CONFIG SET', () => {
  test('is all or nothing, acts included', () => {
    const config = new Config()
    const acted: unknown[] = []
    config.watch('timeout', value => {
      acted.push(value)
      return undefined
    })
    config.watch('port', value => (value === 6379 ? undefined : 'Unable to listen on this port.'))
    expect(() =>
      config.set(
        [
          ['timeout', '5'],
          ['port', '7'],
        ],
        anyone,
      ),
    ).toThrow(
      new ConfigRefusal("ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port."),
    )
    expect(config.number('timeout')).toBe(0)
    expect(acted).toEqual([0, 5, 0])
  })

  test('protected, immutable and doubled names are refused', () => {
    const config = new Config()
    const refusal = (...pairs: [string, string][]): string => {
      try {
        config.set(pairs, anyone)
      } catch (error) {
        return (error as Error).message
      }
      return 'accepted'
    }
    expect(refusal(['dir', '/tmp'])).toContain("can't set protected config")
    expect(refusal(['databases', '3'])).toContain("can't set immutable config")
    expect(refusal(['hz', '3'], ['hz', '4'])).toContain('duplicate parameter')
    expect(refusal(['nope', '3'])).toBe("ERR Unknown option or number of arguments for CONFIG SET - 'nope'")
    expect(refusal(['slave-read-only', 'no'])).toBe('accepted')
    expect(config.flag('replica-read-only')).toBe(false)
  })
})

describe('CONFIG REWRITE', () => {
  test('keeps comments and order, changes values in place, adds what is new', () => {
    const text = [
      '# head',
      'port 7000',
      '',
      '',
      '# memory',
      'maxmemory 1gb',
      'save 900 1',
      'save 300 10',
      'slave-priority 5',
      'what is this',
      '',
    ]
    const { config } = load(text.filter(line => !line.startsWith('what')).join('\n'))
    config.set(
      [
        ['maxmemory', '2gb'],
        ['save', '60 1'],
        ['timeout', '9'],
        ['client-output-buffer-limit', 'pubsub 1mb 2mb 3'],
      ],
      anyone,
    )
    config.put('replicaof', '127.0.0.1 6379')
    const written = rewriteConfig(text.join('\n'), config)
    expect(written.split('\n')).toEqual([
      '# head',
      'port 7000',
      '',
      '# memory',
      'maxmemory 2gb',
      'save 60 1',
      '',
      'replica-priority 5',
      '# ??? what is this',
      '# Generated by CONFIG REWRITE',
      'timeout 9',
      'client-output-buffer-limit pubsub 1mb 2mb 3',
      'replicaof 127.0.0.1 6379',
      '',
    ])
    const dir = folder({ 'again.conf': written.replace('# ??? ', '# ') })
    const again = loadConfig(['again.conf'], dir).config
    for (const { name } of directives) expect(again.print(name), name).toBe(config.print(name))
  })

  test('a second rewrite changes nothing; a promoted replica loses its replicaof', () => {
    const { config } = load('replicaof 127.0.0.1 6379\nport 1')
    const once = rewriteConfig('replicaof 127.0.0.1 6379\nport 1\n', config)
    expect(rewriteConfig(once, config)).toBe(once)
    config.put('replicaof', '')
    expect(rewriteConfig(once, config)).toBe('\nport 1\n')
  })

  test('every text survives its quotes', () => {
    const { config } = load('')
    for (const value of ['a b', '"quoted"', "it's", '\x00\xff\n', '', 'back\\slash']) {
      config.put('masterauth', value)
      const dir = folder({ 'again.conf': rewriteConfig('', config) })
      expect(loadConfig(['again.conf'], dir).config.text('masterauth')).toBe(value)
    }
  })
})

test('memory units', () => {
  expect(['1', '1b', '1k', '1kb', '2MB', '3g', '1gb'].map(parseMemory)).toEqual([
    1,
    1,
    1000,
    1024,
    2 ** 21,
    3e9,
    2 ** 30,
  ])
  expect(['', 'x', '1kk', '-1', '1.5mb'].map(parseMemory)).toEqual(Array(5).fill(undefined))
  expect([0, 1000, 1024, 3 * 2 ** 20, 2 ** 30].map(printMemory)).toEqual(['0', '1000', '1kb', '3mb', '1gb'])
})

test('every default is what its own type reads', () => {
  const config = new Config()
  for (const directive of directives as readonly Directive[]) {
    expect(config.print(directive.name as DirectiveName), directive.name).toBe(directive.default)
  }
})
