/**
 * Workers are replaced while they serve: nobody who connects is refused, and a client that understands maintenance
 * notifications moves without an error.
 */
import net from 'node:net'
import { createClient } from 'redis'
import { expect, onTestFinished, test } from 'vitest'
import { lagrange, startUp } from '../support/lagrange.js'
import { RawClient } from '../support/raw-client.js'
import { until } from '../support/redis-group.js'

/** Connects, asks once, and leaves; answers what it got. */
function visit(port: number): Promise<string> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    let answer = ''
    socket.setTimeout(5000, () => socket.destroy(new Error('silent')))
    socket.on('connect', () => socket.write('PING\r\n'))
    socket.on('data', chunk => {
      answer += chunk
      if (answer.endsWith('\r\n')) socket.end()
    })
    socket.on('error', error => resolve(error.message))
    socket.on('close', () => resolve(answer))
  })
}

test('workers are replaced under load, without a refused connection', { timeout: 60_000 }, async () => {
  const { port, adminPort, output } = await startUp({ args: ['--workers', '2'] })
  await until('both workers serve', () => (output().match(/"event":"\+worker"/g) ?? []).length === 2)

  const mover = createClient({
    url: `redis://127.0.0.1:${port}`,
    RESP: 3,
    maintNotifications: 'enabled',
    socket: { reconnectStrategy: false },
  })
  const errors: string[] = []
  mover.on('error', (error: Error) => errors.push(error.message))
  await mover.connect()
  onTestFinished(() => mover.destroy())

  let going = true
  const answers = new Map<string, number>()
  const visitors = Array.from({ length: 4 }, async () => {
    while (going) {
      const answer = await visit(port)
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  })
  let counted = 0
  const counting = (async () => {
    while (going) expect(await mover.incr('counter')).toBe(++counted)
  })()
  await until('there is traffic', () => counted > 20 && (answers.get('+PONG\r\n') ?? 0) > 20)
  const done = await lagrange(['restart-workers', '--admin', `127.0.0.1:${adminPort}`])
  expect([done.code, done.out]).toEqual([0, 'all workers are new\n'])
  const atRestart = counted
  await until('it goes on', () => counted > atRestart + 20)
  going = false
  await Promise.all([...visitors, counting])
  expect([...answers.keys()]).toEqual(['+PONG\r\n'])
  expect(errors).toEqual([])
  expect((output().match(/"event":"\+worker-replaced"/g) ?? []).length).toBe(2)
})

test('a client hears of the move, with the address it came to or none, and has time to finish', {
  timeout: 60_000,
}, async () => {
  const { port, adminPort } = await startUp()
  const open = async (...commands: string[][]): Promise<RawClient> => {
    const client = await RawClient.open(port)
    onTestFinished(() => client.close())
    for (const command of commands) await client.call(...command)
    return client
  }
  const on = ['CLIENT', 'MAINT_NOTIFICATIONS', 'ON']
  const old = await open()
  expect(await old.call(...on)).toMatch(/RESP3/)
  const told = await open(['HELLO', '3'], [...on, 'moving-endpoint-type', 'internal-ip'])
  const nameless = await open(['HELLO', '3'], [...on, 'moving-endpoint-type', 'none'])
  const changedItsMind = await open(['HELLO', '3'], on, ['CLIENT', 'MAINT_NOTIFICATIONS', 'OFF'])
  const restarting = lagrange(['restart-workers', '--admin', `127.0.0.1:${adminPort}`])
  for (const [client, address] of [
    [told, `127.0.0.1:${port}`],
    [nameless, null],
  ] as const) {
    const push = (await client.next()) as { type: string; items: { value: unknown }[] }
    expect(push.type).toBe('push')
    expect(push.items.map(item => item.value ?? null)).toEqual([
      'MOVING',
      expect.any(Number),
      expect.any(Number),
      address,
    ])
    // It is served until it goes.
    expect(await client.call('SET', 'still', 'served')).toBe('OK')
  }
  await until('others are ended at once', () => old.closed && changedItsMind.closed)
  expect(told.closed).toBe(false)
  told.close()
  nameless.close()
  expect((await restarting).code).toBe(0)
})
