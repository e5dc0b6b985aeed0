import { beforeEach, describe, expect, test } from 'vitest'
import { ReplicationLog } from '../../../src/replication/log.js'
import {
  defaultReplicasOptions,
  type ReplicaEffect,
  Replicas,
  type ReplicasOptions,
} from '../../../src/replication/replicas.js'

const A = 'a'.repeat(40)
const idle = { busy: false }

let log: ReplicationLog
let replicas: Replicas

beforeEach(() => start())

function start(options: Partial<ReplicasOptions> = {}): void {
  log = new ReplicationLog(A, 1000)
  log.open(A)
  log.append(Buffer.alloc(100, '.'))
  replicas = new Replicas(log, { ...defaultReplicasOptions, diskless: false, ...options }, 0)
}

/** A replica as Redis 7 introduces itself. */
function introduce(id: number, ...more: string[]): void {
  replicas.replconf(id, ['REPLCONF', 'capa', 'eof', 'capa', 'psync2', ...more], 0)
}

function ack(id: number, offset: number, now: number): ReplicaEffect[] {
  return replicas.replconf(id, ['REPLCONF', 'ACK', String(offset)], now).effects
}

const read = (id: number) => Buffer.concat(replicas.read(id, 1_000_000)).toString()
const stream = (text: string) => log.append(Buffer.from(text))
const words = (effects: readonly ReplicaEffect[]) =>
  effects.map(effect =>
    [
      effect.do,
      ...('replica' in effect ? [effect.replica] : []),
      ...('line' in effect ? [effect.line] : []),
      ...('reason' in effect ? [effect.reason] : []),
    ].join(' '),
  )

describe('a partial resync', () => {
  test('gets the reply, then the backlog, then the stream', () => {
    introduce(1)
    expect(words(replicas.attachPartial(1, 91, 0))).toEqual([`reply 1 +CONTINUE ${A}`, 'stream 1'])
    expect(read(1)).toBe('.'.repeat(10))
    stream('abc')
    expect(read(1)).toBe('abc')
    expect(read(1)).toBe('')
  })

  test('a replica that does not know PSYNC2 is told no name', () => {
    expect(words(replicas.attachPartial(1, 101, 0))).toEqual(['reply 1 +CONTINUE', 'stream 1'])
  })
})

describe('a full resync from a file', () => {
  test('cut, file, stream since the cut', () => {
    introduce(1)
    expect(words(replicas.attachFull(1, 'requested', idle, 0))).toEqual(['begin-snapshot'])
    expect(words(replicas.cut(0))).toEqual([`reply 1 +FULLRESYNC ${A} 100`])
    stream('while it is written;')
    expect(read(1)).toBe('')
    expect(words(replicas.snapshotDone(idle, 10))).toEqual(['send-file 1'])
    expect(replicas.list(10)[0]?.state).toBe('send_bulk')
    stream('while it is sent;')
    expect(words(replicas.bulkSent(1, 20))).toEqual(['stream 1'])
    expect(read(1)).toBe('while it is written;while it is sent;')
  })

  test('who comes while the file is written shares it; who comes later waits for the next', () => {
    for (const id of [1, 2, 3]) introduce(id)
    replicas.attachFull(1, 'requested', idle, 0)
    replicas.cut(0)
    stream('early;')
    expect(words(replicas.attachFull(2, 'backlog-too-short', idle, 5))).toEqual([`reply 2 +FULLRESYNC ${A} 100`])
    expect(words(replicas.snapshotDone(idle, 10))).toEqual(['send-file 1', 'send-file 2'])
    replicas.bulkSent(2, 11)
    expect(read(2)).toBe('early;')
    expect(words(replicas.attachFull(3, 'requested', idle, 12))).toEqual(['begin-snapshot'])
    expect(replicas.resyncs).toEqual({ full: 3, partial: 0, partialRefused: 1 })
  })

  test('a replica that wants other contents does not share', () => {
    introduce(1)
    introduce(2, 'rdb-filter-only', 'functions')
    replicas.attachFull(1, 'requested', idle, 0)
    replicas.cut(0)
    expect(words(replicas.attachFull(2, 'requested', idle, 0))).toEqual([])
    const effects = replicas.snapshotDone(idle, 1)
    expect(words(effects)).toEqual(['send-file 1', 'begin-snapshot'])
    expect(effects[1]).toMatchObject({ target: 'socket', filter: 'functions' })
  })

  test('the stream since the cut outlives the backlog', () => {
    introduce(1)
    replicas.attachFull(1, 'requested', idle, 0)
    replicas.cut(0)
    for (let part = 0; part < 100; part++) stream('z'.repeat(1000))
    replicas.snapshotDone(idle, 1)
    replicas.bulkSent(1, 2)
    expect(read(1)).toHaveLength(100_000)
  })

  test('it waits while something else is being saved', () => {
    introduce(1)
    expect(replicas.attachFull(1, 'requested', { busy: true }, 0)).toEqual([])
    expect(words(replicas.tick({ role: 'master', pinging: false, busy: false }, 100))).toEqual(['begin-snapshot'])
  })

  test('a failure is told to those it concerns', () => {
    introduce(1)
    introduce(2)
    replicas.attachFull(1, 'requested', idle, 0)
    expect(words(replicas.cutFailed())).toEqual([
      "reply 1 -ERR BGSAVE failed, replication can't continue",
      'drop 1 snapshot-failed',
    ])
    replicas.detach(1, 0)
    replicas.attachFull(2, 'requested', idle, 0)
    replicas.cut(0)
    expect(words(replicas.snapshotFailed(idle, 0))).toEqual(['drop 2 snapshot-failed'])
  })

  test('a replica that came with SYNC is told nothing and acknowledges nothing', () => {
    replicas.attachFull(1, 'old-protocol', idle, 0)
    expect(replicas.cut(0)).toEqual([])
    replicas.snapshotDone(idle, 0)
    expect(words(replicas.bulkSent(1, 0))).toEqual(['stream 1'])
    expect(words(replicas.tick({ role: 'replica', pinging: false, busy: false }, 1_000_000))).toEqual([])
  })

  test('a snapshot and nothing else', () => {
    introduce(1, 'rdb-only', '1')
    replicas.attachFull(1, 'requested', idle, 0)
    replicas.cut(0)
    replicas.snapshotDone(idle, 0)
    expect(words(replicas.bulkSent(1, 0))).toEqual(['end 1 snapshot-only'])
  })
})

describe('a full resync through the sockets', () => {
  beforeEach(() => start({ diskless: true, disklessDelayMs: 5000 }))

  test('waits for others, then streams after the first acknowledgement', () => {
    introduce(1)
    introduce(2)
    expect(replicas.attachFull(1, 'requested', idle, 0)).toEqual([])
    expect(replicas.attachFull(2, 'requested', idle, 3000)).toEqual([])
    expect(words(replicas.tick({ role: 'master', pinging: false, busy: false }, 4999))).toEqual([
      'say-alive 1',
      'say-alive 2',
    ])
    expect(words(replicas.tick({ role: 'master', pinging: false, busy: false }, 5000))).toEqual(['begin-snapshot'])
    expect(words(replicas.cut(5000))).toEqual([`reply 1 +FULLRESYNC ${A} 100`, `reply 2 +FULLRESYNC ${A} 100`])
    expect(replicas.snapshotReaders()).toEqual([1, 2])
    stream('since;')
    expect(replicas.snapshotDone(idle, 6000)).toEqual([])
    expect(read(1)).toBe('')
    expect(words(ack(1, 100, 6500))).toEqual(['stream 1'])
    expect(read(1)).toBe('since;')
    expect(read(2)).toBe('')
  })

  test('enough replicas need not wait', () => {
    start({ diskless: true, disklessReplicasMax: 2 })
    introduce(1)
    introduce(2)
    replicas.attachFull(1, 'requested', idle, 0)
    expect(words(replicas.attachFull(2, 'requested', idle, 1))).toEqual(['begin-snapshot'])
  })

  test('one that does not know the mark makes it a file for all', () => {
    start({ diskless: true, disklessDelayMs: 0 })
    expect(replicas.attachFull(1, 'requested', idle, 0)).toMatchObject([{ do: 'begin-snapshot', target: 'disk' }])
  })

  test('when all who listened are gone it is abandoned', () => {
    start({ diskless: true, disklessDelayMs: 0 })
    introduce(1)
    replicas.attachFull(1, 'requested', idle, 0)
    replicas.cut(0)
    expect(words(replicas.detach(1, 1))).toEqual(['abandon-snapshot'])
  })

  test('a file that is nobody else’s is abandoned with its last reader, one that is a save as well is finished', () => {
    for (const keepsFiles of [false, true]) {
      start({ keepsFiles })
      for (const id of [1, 2]) replicas.attachFull(id, 'requested', idle, 0)
      replicas.cut(0)
      expect(words(replicas.detach(1, 1))).toEqual([])
      expect(words(replicas.detach(2, 1))).toEqual(keepsFiles ? [] : ['abandon-snapshot'])
    }
  })

  test('one that takes no bytes for repl-timeout is dropped', () => {
    start({ diskless: true, disklessDelayMs: 0, timeoutMs: 5000 })
    introduce(1)
    replicas.attachFull(1, 'requested', idle, 0)
    replicas.cut(0)
    replicas.progressed(1, 3000)
    const facts = { role: 'master', pinging: false, busy: false } as const
    expect(replicas.tick(facts, 8000)).toEqual([])
    expect(words(replicas.tick(facts, 8001))).toEqual(['drop 1 transfer-timeout'])
  })
})

describe('acknowledgements', () => {
  test('count for WAIT and for min-replicas', () => {
    for (const id of [1, 2]) {
      introduce(id)
      replicas.attachPartial(id, 101, 0)
    }
    stream('12345')
    expect(replicas.countAcked(100)).toBe(2)
    expect(replicas.countAcked(105)).toBe(0)
    ack(1, 105, 2000)
    expect(replicas.countAcked(105)).toBe(1)
    ack(1, 103, 2500)
    expect(replicas.list(3000)[0]).toMatchObject({ state: 'online', ackOffset: 105, ackAgeMs: 500 })
    expect(replicas.countGood(10_001)).toBe(1)
    expect(replicas.countGood(10_000)).toBe(2)
  })

  test('who acknowledges nothing for repl-timeout is dropped', () => {
    introduce(1)
    replicas.attachPartial(1, 101, 0)
    ack(1, 100, 1000)
    const facts = { role: 'replica', pinging: false, busy: false } as const
    expect(replicas.tick(facts, 61_000)).toEqual([])
    // What it may have sent since then has not been read.
    expect(replicas.tick({ ...facts, heardUntil: 61_000 }, 99_000)).toEqual([])
    expect(words(replicas.tick(facts, 61_001))).toEqual(['drop 1 timeout'])
  })

  test('from a connection that is no replica they do nothing', () => {
    expect(ack(9, 5, 0)).toEqual([])
    expect(replicas.size).toBe(0)
  })
})

describe('limits and time', () => {
  test('a replica that holds up too much is dropped: at once, or after a while', () => {
    start({ outputHardBytes: 5000, outputSoftBytes: 2000, outputSoftMs: 1000 })
    introduce(1)
    replicas.attachPartial(1, 101, 0)
    stream('x'.repeat(1500))
    expect(replicas.checkOutput(1, 400, 0)).toEqual([])
    expect(replicas.checkOutput(1, 600, 0)).toEqual([])
    expect(replicas.checkOutput(1, 600, 1000)).toEqual([])
    expect(words(replicas.checkOutput(1, 600, 1001))).toEqual(['drop 1 output-limit'])
    read(1)
    expect(replicas.checkOutput(1, 600, 1002)).toEqual([])
    expect(words(replicas.checkOutput(1, 5001, 1003))).toEqual(['drop 1 output-limit'])
  })

  test('no limit below the size of the backlog', () => {
    start({ outputHardBytes: 10, outputSoftBytes: 0 })
    introduce(1)
    replicas.attachPartial(1, 101, 0)
    expect(replicas.checkOutput(1, 1000, 0)).toEqual([])
    expect(words(replicas.checkOutput(1, 1001, 0))).toEqual(['drop 1 output-limit'])
  })

  test('pings while there is somebody to hear them, and only as a master', () => {
    const facts = { role: 'master', pinging: true, busy: false } as const
    expect(replicas.tick(facts, 20_000)).toEqual([])
    introduce(1)
    replicas.attachPartial(1, 101, 20_000)
    expect(words(replicas.tick(facts, 20_001))).toEqual(['ping'])
    expect(replicas.tick(facts, 29_999)).toEqual([])
    expect(words(replicas.tick(facts, 30_001))).toEqual(['ping'])
    expect(replicas.tick({ ...facts, role: 'replica' }, 50_000)).toEqual([])
    expect(replicas.tick({ ...facts, pinging: false }, 50_000)).toEqual([])
  })

  test('an unused backlog is given up after its time, by a master', () => {
    start({ backlogTtlMs: 1000 })
    introduce(1)
    replicas.attachPartial(1, 101, 0)
    replicas.detach(1, 5000)
    const facts = { role: 'master', pinging: true, busy: false } as const
    expect(replicas.tick(facts, 6000)).toEqual([])
    expect(replicas.tick({ ...facts, role: 'replica' }, 6001)).toEqual([])
    expect(words(replicas.tick(facts, 6001))).toEqual(['release-backlog'])
    replicas.becameMaster(7000)
    expect(replicas.tick(facts, 8000)).toEqual([])
  })

  test('everybody must ask again when the history changes', () => {
    introduce(1)
    replicas.attachPartial(1, 101, 0)
    expect(words(replicas.dropAll('history-changed'))).toEqual(['drop 1 history-changed'])
  })
})
