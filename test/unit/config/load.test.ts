import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { describeOptions, diffConfig, exampleFile, printConfig } from '../../../src/config/describe.js'
import { exampleHead } from '../../../src/config/example-head.js'
import { type ConfigSources, loadConfig, loadProxyConfig, loadUpConfig } from '../../../src/config/load.js'
import { listOptions } from '../../../src/config/option.js'
import { type ProxyConfig, proxySchema, upSchema } from '../../../src/config/schema.js'

const token = 'a-token-of-22-letters-or-more'

describe('sources', () => {
  test('nothing given: the defaults', () => {
    const config = proxy({})
    expect(config.listeners).toEqual([{ host: '127.0.0.1', port: 6400 }])
    expect(config.consistency.level).toBe('causal')
    expect(config.failover).toBe(false)
    expect(config.hold.bytes).toBe(67108864)
  })

  test('file < environment < flags', () => {
    const yaml = 'workers: 2\nhold: {timeoutMs: 1, bytes: 5}\ngroup: from-file\n'
    const config = proxy({
      yaml,
      env: { LAGRANGE_HOLD_TIMEOUT_MS: '2', LAGRANGE_WORKERS: '3' },
      flags: { workers: '4' },
    })
    expect([config.group, config.hold.bytes, config.hold.timeoutMs, config.workers]).toEqual(['from-file', 5, 2, 4])
  })

  test('each value says where it came from', () => {
    const loaded = load({
      yaml: 'group: a\n\nworkers: 2',
      env: { LAGRANGE_ZONE: 'z' },
      flags: { listen: '[::1]:7000' },
    })
    if ('errors' in loaded) throw new Error(loaded.errors.join('\n'))
    expect(Object.fromEntries(loaded.origins)).toEqual({
      group: 'proxy.yaml:1',
      workers: 'proxy.yaml:3',
      zone: 'LAGRANGE_ZONE',
      listeners: '--listen',
    })
    expect(loaded.config.listeners).toEqual([{ host: '::1', port: 7000 }])
  })

  for (const [name, yaml, expected] of [
    ['one address', 'listeners: 127.0.0.1:1', [{ host: '127.0.0.1', port: 1 }]],
    [
      'a list of addresses',
      'listeners: ["a:1", "b:2"]',
      [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
    ],
    [
      'with a level',
      'listeners: [{address: "a:1", consistency: eventual}]',
      [{ host: 'a', port: 1, consistency: 'eventual' }],
    ],
  ] as const) {
    test(`listeners: ${name}`, () => expect(proxy({ yaml }).listeners).toEqual(expected))
  }

  for (const [text, expected] of [
    ['on', true],
    ['off', false],
    ['true', true],
    ['no', false],
  ] as const) {
    test(`failover: ${text}`, () => {
      expect(proxy({ yaml: `failover: ${text}` }).failover).toBe(expected)
      expect(proxy({ flags: { failover: text } }).failover).toBe(expected)
    })
  }

  for (const [text, expected] of [
    ['64mb', 67108864],
    ['1 GB', 1073741824],
    ['17', 17],
  ] as const) {
    test(`hold.bytes: ${text}`, () => expect(proxy({ env: { LAGRANGE_HOLD_BYTES: text } }).hold.bytes).toBe(expected))
  }

  test('an empty file and an empty section change nothing', () => {
    expect(proxy({ yaml: '' })).toEqual(proxy({}))
    expect(proxy({ yaml: '# nothing\nhold:\n' })).toEqual(proxy({}))
  })
})

describe('mistakes', () => {
  for (const [name, given, expected] of [
    [
      'unknown option',
      { yaml: 'wrokers: 2' },
      'proxy.yaml:1: wrokers: unknown option, did you mean workers? (allowed here: listeners, upstreams, upstreamAuth, clientAuth, group, zone, workers, failover, consistency, hold, witness, detection, insight, admin, topology, tls, upstreamTls, proxyProtocol, admission, rates, aclFile, rules, dataDir, log)',
    ],
    [
      'unknown option in a section',
      { yaml: 'hold:\n  timeoutms: 2\n  x: 1' },
      'proxy.yaml:2: hold.timeoutms: unknown option, did you mean hold.timeoutMs? (allowed here: timeoutMs, bytes)',
    ],
    [
      'a value where a section belongs',
      { yaml: 'hold: 3' },
      'proxy.yaml:1: hold: must be a section with options, not a value',
    ],
    [
      'a section where a value belongs',
      { yaml: 'workers: {a: {b: 1}}' },
      'proxy.yaml:1: workers: must be a whole number from 1 to 64, or auto, not {"a":{"b":1}}',
    ],
    ['a list at the top', { yaml: '- a' }, 'proxy.yaml:1: the file: must be a section with options, not a value'],
    ['not YAML', { yaml: 'a: [1' }, /^proxy\.yaml:1: /],
    ['a key twice', { yaml: 'group: a\ngroup: b' }, /^proxy\.yaml:2: .*unique/],
    [
      'a bad choice',
      { flags: { consistency: 'casual' } },
      '--consistency: consistency.level: must be one of strong, causal, session, bounded, eventual, not "casual"',
    ],
    [
      'a number with a tail',
      { env: { LAGRANGE_HOLD_TIMEOUT_MS: '30x' } },
      'LAGRANGE_HOLD_TIMEOUT_MS: hold.timeoutMs: must be a whole number of milliseconds from 0 to 86400000, not "30x"',
    ],
    [
      'a negative number',
      { yaml: 'hold: {timeoutMs: -1}' },
      'proxy.yaml:1: hold.timeoutMs: must be a whole number of milliseconds from 0 to 86400000, not -1',
    ],
    [
      'an empty value',
      { yaml: 'workers:' },
      'proxy.yaml:1: workers: must be a whole number from 1 to 64, or auto, not null',
    ],
    [
      'too many workers',
      { flags: { workers: '65' } },
      '--workers: workers: must be a whole number from 1 to 64, or auto, not "65"',
    ],
    [
      'a port that is none',
      { flags: { listen: '127.0.0.1:66000' } },
      '--listen: listeners[0]: must be host:port with a port from 1 to 65535, not "127.0.0.1:66000"',
    ],
    [
      'an address without port',
      { flags: { upstream: 'a:1,b' } },
      '--upstream: upstreams[1]: must be host:port with a port from 1 to 65535, not "b"',
    ],
    [
      'no address at all',
      { yaml: 'upstreams: []' },
      'proxy.yaml:1: upstreams: must be a list of host:port, with ports from 1 to 65535, or unix:/path, not []',
    ],
    [
      'a field of a listener',
      { yaml: 'listeners:\n  - {address: "a:1", consistency: quick}' },
      'proxy.yaml:1: listeners[0].consistency: must be one of strong, causal, session, bounded, eventual, not "quick"',
    ],
    [
      'a listener that is half secured',
      { yaml: 'listeners:\n  - {address: "a:1", tls: maybe}' },
      'proxy.yaml:1: listeners[0].tls: must be one of on, off, not "maybe"',
    ],
    [
      'a secured listener without a certificate',
      { yaml: 'listeners:\n  - {address: "a:1", tls: on}' },
      'proxy.yaml:1: listeners: tls is on, so tls.certFile and tls.keyFile must be set',
    ],
    [
      'a network that is none',
      { yaml: 'proxyProtocol: {trusted: [10.0.0.0/33]}' },
      'proxy.yaml:1: proxyProtocol.trusted: must be a list of addresses and networks such as 10.0.0.0/8 or fd00::/8, not ["10.0.0.0/33"]',
    ],
    [
      'a rule that says nothing',
      { yaml: 'rules:\n  - {user: u, level: causal}\n  - {user: u}' },
      'proxy.yaml:1: rules[1]: says nothing: level, readFrom, acks or deny is missing',
    ],
    [
      'a rule that says something strange',
      { yaml: 'rules: [{level: fast}]' },
      'proxy.yaml:1: rules[0].level: must be one of strong, causal, session, bounded, eventual, not "fast"',
    ],
    [
      'an unknown field of an upstream',
      { yaml: 'upstreams: [{address: "a:1", wieght: 3}]' },
      'proxy.yaml:1: upstreams[0].wieght: unknown; allowed here: address, zone',
    ],
    [
      'a prototype as field',
      { yaml: 'upstreams: [{address: "a:1", constructor: x}]' },
      'proxy.yaml:1: upstreams[0].constructor: unknown; allowed here: address, zone',
    ],
    ['a field without address', { yaml: 'upstreams: [{zone: z}]' }, 'proxy.yaml:1: upstreams[0]: address is missing'],
    ['a listener twice', { flags: { listen: 'a:1,a:1' } }, '--listen: listeners: a:1 is there twice'],
    [
      'ping slower than down-after',
      { yaml: 'detection: {downAfterMs: 100}' },
      'detection.pingPeriodMs: 100 must be less than downAfterMs, which is 100',
    ],
    [
      'admin for all without token',
      { flags: { admin: '0.0.0.0:8400' } },
      '--admin: admin.listen: 0.0.0.0:8400 can be reached by other machines, so admin.tokenFile must be set',
    ],
    [
      'a token that can be guessed',
      { env: { LAGRANGE_TOKEN: 'secret' } },
      'LAGRANGE_TOKEN: admin.token: must have at least 22 characters (128 bits), or be empty',
    ],
    [
      'a secret file that is not there',
      { flags: { 'requirepass-file': 'nope' } },
      '--requirepass-file: clientAuth.passwordFile: nope cannot be used: no such file',
    ],
    [
      'a secret twice',
      { env: { LAGRANGE_REQUIREPASS: 'x' }, flags: { 'requirepass-file': 'secret' } },
      '--requirepass-file: clientAuth.passwordFile: clientAuth.password is set too, by LAGRANGE_REQUIREPASS; give one of them',
    ],
  ] as const satisfies readonly (readonly [string, Given, string | RegExp])[]) {
    test(name, () => {
      const [first] = mistakes(given)
      if (typeof expected === 'string') expect(first).toBe(expected)
      else expect(first).toMatch(expected)
    })
  }

  test('all are reported at once, from all sources', () => {
    const given = {
      yaml: 'nope: 1\nworkers: x\nlisteners: ["a", "b:0"]',
      env: { LAGRANGE_ADMIN: 'here' },
      flags: { failover: 'maybe' },
    }
    expect(mistakes(given).map(line => line.split(': ').slice(0, 2))).toEqual([
      ['proxy.yaml:1', 'nope'],
      ['proxy.yaml:2', 'workers'],
      ['proxy.yaml:3', 'listeners[0]'],
      ['proxy.yaml:3', 'listeners[1]'],
      ['LAGRANGE_ADMIN', 'admin.listen'],
      ['--failover', 'failover'],
    ])
  })

  test('a value that is a secret is not repeated', () => {
    const [line] = mistakes({ yaml: 'clientAuth: {password: [canary-secret]}' })
    expect(line).toBe('proxy.yaml:1: clientAuth.password: must be text')
  })

  test('a file that cannot be read', () => {
    expect(loadProxyConfig({ ...sources({}), file: 'other.yaml' })).toEqual({
      errors: ['other.yaml: cannot be read: no such file'],
    })
  })

  test('a variable that is almost ours is a warning, a stranger is not', () => {
    const loaded = load({ env: { LAGRANGE_UPSTREEM: 'a:1', LAGRANGE_SERVICE_PORT_METRICS: '9', PATH: '' } })
    expect(loaded).toMatchObject({ warnings: ['LAGRANGE_UPSTREEM is not an option; did you mean LAGRANGE_UPSTREAM?'] })
  })

  for (const [name, flags, expected] of [
    ['the endpoint among the nodes', { port: '6402' }, '--port: port: 6402 is taken, the nodes have 6401 to 6403'],
    [
      'admin and endpoint the same',
      { 'admin-port': '6400' },
      "--admin-port: adminPort: 6400 is the endpoint's port already",
    ],
    [
      'nodes past the last port',
      { 'node-port': '65535' },
      '--node-port: nodePort: the nodes have 65535 to 65537, and the last port is 65535',
    ],
    ['port 0', { port: '0' }, '--port: port: must be a port from 1 to 65535, not "0"'],
  ] as const) {
    test(`up: ${name}`, () => expect(loadUpConfig({ ...sources({}), flags })).toEqual({ errors: [expected] }))
  }
})

describe('secrets', () => {
  test('come from a file, without its line end', () => {
    const config = proxy({
      flags: { 'upstream-password-file': 'secret', admin: '0.0.0.0:1', 'admin-token-file': 'token' },
    })
    expect(config.upstreamAuth.password).toBe('canary')
    expect(config.admin.token).toBe(token)
  })

  test('have no flag', () => {
    for (const schema of [proxySchema, upSchema]) {
      for (const option of listOptions(schema.options))
        if (option.sensitive) expect(option.flag, option.path).toBeUndefined()
    }
  })

  test('are masked when printed, and compared without being shown', () => {
    const before = proxy({ env: { LAGRANGE_UPSTREAM_PASSWORD: 'canary-1' } })
    const after = proxy({ env: { LAGRANGE_UPSTREAM_PASSWORD: 'canary-2' } })
    expect(printConfig(proxySchema, before)).toContain('password: "[masked]"')
    expect(printConfig(proxySchema, before)).not.toContain('canary')
    expect(diffConfig(proxySchema, before, after)).toEqual([
      { path: 'upstreamAuth.password', from: '[masked]', to: '[masked]', reload: 'restart' },
    ])
  })
})

describe('descriptions', () => {
  test('what is printed loads again and is the same', () => {
    const config = proxy({ flags: { listen: 'a:1,b:2', upstream: '[::1]:6379', failover: 'on', 'hold-bytes': '1mb' } })
    expect(proxy({ yaml: printConfig(proxySchema, config) })).toEqual(config)
  })

  test('a change is told with what it needs', () => {
    const changes = diffConfig(proxySchema, proxy({}), proxy({ flags: { listen: 'a:1', 'log-level': 'warn' } }))
    expect(changes).toEqual([
      { path: 'listeners', from: ['127.0.0.1:6400'], to: ['a:1'], reload: 'restart' },
      { path: 'log.level', from: 'info', to: 'warn', reload: 'live' },
    ])
  })

  test('every option is explained, in sentences', () => {
    for (const schema of [proxySchema, upSchema]) {
      for (const option of describeOptions<never>(schema as never))
        expect(option.doc, option.path).toMatch(/^[\p{L}].*\.$/su)
    }
  })

  test('variables and flags are unique and say the same', () => {
    for (const schema of [proxySchema, upSchema]) {
      const options = listOptions(schema.options)
      for (const name of ['env', 'flag'] as const) {
        const names = options.flatMap(option => option[name] ?? [])
        expect(new Set(names).size).toBe(names.length)
      }
      for (const option of options) expect(option.env ?? 'LAGRANGE_').toMatch(/^LAGRANGE_/)
    }
  })
})

describe('config/proxy.yaml', () => {
  const path = new URL('../../../config/proxy.yaml', import.meta.url)

  test('is what the schema says (UPDATE=1 rewrites it)', () => {
    const expected = exampleFile(proxySchema, exampleHead)
    if (process.env.UPDATE === '1') writeFileSync(path, expected)
    expect(readFileSync(path, 'utf8')).toBe(expected)
  })

  test('names every option and equals the defaults', () => {
    const yaml = readFileSync(path, 'utf8')
    const loaded = load({ yaml })
    if ('errors' in loaded) throw new Error(loaded.errors.join('\n'))
    expect(loaded.config).toEqual(proxy({}))
    expect([...loaded.origins.keys()].sort()).toEqual(
      listOptions(proxySchema.options)
        .map(option => option.path)
        .sort(),
    )
  })
})

interface Given {
  readonly yaml?: string
  readonly env?: Readonly<Record<string, string>>
  readonly flags?: Readonly<Record<string, string>>
}

function sources(given: Given): ConfigSources {
  const files: Readonly<Record<string, string>> = { 'proxy.yaml': given.yaml ?? '', secret: 'canary\n', token }
  const read = (path: string): string => {
    const text = files[path]
    if (text === undefined) throw new Error('no such file')
    return text
  }
  const file = given.yaml === undefined ? undefined : 'proxy.yaml'
  return { file, readFile: read, readSecret: read, env: given.env ?? {}, flags: given.flags ?? {} }
}

function load(given: Given) {
  return loadConfig(proxySchema, sources(given))
}

function proxy(given: Given): ProxyConfig {
  const loaded = load(given)
  if ('errors' in loaded) throw new Error(loaded.errors.join('\n'))
  return loaded.config
}

function mistakes(given: Given): readonly string[] {
  const loaded = load(given)
  return 'errors' in loaded ? loaded.errors : []
}
