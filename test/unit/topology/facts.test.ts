import { expect, test } from 'vitest'
import type { Frame } from '../../../src/resp/protocol.js'
import { newInstance, observe, parseInfo, parsePing, parseRole } from '../../../src/topology/facts.js'

const masterInfo = `# Server\r\nredis_version:7.0.15\r\nrun_id:${'1'.repeat(40)}\r\n# Persistence\r\nloading:0\r\n# Stats\r
sync_full:2\r\nsync_partial_ok:3\r\nsync_partial_err:1\r\n# Replication\r\nrole:master\r\nconnected_slaves:3\r
slave0:ip=10.0.0.2,port=6379,state=online,offset=560,lag=1\r\nslave1:ip=10.0.0.3,port=6380,state=wait_bgsave,offset=0,lag=0\r
slave2:ip=10.0.0.9,port=0,state=online,offset=560,lag=1\r\nmaster_replid:${'a'.repeat(40)}\r
master_replid2:${'0'.repeat(40)}\r\nmaster_repl_offset:574\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:1\r
repl_backlog_size:1048576\r\nrepl_backlog_first_byte_offset:1\r\nrepl_backlog_histlen:574\r\n# Keyspace\r\ndb0:keys=5,expires=0\r\ndb3:keys=2,expires=1\r\n`

const replicaInfo = `# Replication\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r
master_last_io_seconds_ago:-1\r\nmaster_sync_in_progress:1\r\nslave_repl_offset:500\r\nslave_priority:0\r\nreplica_announced:0\r
master_replid:${'a'.repeat(40)}\r\nmaster_replid2:${'b'.repeat(40)}\r\nmaster_repl_offset:510\r\nsecond_repl_offset:300\r\n`

test('INFO of a master', () => {
  expect(parseInfo(masterInfo)).toMatchObject({
    runId: '1'.repeat(40),
    role: 'master',
    offset: 574,
    replid2: undefined,
    master: undefined,
    // A tap listens nowhere (port 0), and a name that nobody finished is still a name.
    replicas: [
      { address: { host: '10.0.0.2', port: 6379 }, online: true },
      { address: { host: '10.0.0.3', port: 6380 }, online: false },
    ],
    backlog: { active: true, sizeBytes: 1048576, historyBytes: 574 },
    resyncs: { full: 2, partial: 3, partialRefused: 1 },
    keys: 7,
    loading: false,
  })
})

test('INFO replication of a replica: applied, not produced; what was not asked for is undefined', () => {
  expect(parseInfo(replicaInfo)).toMatchObject({
    runId: undefined,
    role: 'replica',
    offset: 500,
    secondOffset: 300,
    priority: 0,
    announced: false,
    master: { address: { host: '10.0.0.1', port: 6379 }, up: false, syncing: true, lastIoSeconds: undefined },
    resyncs: undefined,
    keys: undefined,
    loading: undefined,
  })
})

for (const text of ['', 'hello', '# Server\r\nredis_version:7\r\n', 'slave0:ip=1.2.3.4,port=1']) {
  test(`no INFO: ${JSON.stringify(text)}`, () => expect(parseInfo(text)).toBeUndefined())
}

test('a hostile table of replicas names nobody', () => {
  const info = parseInfo(
    'role:master\r\nslave0:ip=,port=1\r\nslave1:ip=h,port=99999\r\nslave2:garbage\r\nslave3:ip=h,port=x\r\n',
  )
  expect(info?.replicas).toEqual([])
})

const bulk = (value: string): Frame => ({ type: 'bulk', value })
const integer = (value: number): Frame => ({ type: 'integer', value })
const array = (...items: Frame[]): Frame => ({ type: 'array', items })

test('ROLE', () => {
  expect(parseRole(array(bulk('master'), integer(7), array()))).toEqual({ role: 'master', offset: 7 })
  expect(parseRole(array(bulk('slave'), bulk('h'), integer(1), bulk('connected'), integer(9)))).toEqual({
    role: 'replica',
    master: { host: 'h', port: 1 },
    state: 'connected',
    offset: 9,
  })
  const unlinked = parseRole(array(bulk('slave'), bulk('h'), integer(1), bulk('connect'), integer(-1)))
  expect(unlinked).toMatchObject({ state: 'connect', offset: undefined })
  expect(parseRole(array(bulk('sentinel'), array()))).toBeUndefined()
  expect(parseRole({ type: 'error', value: 'BUSY' })).toBeUndefined()
})

for (const [reply, expected] of [
  [{ type: 'simple', value: 'PONG' }, 'pong'],
  [{ type: 'error', value: 'LOADING Redis is loading' }, 'loading'],
  [{ type: 'error', value: 'MASTERDOWN Link with MASTER is down' }, 'master-down'],
  [{ type: 'error', value: 'BUSY a script runs' }, 'busy'],
  [{ type: 'error', value: 'NOAUTH Authentication required.' }, 'denied'],
  [{ type: 'error', value: 'MISCONF disk' }, 'other'],
] as const) {
  test(`PING: ${expected}`, () => expect(parsePing(reply)).toBe(expected))
}

test('ROLE of an unlinked replica does not make us forget its offset', () => {
  let facts = newInstance('h:1', { host: 'h', port: 1 }, { seed: true })
  facts = observe(facts, { type: 'info', info: parseInfo(replicaInfo) as never }, 10)
  const master = { host: '10.0.0.1', port: 6379 }
  facts = observe(facts, { type: 'role', role: { role: 'replica', master, state: 'connect', offset: undefined } }, 20)
  expect(facts).toMatchObject({ offset: 500, master: { up: false, since: 10 } })
  facts = observe(facts, { type: 'role', role: { role: 'replica', master, state: 'connected', offset: 520 } }, 30)
  // It grew between 20 and 30, so a byte has certainly arrived after 20.
  expect(facts).toMatchObject({ offset: 520, lastByteAt: 20, movedAt: 30, master: { up: true, since: 30 } })
  const elsewhere = { host: '10.0.0.7', port: 1 }
  facts = observe(
    facts,
    { type: 'role', role: { role: 'replica', master: elsewhere, state: 'connected', offset: 520 } },
    40,
  )
  expect(facts.master?.since).toBe(40)
})

test('refused credentials are an answer: it lives, but we see nothing', () => {
  let facts = newInstance('h:1', { host: 'h', port: 1 }, { seed: true })
  facts = observe(facts, { type: 'died', sign: 'reset' }, 5)
  facts = observe(facts, { type: 'ping', reply: 'denied' }, 6)
  expect(facts).toMatchObject({ denied: true, liveness: { deaths: 0, heardAt: 6 } })
})
