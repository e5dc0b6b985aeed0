/**
 * An instance that answers what no Redis would: the connection it came on ends, by a name, and no client sees anything that
 * was not meant for it.
 */
import net from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { type Answers, bulk, startFakeUpstream } from '../support/fake-upstream.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { until } from '../support/redis-group.js'

async function start(answers: Answers): Promise<ProxyUnderTest> {
  const upstream = await startFakeUpstream(answers)
  const proxy = new ProxyUnderTest({ holdTimeoutMs: 5000 })
  onTestFinished(async () => {
    await proxy.stop()
    await upstream.close()
  })
  await proxy.start(upstream.port, [])
  return proxy
}

async function open(proxy: ProxyUnderTest): Promise<RawClient> {
  const client = await RawClient.open(proxy.port)
  onTestFinished(() => client.close())
  return client
}

const ended = (proxy: ProxyUnderTest, reason: string): number =>
  proxy.count('lagrange_upstream_disconnects_total', { reason })

for (const [name, reply, reason] of [
  ['two replies for one', '+OK\r\n+EVIL\r\n', 'out-of-step'],
  ['a push that nobody asked for', `>2\r\n${bulk('invalidate')}*0\r\n+OK\r\n`, 'unsolicited-reply'],
  ['LF within a status', '+OK\nEVIL\r\n', 'protocol-error'],
  ['CR within a status', '+OK\rEVIL\r\n', 'protocol-error'],
  ['LF within an error', '-ERR x\n+EVIL\r\n', 'protocol-error'],
  ['a bulk that is too large', `$${2 ** 40}\r\nEVIL`, 'protocol-error'],
  ['a bulk of negative length', '$-5\r\nEVIL\r\n', 'protocol-error'],
  ['an array without end', `*${2 ** 40}\r\n`, 'protocol-error'],
  ['nesting without end', '*1\r\n'.repeat(20_000), 'protocol-error'],
  ['no type', 'EVIL\r\n', 'protocol-error'],
  ['a line without end', `+${'E'.repeat(2 * 1024 * 1024)}`, 'protocol-error'],
  ['a bulk that does not end where it says', '$4\r\nEVILEVIL\r\n', 'protocol-error'],
] as const) {
  test(`${name}: ${reason}`, async () => {
    let hostile = true
    const proxy = await start(args => {
      if (args[0] !== 'SET' || !hostile) return undefined
      hostile = false
      return reply
    })
    const [victim, other] = [await open(proxy), await open(proxy)]
    expect(await other.call('GET', 'own')).toBe('value of own')
    const answered = victim.call('SET', 'k', 'v')
    await until('the connection has ended', () => ended(proxy, reason) === 1)
    // Sent and not answered: it may have been executed. What was answered before the end is an answer.
    expect(await answered).toMatch(reply.startsWith('+OK\r\n') ? /^OK$/ : /^-UNKNOWNRESULT/)
    expect(await other.call('GET', 'own')).toBe('value of own')
    expect(await victim.call('GET', 'mine')).toBe('value of mine')
    expect([...victim.frames, ...other.frames]).toEqual([])
  })
}

test('what is strange and right is passed on: a long error, deep nesting', async () => {
  const replies = [`-ERR ${'x'.repeat(200_000)}\r\n`, `${'*1\r\n'.repeat(5000)}:1\r\n`] as const
  const proxy = await start(args => (args[0] === 'SET' ? replies[Number(args[1])] : undefined))
  const socket = net.connect(proxy.port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  let received = ''
  socket.on('data', chunk => (received += chunk))
  socket.write('SET 0 x\r\nSET 1 x\r\n')
  await until('both are there', () => received.length >= replies.join('').length)
  expect(received === replies.join('')).toBe(true)
})
