/**
 * Users, asked the same of our node and of redis-server: the same replies. And what becomes of users in files.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Client } from '../../src/net/client.js'
import { requireReal } from '../support/real.js'
import { plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

/** Who asks, and what. */
const script = `
a|ACL WHOAMI
a|ACL LIST
a|ACL USERS
a|ACL CAT
a|ACL CAT nothing
a|ACL CAT a b
a|ACL SETUSER bob on >pw ~k:* %R~r:* resetchannels &c:* -@all +get +set +multi +exec +publish +subscribe +acl|whoami +sort
a|ACL GETUSER bob
a|ACL GETUSER nobody
a|ACL SETUSER bob +nothing
a|ACL SETUSER bob ~* ~a
a|ACL SETUSER bob (
a|ACL SETUSER bob %R~a
b|AUTH bob wrong
b|AUTH nobody pw
b|AUTH bob pw
b|ACL WHOAMI
b|SET k:1 x
b|GET r:1
b|SET r:1 x
b|GET other
b|DEL k:1
b|ACL LIST
b|NOTHING
b|PUBLISH c:1 x
b|PUBLISH d x
b|SUBSCRIBE d
b|SORT k:1 BY w*
b|MULTI
b|DEL k:1
b|EXEC
b|MULTI
b|SET k:2 x
a|ACL SETUSER bob -set
b|EXEC
b|GET k:2
a|ACL SETUSER bob +set resetkeys ~z
b|MULTI
b|SET z x
a|ACL SETUSER bob resetkeys ~y
b|EXEC
a|ACL DRYRUN bob SET y 1
a|ACL DRYRUN bob SET z 1
a|ACL DRYRUN bob DEL z
a|ACL DRYRUN bob PUBLISH d 1
a|ACL DRYRUN bob NOTHING
a|ACL DRYRUN nobody GET a
a|ACL DRYRUN bob GET
a|ACL GENPASS 0
a|ACL GENPASS x
a|ACL LOAD
a|ACL SAVE
a|ACL DELUSER default
a|CONFIG SET requirepass secret
a|ACL LIST
c|GET a
c|AUTH secret
c|ACL SETUSER default nopass
c|AUTH secret
c|HELLO 2 AUTH bob wrong
c|ACL DELUSER bob nobody
c|ACL USERS
c|ACL SETUSER eve on nopass +@all
c|AUTH eve x
c|ACL DELUSER eve
`

redis.describe('users, like redis-server', () => {
  test('one script, reply for reply', async () => {
    const ours = await play(await startNode())
    const theirs = await play(await startRedisServer(redis.path))
    for (const [index, step] of ours.entries()) expect.soft(sorted(step)).toEqual(sorted(theirs[index]))
  })

  test('the log of refusals', async () => {
    const logs: unknown[] = []
    for (const server of [await startNode(), await startRedisServer(redis.path)]) {
      await server.call('ACL', 'SETUSER', 'bob', 'on', 'nopass', '+get', '+eval', '+multi', '~k')
      const bob = server.client()
      await bob.send(['AUTH', 'bob', 'x'])
      for (const words of ['SET k v', 'SET k v', 'GET other', 'MULTI', 'DEL k', 'AUTH bob', 'AUTH eve y'])
        await bob.send(words.split(' '))
      await bob.send(['EVAL', "return redis.call('set', 'k', 'v')", '0'])
      logs.push((plain(await server.call('ACL', 'LOG')) as unknown[][]).map(entry => entry.slice(0, 10)))
      expect(plain(await server.call('ACL', 'LOG', 'RESET'))).toBe('OK')
      expect(plain(await server.call('ACL', 'LOG'))).toEqual([])
    }
    expect(logs[0]).toEqual(logs[1])
  })
})

test('users are saved to their file and loaded from it; a broken file changes nothing', async () => {
  const first = await startNode()
  const file = join(first.dir, 'users.acl')
  writeFileSync(file, 'user alice on nopass ~* +@all\n\nuser bob off >pw (+get ~a)\n')
  const node = await startNode({ dir: first.dir, args: ['--aclfile', 'users.acl', '--dir', first.dir] })
  expect(plain(await node.call('ACL', 'USERS'))).toEqual(['alice', 'bob', 'default'])

  await node.call('ACL', 'SETUSER', 'eve', 'on', '>pw')
  expect(plain(await node.call('ACL', 'SAVE'))).toBe('OK')
  const saved = readFileSync(file, 'latin1')
  expect(saved).toMatch(
    /^user alice .*\nuser bob off #[0-9a-f]{64} resetchannels -@all \(~a resetchannels -@all \+get\)\nuser default on nopass ~\* &\* \+@all\nuser eve on #/,
  )

  writeFileSync(file, 'user eve on\nuser eve off\nbob\nuser x +nothing\n')
  expect(plain(await node.call('ACL', 'LOAD'))).toMatch(
    /^-ERR WARNING: Duplicate user 'eve' found on line 2\. .*:3 should start with user.*\+nothing.*no change/,
  )
  expect(plain(await node.call('ACL', 'USERS'))).toEqual(['alice', 'bob', 'default', 'eve'])

  const alice = node.client()
  await alice.send(['AUTH', 'alice', 'x'])
  writeFileSync(file, saved)
  expect(plain(await node.call('ACL', 'LOAD'))).toBe('OK')
  await expect.poll(() => alice.closed).toBe(true)
})

test('who may not hear a channel any more is cut off, who still may is not', async () => {
  const node = await startNode()
  await node.call('ACL', 'SETUSER', 'u', 'on', 'nopass', '+@all', '&a', '&b')
  const [left, kept] = [node.client(), node.client()] as const
  for (const [client, channel] of [
    [left, 'a'],
    [kept, 'b'],
  ] as const) {
    await client.send(['HELLO', '3', 'AUTH', 'u', 'x'])
    // Its answer is a push.
    client.send(['SUBSCRIBE', channel]).catch(() => undefined)
    await expect.poll(async () => plain(await node.call('PUBSUB', 'NUMSUB', channel))).toEqual([channel, 1])
  }
  await node.call('ACL', 'SETUSER', 'u', 'resetchannels', '&b')
  await expect.poll(() => left.closed).toBe(true)
  expect(kept.closed).toBe(false)
})

async function play(server: TestServer): Promise<unknown[]> {
  const clients = new Map<string, Client>()
  const replies: unknown[] = []
  for (const line of script.trim().split('\n')) {
    const [who = '', request = ''] = line.split('|', 1).concat(line.slice(line.indexOf('|') + 1))
    const client = clients.get(who) ?? server.client()
    clients.set(who, client)
    replies.push({ line, reply: plain(await client.send(request.split(' '))) })
  }
  return replies
}

/** The single commands of a user come in no order that Redis keeps. */
function sorted(step: unknown): unknown {
  const text = JSON.stringify(step)
  return text.replace(/[+-]@all(?: [+-][a-z|]+)+/g, rules => rules.split(' ').sort().join(' '))
}

redis.test('a script hears which of its commands its caller may not use, and why', async () => {
  const [ours, theirs] = await Promise.all(
    [await startNode(), await startRedisServer(redis.path)].map(async server => {
      const client = server.client()
      const said: unknown[] = []
      await client.call('ACL', 'SETUSER', 'bob', 'on', '>pw', '~k:*', '&c:*', '+eval', '+get', '+publish', '+sort')
      await client.call('AUTH', 'bob', 'pw')
      for (const call of [
        "'get','other'",
        "'set','k:1','x'",
        "'publish','d','x'",
        "'sort','k:1','BY','w*'",
        "'get','k:1'",
      ]) {
        for (const way of ['call', 'pcall'])
          said.push(plain(await client.send(['EVAL', `return redis.${way}(${call})`, '0'])))
      }
      return said
    }),
  )
  expect(ours).toEqual(theirs)
})
