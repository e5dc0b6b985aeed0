/**
 * The proxy's own users: the same file and the same script to the proxy in front of an open redis-server, and to a
 * redis-server that reads the file itself.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { type Plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

const users = `
user default on nopass resetchannels -@all +ping +acl|whoami +hello +auth +client|setname ~public:*
user admin on >secret ~* &* +@all
user alice on >wonder ~a:* %R~shared:* &news:* -@all +get +set +mget +del +multi +exec +discard +subscribe +psubscribe +publish +sort +acl|whoami +acl|dryrun +client|id +client|getname +eval (~b:* +get)
user off off >pw ~* +@all
user app on >app ~* &* +@all -@admin
user reader on nopass %R~* &* +@read +acl|whoami +select
`

/** Who asks, and what. */
const script = `
d|ACL WHOAMI
d|PING
d|GET public:1
d|SET k v
d|CLIENT LIST
d|AUTH alice wrong
d|AUTH off pw
d|AUTH nobody pw
d|AUTH wrong
a|AUTH alice wonder
a|ACL WHOAMI
a|SET a:1 x
a|GET a:1
a|GET shared:1
a|SET shared:1 x
a|GET other
a|MGET a:1 shared:1
a|MGET a:1 other
a|GET b:1
a|SET b:1 x
a|DEL a:1 b:1
a|NOTHING
a|CONFIG GET maxmemory
a|CLIENT LIST
a|CLIENT GETNAME
a|ACL LIST
a|ACL DRYRUN alice get a:1
a|ACL DRYRUN alice get c:1
a|PUBLISH news:1 x
a|PUBLISH gossip x
a|SUBSCRIBE gossip
s|AUTH alice wonder
s|PSUBSCRIBE n*
s|PSUBSCRIBE news:*
a|MULTI
a|SET a:2 x
a|SET c:2 x
a|EXEC
a|MULTI
a|SET a:2 y
a|EXEC
a|SORT a:list BY weight_*
r|AUTH reader anything
r|GET a:2
r|SET a:2 z
r|SELECT 1
m|HELLO 2 AUTH admin secret
m|ACL WHOAMI
m|ACL USERS
m|ACL LIST
m|ACL GETUSER alice
m|ACL GETUSER nobody
m|ACL CAT scripting
m|ACL DRYRUN alice set shared:1 x
m|ACL DRYRUN nobody get x
m|ACL CAT nothing
m|GET a:2
m|RESET
m|ACL WHOAMI
m|AUTH admin secret
m|ACL LOG RESET
m|ACL LOG
`
  .split('\n')
  .filter(line => line !== '')
  .map(line => [line.slice(0, 1), line.slice(2)] as const)

redis.describe('users of the proxy', () => {
  const dir = mkdtempSync(join(tmpdir(), 'lagrange-users-'))
  const file = join(dir, 'users.acl')
  let behind: RedisNode
  let beside: RedisNode
  let proxy: ProxyUnderTest

  beforeAll(async () => {
    writeFileSync(file, users)
    behind = new RedisNode(redis.path, await freePort())
    beside = new RedisNode(redis.path, await freePort())
    await behind.start()
    await beside.start('--aclfile', file)
    proxy = new ProxyUnderTest({ aclFile: file })
    await proxy.start(behind.port, [])
  })

  afterAll(async () => {
    await proxy?.stop()
    await behind?.stop()
    await beside?.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  async function open(port = proxy.port): Promise<RawClient> {
    const client = await RawClient.open(port)
    onTestFinished(() => client.close())
    return client
  }

  async function play(port: number): Promise<string[]> {
    const clients = new Map<string, RawClient>()
    const lines: string[] = []
    for (const [who, line] of script) {
      let client = clients.get(who)
      if (client === undefined) {
        client = await open(port)
        clients.set(who, client)
      }
      const reply = await client.call(...line.split(' '))
      lines.push(`${who}|${line} → ${/^ACL (LIST|CAT|GETUSER)/.test(line) ? sorted(show(reply)) : show(reply)}`)
    }
    return lines
  }

  test('are told the same as by redis-server that reads the file itself', async () => {
    // What the proxy has of COMMAND is the upstream's: it must have been asked before.
    const admin = await open()
    await admin.call('AUTH', 'admin', 'secret')
    await until('the table is known', async () => String(await admin.call('ACL', 'GETUSER', 'admin')).includes('+@all'))
    expect(await play(proxy.port)).toEqual(await play(beside.port))
    expect(proxy.count('lagrange_client_denials_total', { reason: 'key' })).toBeGreaterThan(0)
    expect(proxy.count('lagrange_client_denials_total', { reason: 'auth' })).toBeGreaterThan(0)
  })

  test('what was refused is in the log of the proxy', async () => {
    const [alice, admin] = [await open(), await open()]
    await admin.call('AUTH', 'admin', 'secret')
    await admin.call('ACL', 'LOG', 'RESET')
    await alice.call('AUTH', 'alice', 'wonder')
    await alice.call('GET', 'elsewhere')
    await alice.call('FLUSHALL')
    expect(await alice.call('LAGRANGE', 'HOTKEYS')).toMatch(/^-NOPERM .*'lagrange\|hotkeys'/)
    expect(await alice.call('LAGRANGE', 'CONSISTENCY')).toBe('causal')
    await alice.call('AUTH', 'alice', 'no')
    const entries = (await admin.call('ACL', 'LOG')) as Plain[][]
    expect(entries.map(entry => [entry[3], entry[5], entry[7], entry[9]])).toEqual([
      ['auth', 'toplevel', 'AUTH', 'alice'],
      ['command', 'toplevel', 'lagrange|hotkeys', 'alice'],
      ['command', 'toplevel', 'flushall', 'alice'],
      ['key', 'toplevel', 'elsewhere', 'alice'],
    ])
  })

  test('a file that is read again ends those who are not what they were, and no one else', async () => {
    onTestFinished(async () => {
      writeFileSync(file, users)
      proxy.worker.reload({ rules: [], rates: noRates })
    })
    const [alice, reader, admin, stranger] = [await open(), await open(), await open(), await open()]
    await alice.call('AUTH', 'alice', 'wonder')
    await reader.call('AUTH', 'reader', '')
    await admin.call('AUTH', 'admin', 'secret')
    expect(await stranger.call('GET', 'public:1')).toMatch(/^-NOPERM/)

    writeFileSync(file, 'user broken +nothing\n')
    expect(await admin.call('ACL', 'LOAD')).toMatch(/^-ERR .*no change to the previously active/)
    writeFileSync(file, users.replace('+eval', '+eval +ping').replace('+ping +acl', '+get +ping +acl'))
    expect(await admin.call('ACL', 'LOAD')).toBe('OK')

    await alice.untilClosed()
    expect(await reader.call('ACL', 'WHOAMI')).toBe('reader')
    expect(await admin.call('ACL', 'WHOAMI')).toBe('admin')
    expect(await stranger.call('GET', 'public:1')).toBe(null)
  })

  test('scripts are for those who may do all that a script may do', async () => {
    const [alice, app, reader] = [await open(), await open(), await open()]
    await alice.call('AUTH', 'alice', 'wonder')
    await app.call('AUTH', 'app', 'app')
    await reader.call('AUTH', 'reader', '')
    // The instance would run it as the proxy's own user.
    expect(await alice.call('EVAL', "return redis.call('get', 'other')", '0')).toMatch(/^-NOPERM .* script/)
    expect(await app.call('EVAL', "return redis.call('set', 'other', 'x')", '0')).toBe('OK')
    expect(await app.call('CONFIG', 'GET', 'maxmemory')).toMatch(/^-NOPERM/)
    expect(await reader.call('EVAL_RO', "return redis.call('get', 'other')", '0')).toMatch(/^x$|^-NOPERM/)
    expect(await reader.call('EVAL', 'return 1', '0')).toMatch(/^-NOPERM/)
  })

  test('who guesses too often is not listened to for a while', async () => {
    const client = await open()
    const guesses: string[][] = Array.from({ length: 30 }, (_, index) => ['AUTH', 'alice', `guess-${index}`])
    const replies = (await client.pipeline(...guesses)) as string[]
    expect(replies[0]).toMatch(/^-WRONGPASS/)
    expect(replies.at(-1)).toMatch(/^-ERR too many wrong passwords/)
  })
})

const noRates = { commandsPerSecond: 0, bytesPerSecond: 0, userCommandsPerSecond: 0, userBytesPerSecond: 0 }

/** The single commands of a user come in no order that Redis keeps. */
function sorted(text: string): string {
  return text
    .split(/[ ",]+/)
    .sort()
    .join(' ')
}

function show(reply: Plain): string {
  // Ids of clients are their own.
  return JSON.stringify(reply, (_key, value) => (typeof value === 'bigint' ? String(value) : value)).replace(
    /"id",\d+/,
    '"id",0',
  )
}
