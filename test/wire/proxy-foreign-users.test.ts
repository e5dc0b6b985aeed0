/** Users of the instances: who they are, and what they may do, the master says; the proxy keeps it. */
import { expect, onTestFinished, test } from 'vitest'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { until } from '../support/redis-group.js'
import { startNode, type TestNode } from '../support/servers.js'

interface Scene {
  readonly master: TestNode
  readonly proxy: ProxyUnderTest
  open(...login: string[]): Promise<RawClient>
  /** At the master, past the proxy. */
  acl(...args: string[]): Promise<void>
}

async function start(): Promise<Scene> {
  const master = await startNode()
  await master.call('ACL', 'SETUSER', 'proxy', 'on', '>of-the-proxy', 'allkeys', 'allchannels', 'allcommands')
  const proxy = new ProxyUnderTest({
    foreignUsers: true,
    upstreamUsername: 'proxy',
    upstreamPassword: 'of-the-proxy',
    protectedMode: false,
  })
  onTestFinished(() => proxy.stop())
  await proxy.start(master.port, [])
  return {
    master,
    proxy,
    async open(...login) {
      const client = await RawClient.open(proxy.port)
      onTestFinished(() => client.close())
      if (login.length > 0) expect(await client.call('AUTH', ...login)).toBe('OK')
      return client
    },
    async acl(...args) {
      const answer = await master.call('ACL', ...args)
      expect(answer.type).not.toBe('error')
    },
  }
}

const ALICE = ['SETUSER', 'alice', 'on', '>secret', '~a:*', '+@read', '+set', '+acl|whoami', '+subscribe', '&news:*']

test('whoever connects is default while the master asks nobody for a password, and nobody when it does', async () => {
  const { open, acl, proxy } = await start()
  const first = await open()
  await until('the users are known', async () => (await first.call('SET', 'k', 'v')) === 'OK')
  await acl('SETUSER', 'default', 'resetpass', '>now-needed')
  await until('it is asked for', async () => {
    const client = await open()
    return String(await client.call('GET', 'k')).startsWith('-NOAUTH')
  })
  // Who was there stays, as with Redis.
  expect(await first.call('GET', 'k')).toBe('v')
  expect(await (await open('now-needed')).call('GET', 'k')).toBe('v')
  expect(proxy.worker.foreignUsers?.known).toBe(true)
})

test('a login is judged by what the master says now, and what a user may do is what it says', async () => {
  const { open, acl } = await start()
  await acl(...ALICE)
  const alice = await open('alice', 'secret')
  expect(await alice.call('ACL', 'WHOAMI')).toBe('alice')
  expect(await alice.call('SET', 'a:1', 'v')).toBe('OK')
  expect(await alice.call('GET', 'a:1')).toBe('v')
  for (const command of [
    ['GET', 'b:1'],
    ['CONFIG', 'GET', '*'],
    ['CLIENT', 'KILL', 'TYPE', 'normal'],
    ['ACL', 'LIST'],
    ['EVAL', "return redis.call('get', 'b:1')", '0'],
    ['LAGRANGE', 'SLOWLOG'],
    ['SUBSCRIBE', 'secrets'],
    ['MONITOR'],
  ]) {
    expect(await alice.call(...command), command.join(' ')).toMatch(/^-NOPERM/)
  }
  const stranger = await open()
  expect(await stranger.call('AUTH', 'alice', 'wrong')).toMatch(/^-WRONGPASS/)
  expect(await stranger.call('AUTH', 'proxy', '')).toMatch(/^-WRONGPASS/)
  // Taken back a moment ago, and not told to the proxy.
  await acl('SETUSER', 'alice', 'resetpass', '>changed')
  expect(await stranger.call('HELLO', '3', 'AUTH', 'alice', 'secret')).toMatch(/^-WRONGPASS/)
  expect(await stranger.call('AUTH', 'alice', 'changed')).toBe('OK')
})

test('users share connections, and none gets what another one may', async () => {
  const { open, acl } = await start()
  await acl(...ALICE)
  await acl('SETUSER', 'bob', 'on', '>secret', '~b:*', '+get', '+set', '+multi', '+exec', '+watch')
  const [alice, bob] = [await open('alice', 'secret'), await open('bob', 'secret')]
  for (let turn = 0; turn < 50; turn++) {
    const [ofAlice, ofBob] = await Promise.all([
      alice.pipeline(['SET', 'a:1', `${turn}`], ['GET', 'b:1'], ['GET', 'a:1']),
      bob.pipeline(['SET', 'b:1', `${turn}`], ['GET', 'a:1'], ['GET', 'b:1']),
    ])
    expect(ofAlice).toEqual(['OK', expect.stringMatching(/^-NOPERM/), `${turn}`])
    expect(ofBob).toEqual(['OK', expect.stringMatching(/^-NOPERM/), `${turn}`])
  }
  // A connection that was lent to one is lent to the other: nothing of it is left.
  expect(await bob.pipeline(['MULTI'], ['SET', 'b:2', 'v'], ['EXEC'])).toEqual(['OK', 'QUEUED', ['OK']])
  expect(await bob.pipeline(['MULTI'], ['SET', 'a:1', 'v'], ['EXEC'])).toEqual([
    'OK',
    expect.stringMatching(/^-NOPERM/),
    expect.stringMatching(/^-EXECABORT/),
  ])
  expect(await alice.call('MULTI')).toMatch(/^-NOPERM/)
})

test('changes hold under connections that stand: through the proxy at once, past it in a moment; who is gone is closed', async () => {
  const { open, acl } = await start()
  await acl(...ALICE)
  const alice = await open('alice', 'secret')
  const listener = await open('alice', 'secret')
  await listener.call('SUBSCRIBE', 'news:1')
  const admin = await open('proxy', 'of-the-proxy')
  expect(await admin.call('ACL', 'SETUSER', 'alice', '~c:*')).toBe('OK')
  await until('it holds', async () => (await alice.call('SET', 'c:1', 'v')) === 'OK')
  await until('who listens has to ask again', () => listener.closed)
  await acl('SETUSER', 'alice', '-set')
  await until('it holds', async () => String(await alice.call('SET', 'c:1', 'v')).startsWith('-NOPERM'))
  expect(await alice.call('GET', 'c:1')).toBe('v')
  await acl('DELUSER', 'alice')
  await until('her connection is closed', () => alice.closed)
  const stranger = await open()
  expect(await stranger.call('AUTH', 'alice', 'secret')).toMatch(/^-WRONGPASS/)
})

test('nobody comes in while the proxy may not ask who there is', async () => {
  const { open, acl, proxy, master } = await start()
  const blind = new ProxyUnderTest({
    foreignUsers: true,
    upstreamUsername: 'blind',
    upstreamPassword: 'x',
    protectedMode: false,
  })
  onTestFinished(() => blind.stop())
  await acl('SETUSER', 'blind', 'on', '>x', 'allkeys', 'allcommands', '-acl')
  await blind.start(master.port, [])
  const client = await RawClient.open(blind.port)
  onTestFinished(() => client.close())
  await until('it is said why', () => blind.events.some(event => event.name === '-users'))
  expect(await client.call('GET', 'k')).toMatch(/^-NOAUTH/)
  expect(await client.call('AUTH', 'proxy', 'of-the-proxy')).toMatch(/^-ERR the users of the instances are not known/)
  expect(await (await open('proxy', 'of-the-proxy')).call('PING')).toBe('PONG')
  expect(proxy.worker.foreignUsers?.known).toBe(true)
})
