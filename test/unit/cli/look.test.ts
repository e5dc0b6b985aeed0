/** Commands that look, drain and pause, against an admin API with a backend of plain values. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { HttpServer } from '../../../src/admin/http.js'
import { startAdmin } from '../../../src/admin/server.js'
import { systemClock } from '../../../src/base/clock.js'
import { FakeBackend } from '../../support/admin.js'
import { run, start } from '../../support/cli.js'

let backend: FakeBackend
let server: HttpServer

beforeEach(async () => {
  backend = new FakeBackend()
  const options = {
    host: '127.0.0.1',
    port: 0,
    grants: [],
    allowedHosts: [],
    version: '0.1.0',
    adapter: 'node',
  } as const
  server = await startAdmin(systemClock, backend.bus, backend.store, backend, options)
})
afterEach(() => server.close())

const at = (args: string) => [...args.split(' '), '--admin', `127.0.0.1:${server.port}`]
const cli = (args: string) => run({ args: at(args) })

test('why: where it would go, and who could answer', async () => {
  const asked: unknown[] = []
  backend.explain = async request => {
    asked.push(request)
    const candidate = { usable: true, pending: 0, lagMs: 1.5 }
    return {
      command: 'get',
      handling: 'read',
      keys: ['user:1'],
      to: 'b:2',
      because: 'fresh-replica',
      level: 'bounded',
      neededOffset: 100,
      candidates: [
        { ...candidate, id: 'b:2', applied: 120 },
        { ...candidate, id: 'c:3', applied: 90 },
      ],
    }
  }
  const { code, out } = await cli('why --level bounded GET user:1')
  expect([code, asked]).toEqual([0, [{ command: ['GET', 'user:1'], level: 'bounded' }]])
  expect(out).toContain('get user:1 -> b:2 (fresh-replica)\nLevel bounded: a replica must have applied offset 100.')
  expect(out).toMatch(/b:2 +\| yes +\| +120 \| yes/)
  expect(out).toMatch(/c:3 +\| yes +\| +90 \| no/)
  await run({ args: [...at('why'), '--', 'ZADD', 'board', '-1', 'alice'] })
  expect(asked[1]).toEqual({ command: ['ZADD', 'board', '-1', 'alice'] })
  expect(await cli('why --level often GET k')).toMatchObject({ code: 1, err: expect.stringContaining('level') })
})

test('drain, ready, pause and resume do what they say, with a reason', async () => {
  expect(await cli('drain 127.0.0.1:6402 --reason disk')).toMatchObject({ code: 0 })
  expect(await cli('ready 127.0.0.1:6402')).toMatchObject({ code: 0 })
  expect(await cli('pause')).toMatchObject({ code: 0, out: 'nothing is done by itself until resumed\n' })
  expect(await cli('resume')).toMatchObject({ code: 0 })
  expect(backend.asked).toEqual(['drain', 'undrain', 'pause', 'resume'])
  expect(await cli('drain 127.0.0.1:1')).toMatchObject({ code: 1, err: expect.stringContaining('127.0.0.1:1') })
  expect(await cli('drain somewhere')).toMatchObject({ code: 2 })
})

test('sessions, slowlog, keys, history and config are tables, or documents', async () => {
  backend.sessions = async () => ({
    total: 7,
    sessions: [
      {
        id: '0-3',
        address: '10.0.0.9:5000',
        listener: 'main',
        name: 'shop',
        user: 'default',
        library: '',
        db: 0,
        resp: 3,
        level: 'causal',
        ageSeconds: 9,
        idleSeconds: 0.2,
        lastCommand: 'get',
        lastTo: 'b:2',
        lastBecause: 'fresh-replica',
        pinned: null,
        inFlight: 1,
        queuedBytes: 0,
      },
    ],
  })
  const entry = { at: 0, ms: 12.34, heldMs: 0, command: ['GET', 'k'], node: 'b:2', client: '10.0.0.9:5000' }
  backend.slowlog = async () => ({ entries: [entry] })
  const hot = [{ key: 'k', perSecond: 640, share: 0.5, errorShare: 0 }]
  backend.keys = async () => ({ sampledPer: 64, hot, big: [{ key: 'v', bytes: 70_000, command: 'set' }] })
  expect((await cli('sessions')).out).toContain('1 of 7 sessions')
  expect((await cli('slowlog')).out).toMatch(/12\.3 .*\| b:2 .*\| GET k/)
  expect((await cli('keys')).out).toMatch(/k +\| 50\.0 % \| +640/)
  expect((await cli('history')).code).toBe(0)
  expect((await cli('config show')).out).toMatch(/workers +\| 1 +\| --workers/)
  for (const command of ['sessions', 'slowlog', 'keys', 'history', 'config show', 'config reload']) {
    expect(JSON.parse((await cli(`${command} --json`)).out), command).toBeTypeOf('object')
  }
  expect((await cli('sessions --close 0-7')).out).toBe('session 0-7 is closed\n')
  expect(await cli('sessions --close 9-9')).toMatchObject({ code: 1 })
  expect((await cli('slowlog --reset')).out).toBe('the slow log is empty\n')
})

describe('top', () => {
  test('rates are the difference of two answers', async () => {
    let asked = 0
    backend.traffic = async () => {
      const n = asked++
      return {
        at: n * 1000,
        clients: 3,
        inFlight: 1,
        held: 0,
        commands: { master: 100 * n, replica: 300 * n, local: 0 },
        errors: 0,
        durations: { bounds: [0.001, 0.01], read: [300 * n, 0, 0], write: [0, 100 * n, 0] },
      }
    }
    const { out, code } = await cli('top --interval-ms 100 --count 2 --json')
    const [, second] = out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).rates)
    expect(code).toBe(0)
    expect(second).toMatchObject({ commandsPerSecond: 400, replicaShare: 1, errorsPerSecond: 0, clients: 3 })
    expect(second).toMatchObject({ readP99Ms: 1, writeP99Ms: 10 })
  })

  test('goes on until it is interrupted', async () => {
    const running = start({ args: at('top --interval-ms 100') })
    await running.until(({ out }) => out.split('lagrange top').length > 3)
    running.interrupt()
    expect(await running.done).toMatchObject({ code: 0 })
  })
})

test('switchover shows its steps while they are done, and switches to whom the plan named', async () => {
  const targets: unknown[] = []
  backend.switchover = async request => {
    targets.push(request.to)
    if (request.dryRun)
      return {
        kind: 'planned',
        plan: {
          group: 'main',
          from: 'a:1',
          to: 'b:2',
          because: '',
          lagBytes: null,
          lagMs: null,
          expectedStallMs: null,
          stallMaxMs: null,
          clients: null,
          keysAtRisk: null,
          passedOver: [],
          steps: [],
        },
      }
    for (const step of ['hold', 'demote']) backend.bus.event('info', `+switchover-state-${step}`)
    await running.until(({ err }) => err.includes('demote'))
    return backend.result
  }
  const running = start({ args: at('switchover --yes') })
  const { code, err } = await running.done
  expect([code, err]).toEqual([0, '  hold …\n  demote …\n'])
  expect(targets).toEqual([undefined, 'b:2'])
})

test('config check tells every mistake with its line', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lagrange-check-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'proxy.yaml')
  writeFileSync(file, 'workers: many\nhold:\n  timeoutMs: soon\n')
  const { code, err } = await run({ args: ['config', 'check', file] })
  expect(code).toBe(2)
  expect(err).toContain(`${file}:1: workers: `)
  expect(err).toContain(`${file}:3: hold.timeoutMs: `)
  writeFileSync(file, 'workers: 2\n')
  expect(await run({ args: ['config', 'check', file] })).toEqual({
    code: 0,
    out: 'The configuration is fine.\n',
    err: '',
  })
})

describe('completion', () => {
  test('bash completes commands, subcommands, flags and shells', async () => {
    const { out } = await run({ args: ['completion', 'bash'] })
    const complete = (...words: string[]): readonly string[] => {
      const script = `${out}
COMP_WORDS=(lagrange ${words.map(word => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}
_lagrange; echo "\${COMPREPLY[@]}"`
      const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
      expect(stderr).toBe('')
      return stdout.trim().split(' ')
    }
    expect(complete('sw')).toEqual(['switchover'])
    expect(complete('config', '')).toEqual(expect.arrayContaining(['check', 'show', 'reload']))
    expect(complete('switchover', '--d')).toEqual(['--dry-run'])
    expect(complete('--json', 'status', '--adm')).toEqual(['--admin'])
    expect(complete('completion', 'z')).toEqual(['zsh'])
    expect(complete('proxy', '--upstream-pass')).toEqual(['--upstream-password-file'])
  })

  test('zsh knows the same words', async () => {
    const { out } = await run({ args: ['completion', 'zsh'] })
    expect(out).toMatch(/^#compdef lagrange\n/)
    expect(out).toContain("'config') found=(show reload check")
    const zsh = spawnSync('zsh', ['-n'], { input: out })
    if (zsh.error === undefined) expect(zsh.status).toBe(0)
  })

  test('an unknown shell is refused', async () => {
    expect(await run({ args: ['completion', 'fish'] })).toMatchObject({ code: 2 })
  })
})

test('every operator command has examples in its help', async () => {
  for (const command of ['status', 'top', 'switchover', 'failover', 'events', 'why', 'drain', 'sessions']) {
    expect((await run({ args: [command, '--help'] })).out, command).toContain(`$ lagrange ${command}`)
  }
})

test('history tells whose writes were lost, what was saved, and who could not be asked', async () => {
  const change = {
    at: 1_700_000_000_000,
    kind: 'failover',
    cause: 'operator',
    result: 'ok',
    reason: null,
    from: 'a:1',
    to: 'b:2',
    masterEpoch: 2,
    stallMs: 5,
    durationMs: 6,
    heldCommands: 0,
    finalOffset: null,
    promotedOffset: 501,
    unread: ['c:3'],
    lost: { sessions: 3, clients: ['10.0.0.1:5(web)', '10.0.0.1:6'], writes: 4, keys: 2, rescues: ['one'] },
    steps: [],
  }
  backend.history = () => [change, { ...change, unread: [], lost: null }]
  const { out } = await run({ args: at('history') })
  const when = '2023-11-14T22:13:20.000Z'
  expect(out.split('\n').filter(line => line.startsWith(when))).toEqual([
    `${when}: could not be asked, and may have more: c:3`,
    `${when}: 3 clients lost what they had: 10.0.0.1:5(web), 10.0.0.1:6 and 1 more`,
    `${when}: 4 writes to 2 keys were saved: one`,
  ])
})
