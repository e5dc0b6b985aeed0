/**
 * The deciding parts of a sentinel that a table can ask: its file, its hellos, its choice, and whom a follower believes.
 */
import { describe, expect, test } from 'vitest'
import { splitWords } from '../../../src/resp/decoder.js'
import { chooseReplica } from '../../../src/topology/quorum/choice.js'
import { placeSentinelLines, readSentinelLines, sentinelLines } from '../../../src/topology/quorum/conf.js'
import { Council } from '../../../src/topology/quorum/council.js'
import { checkObjective, checkSubjective } from '../../../src/topology/quorum/down.js'
import { vote } from '../../../src/topology/quorum/election.js'
import { believe } from '../../../src/topology/quorum/follow.js'
import { takeHello } from '../../../src/topology/quorum/hello.js'
import { isForeign } from '../../../src/topology/quorum/lineage.js'
import { addMaster, addPeer, addReplica } from '../../../src/topology/quorum/roster.js'
import { RANK_MS } from '../../../src/topology/quorum/timing.js'
import type { MasterWatch, ReplicaWatch } from '../../../src/topology/quorum/watched.js'

const A = 'a'.repeat(40)
const B = 'b'.repeat(40)

function council(durable: () => boolean = () => true): Council {
  const made = new Council({ chance: () => 0, durable, lookup: name => (name === 'known' ? '10.9.9.9' : undefined) })
  made.myid = A
  return made
}

function watching(one: Council): MasterWatch {
  const master = addMaster(one, { name: 'main', host: '10.0.0.1', port: 6379, quorum: 2 }, 0)
  if (typeof master === 'string') throw new Error(master)
  return master
}

function read(one: Council, text: string): readonly string[] {
  const lines = text
    .split('\n')
    .map((line, index) => ({ where: `s.conf:${index + 1}`, words: (splitWords(line) ?? []).slice(1) }))
  return readSentinelLines(one, lines, { executable: path => path === '/bin/notify' }, 0)
}

describe('sentinel.conf', () => {
  test('is read in any order, and written as it was read', () => {
    const text = [
      `sentinel known-sentinel main 10.0.0.8 26379 ${B}`,
      'sentinel known-replica main 10.0.0.2 6379',
      'sentinel auth-pass main "with space"',
      'sentinel monitor main 10.0.0.1 6379 2',
      'sentinel down-after-milliseconds main 5000',
      'sentinel notification-script main /bin/notify',
      'sentinel leader-epoch main 7',
      'sentinel config-epoch main 6',
      'sentinel current-epoch 9',
      `sentinel myid ${A}`,
    ].join('\n')
    const one = council()
    expect(read(one, text)).toEqual([])
    expect([...sentinelLines(one)].sort()).toEqual(text.split('\n').sort())
    expect(one.epoch).toBe(9)
  })

  for (const [line, reason] of [
    ['sentinel monitor main nowhere.example 6379 2', "s.conf:1: sentinel monitor: Can't resolve instance hostname."],
    ['sentinel monitor main 10.0.0.1 70000 2', 's.conf:1: sentinel monitor: Invalid port number.'],
    ['sentinel monitor main 10.0.0.1 6379 0', 's.conf:1: sentinel monitor: Quorum must be 1 or greater.'],
    ['sentinel quorum main 2', 's.conf:1: sentinel quorum: Unrecognized sentinel configuration statement.'],
    ['sentinel auth-pass main x', 's.conf:1: sentinel auth-pass: No such master with specified name.'],
    ['sentinel myid 123', 's.conf:1: sentinel myid: Malformed Sentinel id in myid option.'],
    ['sentinel current-epoch 99999999999999999999', 's.conf:1: sentinel current-epoch: not an epoch.'],
    ['sentinel sentinel-pass "a\\nb"', 's.conf:1: sentinel sentinel-pass: control characters are not allowed'],
  ] as const) {
    test(`refuses ${line}`, () => expect(read(council(), line)).toEqual([reason]))
  }

  test('keeps the order and the comments of the operator', () => {
    const old = '# mine\nport 1\nsentinel monitor main 10.0.0.1 6379 2\n# more\nsentinel known-slave main 10.0.0.2 1\n'
    const lines = [
      'sentinel myid x',
      'sentinel monitor main 10.0.0.3 6379 2',
      'sentinel known-replica main 10.0.0.1 6379',
    ]
    expect(placeSentinelLines(old, lines, '# by us')).toBe(
      '# mine\nport 1\nsentinel monitor main 10.0.0.3 6379 2\n# more\nsentinel known-replica main 10.0.0.1 6379\n# by us\nsentinel myid x\n',
    )
  })
})

describe('hello', () => {
  const hello = (epoch: string, config: string, master = 'main', id = B): string =>
    ['10.0.0.8', '26379', id, epoch, master, '10.0.0.2', '6379', config].join(',')

  for (const [name, text, ignored] of [
    ['seven words', 'a,b,c,d,e,f,g', 'malformed'],
    ['a line break in it', hello('1', '1').replace('10.0.0.8', '10.0.0.8\n'), 'malformed'],
    ['an unknown master', hello('1', '1', 'other'), 'unknown-master'],
    ['a configuration nobody can have voted for', hello('1', '2'), 'impossible-epoch'],
    ['an epoch beyond counting', hello('9'.repeat(16), '1'), 'impossible-epoch'],
    ['no epoch', hello('-1', '1'), 'impossible-epoch'],
  ] as const) {
    test(`${name} is counted and changes nothing`, () => {
      const one = council()
      const master = watching(one)
      takeHello(one, text, 0)
      expect(one.ignored.get(ignored)).toBe(1)
      expect([one.epoch, master.peers.size, master.place.host]).toEqual([0, 0, '10.0.0.1'])
    })
  }

  test('a newer configuration is obeyed, an older one is not', () => {
    const one = council()
    const master = watching(one)
    takeHello(one, hello('4', '4'), 0)
    expect([master.place.host, master.configEpoch, one.epoch]).toEqual(['10.0.0.2', 4, 4])
    expect([...master.replicas.keys()]).toEqual(['10.0.0.1:6379'])
    takeHello(one, hello('5', '3').replace('10.0.0.2', '10.0.0.9'), 0)
    expect([master.place.host, one.epoch]).toEqual(['10.0.0.2', 5])
  })
})

describe('a vote', () => {
  test('is given once per epoch', () => {
    const one = council()
    const master = watching(one)
    expect(vote(one, master, 3, B, 0)).toEqual({ leader: B, epoch: 3 })
    expect(vote(one, master, 3, A, 0)).toEqual({ leader: B, epoch: 3 })
    expect(vote(one, master, 2, A, 0)).toEqual({ leader: B, epoch: 3 })
    expect(vote(one, master, 4, A, 0)).toEqual({ leader: A, epoch: 4 })
  })

  test('that cannot be written is not given', () => {
    const one = council(() => false)
    const master = watching(one)
    expect(vote(one, master, 3, B, 0)).toEqual({ leader: undefined, epoch: 0, unwritable: true })
    expect(one.ignored.get('unwritable')).toBe(1)
  })
})

test('nobody waits for a redis-sentinel to stand first', () => {
  const now = 5000
  for (const [kinds, ahead] of [
    [[true, true], 2],
    [[true, false], 1],
    [[false, false], 0],
  ] as const) {
    const one = council()
    one.myid = 'f'.repeat(40)
    const master = watching(one)
    for (const [at, seesEvidence] of kinds.entries()) {
      const peer = addPeer(one, master, { id: String(at).repeat(40), host: '10.0.0.8', port: 1 + at }, now)
      if (typeof peer === 'string') throw new Error(peer)
      peer.seesEvidence = seesEvidence
      Object.assign(peer.link, { whole: true, pingWaitsSince: undefined })
    }
    const replica = addReplica(one, master, '10.0.0.2', 6379, now)
    if (typeof replica === 'string') throw new Error(replica)
    Object.assign(replica, { infoAt: now, masterHost: '10.0.0.1', masterPort: 6379, linkUp: false })
    Object.assign(replica.link, { whole: true, pingWaitsSince: undefined })
    Object.assign(master.link, { refusals: 2, refusedAt: now - 10 })
    checkSubjective(one, master, now)
    checkObjective(one, master, now)
    expect([master.odown, master.odownBy]).toEqual([true, 'evidence'])
    expect(master.standAt - now).toBe(ahead * RANK_MS)
  }
})

describe('the replica to promote', () => {
  const replica = (one: Council, master: MasterWatch, port: number, facts: Partial<ReplicaWatch>): ReplicaWatch => {
    const made = addReplica(one, master, '10.0.0.2', port, 0)
    if (typeof made === 'string') throw new Error(made)
    made.link.whole = true
    return Object.assign(made, { infoAt: 0, replid: A, runId: B, ...facts })
  }

  for (const [name, first, second, chosen] of [
    ['has more data, whatever its priority', { offset: 5, priority: 100 }, { offset: 4, priority: 1 }, 1],
    ['has the lower priority, with equal data', { offset: 5, priority: 100 }, { offset: 5, priority: 1 }, 2],
    ['is not one of priority 0', { offset: 5, priority: 0 }, { offset: 1, priority: 1 }, 2],
    ['has the history of the master', { offset: 9, replid: B }, { offset: 1, replid: A }, 2],
    ['is not one that was heard of too long ago', { offset: 9, infoAt: -1e6 }, { offset: 1 }, 2],
  ] as const) {
    test(name, () => {
      const one = council()
      const master = watching(one)
      master.replid = A
      replica(one, master, 1, first)
      replica(one, master, 2, second)
      expect(chooseReplica(one, master, 0)?.place.port).toBe(chosen)
    })
  }
})

describe("a replica is another group's", () => {
  const follower = { role: 'slave', masterHost: '10.0.0.1', masterPort: 6379, linkUp: true } as const
  const elsewhere = { ...follower, masterHost: '10.0.0.7' } as const

  for (const [name, facts, histories, foreign] of [
    ['not while nothing is known of it', { replid: undefined }, [A], false],
    ['not when it has our history, whomever it follows', { ...elsewhere, replid: A }, [A], false],
    ['not when it had our history before', { ...elsewhere, replid: B, replid2: A }, [A], false],
    ['not when it follows our master and has nothing yet', { ...follower, replid: B }, [A], false],
    ['when it follows another one with another history', { ...elsewhere, replid: B }, [A], true],
    ['even when its process was ours before', { ...elsewhere, replid: B, oursAs: 'run' }, [A], true],
    [
      'when the other one is away, and its process was never ours',
      { ...elsewhere, replid: B, linkUp: false },
      [A],
      true,
    ],
    ['not when it was', { ...elsewhere, replid: B, linkUp: false, oursAs: 'run' }, [A], false],
    ['when it calls itself a master of a history nobody knows', { role: 'master', replid: B }, [A], true],
    ['when it reaches another one, though we know no history', { ...elsewhere, replid: B }, [], true],
    ['not when it reaches nobody and we know no history', { ...elsewhere, replid: B, linkUp: false }, [], false],
  ] as const) {
    test(name, () => {
      const one = council()
      const master = watching(one)
      for (const replid of histories) master.histories.add(replid)
      const replica = addReplica(one, master, '10.0.0.2', 1, 0)
      if (typeof replica === 'string') throw new Error(replica)
      Object.assign(replica, { runId: 'run', ...facts })
      expect(isForeign(one, replica)).toBe(foreign)
    })
  }
})

test('a replica that lost a silent master is fit, however late the silence was called down', () => {
  const one = council()
  const master = watching(one)
  master.downAfterMs = 1000
  const replica = addReplica(one, master, '10.0.0.2', 1, 0)
  if (typeof replica === 'string') throw new Error(replica)
  const now = 40_000
  Object.assign(replica, { infoAt: now, replid: A, linkDownMs: 39_000 })
  Object.assign(replica.link, { whole: true, goodAt: now })
  // Silent since 1000; it was called down after 30 seconds of tilt.
  Object.assign(master, { sdown: true, sdownAt: 35_000 })
  master.link.goodAt = 1000
  expect(chooseReplica(one, master, now)).toBe(replica)
  // A link that broke long before the master did is another matter.
  master.link.goodAt = 35_000
  expect(chooseReplica(one, master, now)).toBeUndefined()
})

test('a follower believes the newest configuration, and most of those that have it', () => {
  const word = (sentinel: string, port: number, configEpoch: number, at = 0) => {
    return { sentinel, master: { host: 'h', port }, configEpoch, at }
  }
  const believed = (...words: ReturnType<typeof word>[]) => believe(words, 0)?.master.port
  expect(believed()).toBeUndefined()
  expect(believed(word('cut off', 1, 1), word('cut off as well', 1, 1), word('knows', 2, 2))).toBe(2)
  expect(believed(word('one', 1, 2), word('two', 2, 2), word('three', 2, 2))).toBe(2)
  expect(believed(word('long ago', 1, 9, -60_000), word('now', 2, 1))).toBe(2)
})
