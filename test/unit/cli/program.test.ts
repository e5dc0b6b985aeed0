import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Started } from '../../../src/cli/program.js'
import { listOptions } from '../../../src/config/option.js'
import { type ProxyConfig, proxySchema, type UpConfig, upSchema } from '../../../src/config/schema.js'
import { run } from '../../support/cli.js'

describe('which command', () => {
  test('up and proxy get a checked configuration; their exit code is ours', async () => {
    let up: Started<UpConfig> | undefined
    const args = [
      'up',
      '--port',
      '7000',
      '--node-port',
      '7001',
      '--replicas',
      '1',
      '--admin-port',
      '7100',
      '--workers',
      'auto',
    ]
    const code = await run({
      args: [...args, '--data-dir', '/tmp/x'],
      roots: {
        async runUp(started) {
          up = started
          return 1
        },
      },
    })
    expect(code).toEqual({ code: 1, out: '', err: '' })
    const expected = { port: 7000, nodePort: 7001, replicas: 1, adminPort: 7100, workers: 'auto', dataDir: '/tmp/x' }
    expect(up?.config).toMatchObject(expected)
  })

  test('the file is read again when asked', async () => {
    const file = temporaryFile('hold: {timeoutMs: 1}')
    let proxy: Started<ProxyConfig> | undefined
    const args = ['proxy', '-c', file, '--listen', '127.0.0.1:1,[::1]:2', '--upstream', 'a:1', '--failover', 'on']
    await run({
      args,
      roots: {
        async runProxy(started) {
          proxy = started
          return 0
        },
      },
    })
    expect(proxy?.config).toMatchObject({ failover: true, hold: { timeoutMs: 1 }, upstreams: [{ host: 'a', port: 1 }] })
    writeFileSync(file, 'hold: {timeoutMs: 2}')
    expect(proxy?.reload()).toMatchObject({ config: { hold: { timeoutMs: 2 }, failover: true } })
    writeFileSync(file, 'hold: {timeoutMs: x}')
    expect(proxy?.reload()).toMatchObject({ errors: [expect.stringContaining('hold.timeoutMs')] })
  })

  for (const [name, args] of [
    ['none', []],
    [
      'what redis-server takes',
      ['/etc/redis.conf', '--port', '7001', '--replicaof', '10.0.0.1 6379', '--save', '', '--', '-'],
    ],
    ['words we have flags for', ['--version', '--help', '--sentinel']],
  ] as const) {
    test(`node and sentinel: arguments stay as they are: ${name}`, async () => {
      const seen: (readonly string[])[] = []
      const keep = async (rest: readonly string[]) => seen.push(rest)
      await run({ args: ['node', ...args], roots: { runNode: keep } })
      await run({ args: ['sentinel', ...args], roots: { runSentinel: keep } })
      expect(seen).toEqual([args, args])
    })
  }
})

describe('bad usage: one line, exit code 2', () => {
  for (const [args, line] of [
    ['swithover', "lagrange: unknown command 'swithover' (Did you mean switchover?)"],
    ['up --prot 7000', "lagrange: unknown option '--prot' (Did you mean --port?)"],
    ['up now', "lagrange: too many arguments for 'up'. Expected 0 arguments but got 1."],
    ['up --port', "lagrange: option '--port <port>' argument missing"],
    ['up --port x', 'lagrange: --port: port: must be a port from 1 to 65535, not "x"'],
    ['status --admin here', "lagrange: option '--admin <host:port>' argument 'here' is invalid. It must be host:port."],
    [
      'events --limit 0',
      "lagrange: option '--limit <n>' argument '0' is invalid. It must be a whole number from 1 to 1000.",
    ],
    ['switchover --to b', "lagrange: option '--to <host:port>' argument 'b' is invalid. It must be host:port."],
    [
      'proxy -c /no/such/file',
      "lagrange: /no/such/file: cannot be read: ENOENT: no such file or directory, open '/no/such/file'",
    ],
    ['proxy --failover perhaps', 'lagrange: --failover: failover: must be on or off, not "perhaps"'],
  ] as const) {
    test(args, async () => expect(await run({ args: args.split(' ') })).toEqual({ code: 2, out: '', err: `${line}\n` }))
  }

  test('a configuration: every mistake, each with its place', async () => {
    const file = temporaryFile('workers: many\n\nupstreems: [a]\n')
    const { code, err } = await run({
      args: ['proxy', '--config', file, '--check-config'],
      env: { LAGRANGE_HOLD_BYTES: 'x' },
    })
    expect(code).toBe(2)
    expect(
      err
        .trim()
        .split('\n')
        .map(line => line.replace(file, 'FILE')),
    ).toEqual([
      'lagrange: FILE:1: workers: must be a whole number from 1 to 64, or auto, not "many"',
      expect.stringMatching(/^lagrange: FILE:3: upstreems: unknown option, did you mean upstreams\?/),
      'lagrange: LAGRANGE_HOLD_BYTES: hold.bytes: must be a size such as 1048576, 64mb or 1gb, not "x"',
    ])
  })

  test('nothing at all: the help', async () => {
    const { code, err } = await run({ args: [] })
    expect(code).toBe(2)
    expect(err).toContain('Usage: lagrange [options] [command]')
  })
})

describe('what it says about itself', () => {
  test('--version', async () =>
    expect(await run({ args: ['--version'] })).toEqual({ code: 0, out: '0.1.0\n', err: '' }))

  test('--help names every command, with examples', async () => {
    const { code, out } = await run({ args: ['--help'] })
    expect(code).toBe(0)
    for (const name of ['up', 'proxy', 'node', 'sentinel', 'status', 'switchover', 'failover', 'events']) {
      expect(out).toMatch(new RegExp(`^  ${name} `, 'm'))
    }
    expect(out).toContain('Examples:')
  })

  for (const [name, schema] of [
    ['up', upSchema],
    ['proxy', proxySchema],
  ] as const) {
    test(`${name} --help has every flag of its options`, async () => {
      const { out } = await run({ args: [name, '--help'] })
      for (const { flag } of listOptions(schema.options)) if (flag !== undefined) expect(out).toContain(`--${flag} <`)
    })
  }

  for (const name of ['node', 'sentinel']) {
    test(`${name} --help is ours`, async () => {
      const { code, out } = await run({ args: [name, '--help'] })
      expect([code, out.split('\n')[0]]).toEqual([0, expect.stringContaining(`Usage: lagrange ${name} `)])
    })
  }

  test('--check-config and --print-config start nothing and show no secret', async () => {
    expect(await run({ args: ['proxy', '--check-config'] })).toMatchObject({
      code: 0,
      out: 'The configuration is fine.\n',
    })
    const env = { LAGRANGE_UPSTREAM_PASSWORD: 'canary', LAGRANGE_UPSTREEM: 'x' }
    const { code, out, err } = await run({ args: ['proxy', '--print-config'], env })
    expect(code).toBe(0)
    expect(out).toContain('listeners:\n  - 127.0.0.1:6400\n')
    expect(out).toContain('password: "[masked]"')
    expect(out + err).not.toContain('canary')
    expect(err).toBe('lagrange: warning: LAGRANGE_UPSTREEM is not an option; did you mean LAGRANGE_UPSTREAM?\n')
  })
})

function temporaryFile(text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'lagrange-')), 'proxy.yaml')
  writeFileSync(path, text)
  return path
}
