/** The operator commands against a real admin server with a fake backend. */
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { HttpServer } from '../../../src/admin/http.js'
import { startAdmin } from '../../../src/admin/server.js'
import { systemClock } from '../../../src/base/clock.js'
import { doneResult, FakeBackend, fakeTopology, member } from '../../support/admin.js'
import { type Run, run, start } from '../../support/cli.js'

const token = 'a-token-of-at-least-22-letters'
let backend: FakeBackend
let server: HttpServer

beforeEach(async () => {
  backend = new FakeBackend()
  server = await serve('')
})
afterEach(() => server.close())

function serve(token: string): Promise<HttpServer> {
  const grants = token === '' ? [] : [{ name: 'root', role: 'admin', token } as const]
  const options = { host: '127.0.0.1', port: 0, grants, allowedHosts: [], version: '0.1.0', adapter: 'node' } as const
  return startAdmin(systemClock, backend.bus, backend.store, backend, options)
}

const cli = (args: string, more: Partial<Run> = {}) =>
  run({ args: [...args.split(' '), '--admin', `127.0.0.1:${server.port}`], ...more })

describe('status', () => {
  test('a table', async () => {
    const [group] = fakeTopology.groups
    const lastSwitch = { at: 1_700_000_000_000, cause: 'failover', from: 'a:1', to: '127.0.0.1:6401', stallMs: 412.7 }
    const down = member(6404, {
      health: 'down',
      linkUp: false,
      excluded: 'down',
      offset: null,
      lagBytes: null,
      lagMs: null,
      freshness: null,
      untapped: null,
    })
    backend.topology = () => ({
      ...fakeTopology,
      groups: [{ ...group!, diagnosis: 'replica-down', members: [...group!.members, down], lastSwitch }],
    })
    expect(await cli('status')).toEqual({
      code: 0,
      err: '',
      out: [
        'Group main (epoch 1): replica-down',
        '+----------------+---------+-------+--------+-----------+--------+------+-------+',
        '| Instance       | Role    | State | Offset | Lag bytes | Lag ms | Link | Reads |',
        '+----------------+---------+-------+--------+-----------+--------+------+-------+',
        '| 127.0.0.1:6401 | master  | up    |   1000 |           |        |      | yes   |',
        '| 127.0.0.1:6402 | replica | up    |   1000 |         0 |      0 | up   | yes   |',
        '| 127.0.0.1:6403 | replica | up    |    900 |       100 |   12.5 | up   | yes   |',
        '| 127.0.0.1:6404 | replica | down  |        |           |        | down | down  |',
        '+----------------+---------+-------+--------+-----------+--------+------+-------+',
        'Last failover: 2023-11-14T22:13:20.000Z a:1 -> 127.0.0.1:6401, writes waited 413 ms',
        '',
      ].join('\n'),
    })
  })

  test('--json is the document of the API', async () => {
    expect(JSON.parse((await cli('status --json')).out)).toEqual(fakeTopology)
  })

  test('the address from the environment', async () => {
    const env = { LAGRANGE_ADMIN: `127.0.0.1:${server.port}` }
    expect((await run({ args: ['status'], env })).code).toBe(0)
    const bad = await run({ args: ['status'], env: { LAGRANGE_ADMIN: 'off' } })
    expect(bad).toEqual({ code: 2, out: '', err: 'lagrange: LAGRANGE_ADMIN: must be host:port, not "off"\n' })
  })
})

describe('switchover', () => {
  const plan = {
    kind: 'planned',
    plan: {
      group: 'main',
      from: '127.0.0.1:6401',
      to: '127.0.0.1:6402',
      because: 'most-data',
      lagBytes: 12,
      lagMs: 0.4,
      expectedStallMs: 3.21,
      stallMaxMs: 500,
      clients: {
        transactions: 2,
        watching: 1,
        subscribed: 0,
        blocked: 3,
        monitoring: 0,
        writesInFlight: 7,
        held: 0,
      },
      keysAtRisk: 4,
      passedOver: [{ id: '127.0.0.1:6403', reason: 'lagging' }],
      steps: ['hold writes', 'promote 127.0.0.1:6402'],
    },
  } as const

  beforeEach(() => {
    backend.switchover = async request => {
      backend.asked.push(request)
      return request.dryRun ? plan : doneResult
    }
  })

  test('--yes: does it, and tells the stall', async () => {
    const { code, out, err } = await cli('switchover --to 127.0.0.1:6402 --yes')
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain(
      'The master of main is 127.0.0.1:6402, it was 127.0.0.1:6401 (epoch 2).\n' +
        'Writes waited 1.4 ms at most (17 commands); nothing was lost.\n' +
        'It took 6.2 ms: hold 0.4, promote 0.9.\n',
    )
    expect(out.match(/^Group main/gm)).toHaveLength(2)
    expect(backend.asked).toEqual([
      { to: '127.0.0.1:6402', dryRun: true, timeoutMs: 5000 },
      { to: '127.0.0.1:6402', dryRun: false, timeoutMs: 5000 },
    ])
  })

  test('--force says the same as --yes', async () => expect((await cli('switchover --force')).code).toBe(0))

  test('--dry-run: the plan, and nothing is done', async () => {
    const { code, out } = await cli('switchover --dry-run')
    expect(code).toBe(0)
    expect(out).toBe(
      'Would make 127.0.0.1:6402 the master of main in place of 127.0.0.1:6401 (most-data).\n' +
        'It is 12 bytes and 0.4 ms behind (4 keys).\n' +
        'Writes waited 3.2 ms last time. It is rolled back if they would wait 500 ms.\n' +
        'In the middle of something: 7 writes in flight, 2 clients in MULTI, 1 in WATCH: their EXEC will answer nil, 3 blocked.\n' +
        '  passed over: 127.0.0.1:6403 (lagging)\n  1. hold writes\n  2. promote 127.0.0.1:6402\n',
    )
    expect(backend.asked).toHaveLength(1)
  })

  test('a person is asked, about the instance it will be', async () => {
    const yes = await cli('switchover', { answers: ['y'] })
    expect(yes.code).toBe(0)
    expect(yes.out).toContain('Make 127.0.0.1:6402 the master? [y/N] ')
    backend.asked.length = 0
    const no = await cli('switchover', { answers: [''] })
    expect([no.code, no.err]).toEqual([1, 'lagrange: nothing was changed\n'])
    expect(backend.asked).toHaveLength(1)
  })

  test('a script must say --yes', async () => {
    const { code, err } = await cli('switchover')
    expect([code, err]).toEqual([2, 'lagrange: there is nobody to ask here; say --yes\n'])
    expect(backend.asked).toEqual([{ dryRun: true, timeoutMs: 5000 }])
  })

  test('a refusal is one line with its reason, and exit code 1', async () => {
    const passedOver = [{ id: '127.0.0.1:6403', reason: 'link-down' }]
    backend.switchover = async () => ({
      kind: 'refused',
      refusal: 'candidate-unfit',
      reason: 'lagging',
      detail: '127.0.0.1:6402 is 9 MB behind',
      passedOver,
    })
    const text =
      'lagrange: The instance cannot become the master: 127.0.0.1:6402 is 9 MB behind (lagging); 127.0.0.1:6403: link-down\n'
    expect(await cli('switchover --yes')).toEqual({ code: 1, out: '', err: text })
    const json = await cli('switchover --yes --json')
    expect([json.code, JSON.parse(json.out).reason]).toEqual([1, 'lagging'])
  })

  test('--json: one document', async () => {
    expect(JSON.parse((await cli('switchover --yes --json')).out)).toEqual(doneResult)
  })
})

test('failover says what may be lost, and what was', async () => {
  backend.result = {
    kind: 'done',
    report: { ...(doneResult as typeof doneResult & { kind: 'done' }).report, lostBytes: 70 },
  }
  const { code, out } = await cli('failover --accept-data-loss', { answers: ['yes'] })
  expect(code).toBe(0)
  expect(out).toContain('Promote the best replica, even if acknowledged writes are lost by it? [y/N] ')
  expect(out).toContain("70 bytes of the old master's stream are lost.")
  expect(backend.asked).toEqual([{ acceptDataLoss: true }])
})

test('failover does not call an unknown loss none', async () => {
  const { report } = doneResult as typeof doneResult & { kind: 'done' }
  backend.result = { kind: 'done', report: { ...report, lostBytes: null } }
  const { out } = await cli('failover --yes')
  expect(out).toContain('nobody could ask how much')
  expect(out).not.toContain('nothing was lost')
})

describe('events', () => {
  beforeEach(() => {
    for (let n = 1; n <= 3; n++) backend.bus.event('warn', '+sdown', { node: 'a:1', n })
  })

  test('a line each', async () => {
    const { code, out } = await cli('events --limit 2')
    expect(code).toBe(0)
    expect(out).toBe('22:13:20.000 warn  +sdown node=a:1 n=2\n22:13:20.000 warn  +sdown node=a:1 n=3\n')
  })

  test('--json: a document each', async () => {
    const { out } = await cli('events --json --after 3')
    expect(
      out
        .trim()
        .split('\n')
        .map(line => JSON.parse(line).fields.n),
    ).toEqual([3])
  })

  test('-f goes on, across a restart of the server, until it is interrupted', async () => {
    const following = start({ args: ['events', '-f', '--admin', `127.0.0.1:${server.port}`] })
    await following.until(({ out }) => out.includes('n=3'))
    backend.bus.event('info', '+sdown', { n: 4 })
    await following.until(({ out }) => out.includes('n=4'))

    const { port } = server
    await server.close()
    await following.until(({ err }) => err.includes('connection lost'))
    backend.bus.event('info', '+sdown', { n: 5 })
    server = await startAdmin(systemClock, backend.bus, backend.store, backend, {
      host: '127.0.0.1',
      port,
      grants: [],
      allowedHosts: [],
      version: '0.1.0',
      adapter: 'node',
    })
    await following.until(({ out }) => out.includes('n=5'))
    following.interrupt()
    const { code, out } = await following.done
    expect(code).toBe(0)
    expect(out.match(/\bn=\d/g)).toEqual(['n=1', 'n=2', 'n=3', 'n=4', 'n=5'])
  })
})

describe('who answers', () => {
  test('nobody: one line, exit code 1', async () => {
    await server.close()
    const { code, out, err } = await cli('status')
    expect([code, out]).toEqual([1, ''])
    expect(err).toBe(
      `lagrange: nobody answers at 127.0.0.1:${server.port} (ECONNREFUSED); is lagrange running there? See --admin.\n`,
    )
    server = await serve('')
  })

  test('somebody else: one line, exit code 1', async () => {
    const other = createServer((_, response) => response.end('hello'))
    await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void other.close())
    const { port } = other.address() as AddressInfo
    const { code, err } = await run({ args: ['status', '--admin', `127.0.0.1:${port}`] })
    expect(code).toBe(1)
    expect(err).toBe(`lagrange: 127.0.0.1:${port} answers, but not as the admin API of this version of lagrange does\n`)
  })

  test('a server that wants a token gets it from the environment or from a file', async () => {
    await server.close()
    server = await serve(token)
    const without = await cli('status')
    expect([without.code, without.err.split('\n').length]).toEqual([1, 2])
    expect(without.err).toContain('A token is needed')
    expect((await cli('status', { env: { LAGRANGE_TOKEN: token } })).code).toBe(0)

    const file = join(mkdtempSync(join(tmpdir(), 'lagrange-')), 'token')
    writeFileSync(file, `${token}\n`, { mode: 0o600 })
    expect((await cli(`status --token-file ${file}`)).code).toBe(0)
    expect((await cli('status', { env: { LAGRANGE_TOKEN_FILE: file } })).code).toBe(0)
    chmodSync(file, 0o644)
    const open = await cli(`status --token-file ${file}`)
    expect(open.code).toBe(2)
    expect(open.err).toContain('others may read it (mode 0644); chmod 600')
  })
})
