/** `lagrange up` as its users meet it: one command, a whole group, and everything that may happen to it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type SwitchPlan, switchAnswer } from '../../src/admin/model.js'
import { ReplyError } from '../../src/net/client.js'
import { textOf } from '../../src/resp/protocol.js'
import { clientOf, lagrange, metricsOf, readyz, startUp, sumOf, temporaryFolder } from '../support/lagrange.js'
import { until } from '../support/redis-group.js'

interface Member {
  readonly id: string
  readonly port: number
  readonly role: string
  readonly linkUp: boolean | null
}

async function topology(
  adminPort: number,
): Promise<{ master: string | null; masterEpoch: number; members: readonly Member[] }> {
  const reply = await fetch(`http://127.0.0.1:${adminPort}/api/v1/topology`)
  const { groups } = (await reply.json()) as {
    groups: [{ master: string | null; masterEpoch: number; members: Member[] }]
  }
  return groups[0]
}

async function post(
  adminPort: number,
  path: string,
  body: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const reply = await fetch(`http://127.0.0.1:${adminPort}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return { status: reply.status, body: (await reply.json()) as Record<string, unknown> }
}

/** Writers that never stop: each counts up its own key and remembers what was acknowledged. */
function startWriters(port: number, count: number): { acked: number[]; errors: string[]; stop(): Promise<void> } {
  const acked = new Array<number>(count).fill(0)
  const errors: string[] = []
  let stopped = false
  const done = acked.map(async (_, index) => {
    const client = clientOf(port)
    while (!stopped) {
      try {
        await client.call('SET', `writer:${index}`, String((acked[index] as number) + 1))
        ;(acked[index] as number)++
      } catch (error) {
        errors.push((error as Error).message)
        if (!(error instanceof ReplyError)) return
      }
    }
  })
  return {
    acked,
    errors,
    async stop() {
      stopped = true
      await Promise.all(done)
    },
  }
}

const processIdOf = (info: string | undefined): number => Number(/^process_id:(\d+)/m.exec(info ?? '')?.[1])

describe('lagrange up', () => {
  test('one endpoint: writes reach every node, replicas refuse them, reads are spread, Ctrl-C loses nothing', {
    timeout: 90_000,
  }, async () => {
    const up = await startUp()
    const client = clientOf(up.port)
    expect(await client.call('SET', 'k', 'v')).toEqual({ type: 'simple', value: 'OK' })
    expect(textOf(await client.call('GET', 'k'))).toBe('v')
    expect(textOf(await client.call('INFO'))).toContain('# Proxy')
    for (const port of up.nodePorts) {
      const node = clientOf(port)
      await until(`${port} has the key`, async () => textOf(await node.call('GET', 'k')) === 'v')
    }
    await expect(clientOf(up.nodePorts[1] as number).call('SET', 'k', 'w')).rejects.toThrow(
      "READONLY You can't write against a read only replica.",
    )

    for (let index = 0; index < 200; index++) await client.call('SET', `key:${index}`, `${index}`)
    for (let index = 0; index < 200; index++) expect(textOf(await client.call('GET', `key:${index}`))).toBe(`${index}`)
    const metrics = await metricsOf(up.adminPort)
    expect(sumOf(metrics, 'lagrange_commands_total', 'command="set"', 'target="master"')).toBe(201)
    expect(sumOf(metrics, 'lagrange_commands_total', 'command="get"', 'target="replica"')).toBeGreaterThan(100)
    expect(sumOf(metrics, 'lagrange_masters')).toBe(1)

    const status = await lagrange(['status', '--admin', `127.0.0.1:${up.adminPort}`])
    expect(status.code).toBe(0)
    for (const port of up.nodePorts) expect(status.out).toContain(`127.0.0.1:${port}`)

    expect(await up.stop('SIGINT')).toBe(0)
    const again = await startUp({ dataDir: up.dataDir, ports: up })
    const reader = clientOf(again.port)
    for (let index = 0; index < 200; index++) expect(textOf(await reader.call('GET', `key:${index}`))).toBe(`${index}`)
  })

  test('a planned switch under load: no error, no lost write, and no full resync', { timeout: 90_000 }, async () => {
    const up = await startUp()
    const writers = startWriters(up.port, 8)
    await until('writes flow', () => writers.acked.every(count => count > 50))
    const before = await topology(up.adminPort)
    const stalls: number[] = []
    for (let turn = 0; turn < 5; turn++) {
      const { status, body } = await post(up.adminPort, '/api/v1/switchover', {})
      expect(status, JSON.stringify(body)).toBe(200)
      const report = body.report as { stallMs: number; from: string; to: string; lostBytes: number }
      expect(report.to).not.toBe(report.from)
      expect(report.lostBytes).toBe(0)
      stalls.push(report.stallMs)
      await until('every node is linked', async () => (await readyz(up.adminPort)).status === 200)
    }
    await writers.stop()
    const after = await topology(up.adminPort)
    expect(writers.errors).toEqual([])
    // A switch takes an epoch for itself and one for the way back.
    expect(after.masterEpoch).toBeGreaterThanOrEqual(before.masterEpoch + 5)
    const reader = clientOf(up.port)
    for (const [index, count] of writers.acked.entries()) {
      expect(textOf(await reader.call('GET', `writer:${index}`))).toBe(`${count}`)
    }
    const metrics = await metricsOf(up.adminPort)
    expect(sumOf(metrics, 'lagrange_failovers_total', 'cause="switchover"', 'result="ok"')).toBe(5)
    // Two replicas joined at the start; nobody was sent a snapshot since.
    expect(sumOf(metrics, 'lagrange_replica_resyncs_total', 'type="full"')).toBe(2)
    process.stdout.write(`stalls of 5 planned switches under load: ${stalls.map(ms => ms.toFixed(1)).join(', ')} ms\n`)
  })

  test('the master is killed: writes work again by themselves, the dead node returns as a replica', {
    timeout: 90_000,
  }, async () => {
    const up = await startUp()
    const client = clientOf(up.port)
    await client.call('SET', 'before', '1')
    const { master, masterEpoch } = await topology(up.adminPort)
    const port = Number(master?.split(':')[1])
    const pid = processIdOf(textOf(await clientOf(port).call('INFO', 'server')))
    await until('the replicas have it', async () => (await readyz(up.adminPort)).status === 200)
    process.kill(pid, 'SIGKILL')
    const killedAt = performance.now()
    // What was under way is answered with an error at most; what comes after waits for the new master.
    for (;;) {
      const reply = await client.send(['SET', 'after', '1'])
      if (reply.type !== 'error') break
      expect(reply.value).toMatch(/^(UNKNOWNRESULT|MASTERDOWN) /)
    }
    const gapMs = performance.now() - killedAt
    process.stdout.write(`writes worked again ${gapMs.toFixed(0)} ms after kill -9 of the master\n`)
    const promoted = await topology(up.adminPort)
    expect(promoted.master).not.toBe(master)
    expect(promoted.masterEpoch).toBe(masterEpoch + 1)
    expect(textOf(await client.call('GET', 'before'))).toBe('1')
    await until(
      'the dead node is back as a replica',
      async () => {
        const now = await topology(up.adminPort)
        const member = now.members.find(one => one.port === port)
        return member?.role === 'replica' && member.linkUp === true && (await readyz(up.adminPort)).status === 200
      },
      30_000,
    )
    expect(textOf(await clientOf(port).call('GET', 'after'))).toBe('1')
  })

  test('kill -9 of everything it stands on: a worker, a replica, and `up` itself', { timeout: 120_000 }, async () => {
    const up = await startUp()
    const client = clientOf(up.port)
    await client.call('SET', 'k', 'v')
    const replicaPort = up.nodePorts[2] as number
    process.kill(processIdOf(textOf(await clientOf(replicaPort).call('INFO', 'server'))), 'SIGKILL')
    for (let turn = 0; turn < 50; turn++) expect(textOf(await client.call('GET', 'k'))).toBe('v')
    await until('the replica is back', async () => (await readyz(up.adminPort)).status === 200, 30_000)

    const worker = Number(/"event":"\+worker".*?"pid":(\d+)/.exec(up.output())?.[1])
    process.kill(worker, 'SIGKILL')
    const diedAt = performance.now()
    const next = clientOf(up.port)
    expect(textOf(await next.call('GET', 'k'))).toBe('v')
    process.stdout.write(
      `a new connection was served ${(performance.now() - diedAt).toFixed(0)} ms after kill -9 of the worker\n`,
    )

    // The supervisor dies: connections stay, the next one adopts workers and nodes.
    await until('the new worker is known', async () => (await readyz(up.adminPort)).status === 200)
    up.process.kill('SIGKILL')
    await sleep(300)
    expect(textOf(await next.call('GET', 'k'))).toBe('v')
    await next.call('SET', 'k', 'w')
    const heir = await startUp({ dataDir: up.dataDir, ports: up })
    expect(textOf(await next.call('GET', 'k'))).toBe('w')
    expect(heir.output()).toContain('+worker-adopted')
    expect(heir.output()).toContain('+node-adopted')
    expect(await heir.stop()).toBe(0)
  })

  test('what cannot start says so in one line', { timeout: 60_000 }, async () => {
    const up = await startUp({ replicas: 0 })
    const folder = temporaryFolder()
    const taken = await lagrange([
      'up',
      '--port',
      `${up.port}`,
      '--node-port',
      '1',
      '--replicas',
      '0',
      '--data-dir',
      folder,
    ])
    expect(taken.code).toBe(1)
    const same = await lagrange(['up', '--data-dir', up.dataDir])
    expect(same).toMatchObject({ code: 1, out: '' })
    expect(same.err).toMatch(/^lagrange: --data-dir .*: in use by another lagrange \(process \d+\)\n$/)
    const port = await lagrange(['proxy', '--listen', `127.0.0.1:${up.port}`, '--admin', 'off'])
    expect(port.code).toBe(1)
    expect(port.err.trim().split('\n')).toHaveLength(1)
    expect(port.err).toContain('EADDRINUSE')
    for (const [args, words] of [
      [['up', '--replicaz', '2'], '--replicaz'],
      [['up', '--replicas', 'many'], '--replicas'],
      [['proxy', '-c', join(folder, 'none.yaml')], 'none.yaml'],
      [['nonsense'], 'nonsense'],
    ] as const) {
      const { code, err } = await lagrange(args)
      expect(code, args.join(' ')).toBe(2)
      expect(err).toContain(words)
      expect(err.trim().split('\n')).toHaveLength(1)
    }
    expect(readFileSync(join(up.dataDir, 'group.json'), 'utf8')).toContain('masterPort')
    onTestFinished(() => undefined)
  })

  test('a dry run tells who is in the middle of something, and what the candidate lacks', {
    timeout: 60_000,
  }, async () => {
    const up = await startUp()
    const [queueing, watching, blocked, listening] = [0, 1, 2, 3].map(() =>
      clientOf(up.port, { replyTimeoutMs: 60_000 }),
    )
    await queueing?.call('MULTI')
    await queueing?.call('SET', 'k', 'v')
    await watching?.call('WATCH', 'k')
    await listening?.call('SUBSCRIBE', 'news')
    const popped = blocked?.call('BLPOP', 'list', '0').catch((error: Error) => error)
    // So many a second, and no more.
    const dryRun = async (body = {}): Promise<SwitchPlan> => {
      const reply = await post(up.adminPort, '/api/v1/switchover', { dryRun: true, ...body })
      if (reply.status === 200) {
        const answer = switchAnswer.parse(reply.body)
        return answer.kind === 'planned' ? answer.plan : expect.fail('the master was changed')
      }
      expect(reply.status).toBe(429)
      await sleep(500)
      return dryRun(body)
    }
    await until('it is blocked', async () => (await dryRun()).clients?.blocked === 1)
    const before = await topology(up.adminPort)
    const idle = { monitoring: 0, writesInFlight: 0, held: 0 }
    await until('the replicas have everything', async () => (await dryRun()).keysAtRisk === 0)
    expect(await dryRun()).toMatchObject({
      clients: { transactions: 1, watching: 1, subscribed: 1, blocked: 1, ...idle },
      stallMaxMs: expect.any(Number),
    })
    // So that the command is not refused for its rate.
    await sleep(1000)
    const { out } = await lagrange(['switchover', '--dry-run', '--admin', `127.0.0.1:${up.adminPort}`])
    expect(out).toContain('1 clients in MULTI, 1 in WATCH: their EXEC will answer nil, 1 blocked, 1 subscribed.')

    // A replica that is stopped lacks what is written now: a dry run names how many keys.
    const { to } = await dryRun()
    const port = Number(to.slice(to.lastIndexOf(':') + 1))
    const pid = processIdOf(textOf(await clientOf(port).call('INFO')))
    process.kill(pid, 'SIGSTOP')
    try {
      const writer = clientOf(up.port)
      for (let key = 0; key < 20; key++) await writer.call('SET', `at-risk:${key}`, 'v')
      const { keysAtRisk } = await dryRun({ to })
      expect(keysAtRisk).toBeGreaterThan(15)
      expect(keysAtRisk).toBeLessThanOrEqual(20)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    expect(await topology(up.adminPort)).toMatchObject({ master: before.master, masterEpoch: before.masterEpoch })
    await clientOf(up.port).call('RPUSH', 'list', 'x')
    expect(await popped).toMatchObject({ type: 'array' })
  })

  test('the admin API refuses what it cannot do, and changes nothing', { timeout: 60_000 }, async () => {
    const up = await startUp({ replicas: 1 })
    const before = await topology(up.adminPort)
    for (const [body, status] of [
      [{ to: '127.0.0.1:1' }, 404],
      [{ to: before.master }, 422],
      [{ to: 'nowhere' }, 400],
      [{ unknown: 1 }, 400],
    ] as const) {
      const reply = await post(up.adminPort, '/api/v1/switchover', body)
      expect([body, reply.status]).toEqual([body, status])
      expect(reply.body.type).toMatch(/problem/)
    }
    const both = await Promise.all([0, 1, 2].map(() => post(up.adminPort, '/api/v1/switchover', {})))
    expect(both.map(reply => reply.status).sort()).toEqual([200, 409, 409])
    expect((await topology(up.adminPort)).masterEpoch).toBe(before.masterEpoch + 1)
  })
})
