/**
 * What a running sentinel does not believe, does not do and does not write: another group's replica at an address that was
 * ours, a file that cannot be written, malformed configuration, control characters, and what others say that cannot be.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Frame, itemsOf, numberOf, textOf } from '../../src/resp/protocol.js'
import { lagrange, temporaryFolder } from '../support/lagrange.js'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'
import { type SentinelProcess, startSentinels } from '../support/sentinels.js'

const server = requireReal('redis-server')
const PEER = 'b'.repeat(40)
const THEIRS = 'x'.repeat(100_000)
/** What IS-MASTER-DOWN-BY-ADDR answers where there is no opinion and no vote. */
const NOTHING = [0, '*', 0]

interface Watched {
  readonly sentinel: SentinelProcess
  readonly master: RedisNode
  readonly replicas: readonly RedisNode[]
  /** How often something was ignored for this reason. */
  readonly ignored: (reason: string) => Promise<number>
}

/** A group of redis-server with one sentinel of ours that may decide alone. */
async function watched(replicas: number): Promise<Watched> {
  const [master, ...others] = (await startGroup(server.path, replicas)) as [RedisNode, ...RedisNode[]]
  onTestFinished(async () => void (await Promise.all([master, ...others].map(node => node.stop()))))
  const metricsPort = await freePort()
  const settings = {
    masterPort: master.port,
    quorum: 1,
    downAfterMs: 1000,
    failoverTimeoutMs: 1000,
    lines: [`metrics-port ${metricsPort}`],
  }
  const [sentinel] = (await startSentinels(['ours'], '', settings, replicas)) as [SentinelProcess]
  onTestFinished(() => sentinel.stop())
  const ignored = async (reason: string): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
    const line = new RegExp(`^lagrange_sentinel_ignored_total\\{.*reason="${reason}".*\\} (\\d+)$`, 'm').exec(text)
    return Number(line?.[1])
  }
  return { sentinel, master, replicas: others, ignored }
}

/** Another group, whose replica listens where `gone` did; it has far more data. */
async function moveIn(gone: RedisNode): Promise<{ readonly replica: RedisNode; readonly master: RedisNode }> {
  await gone.end()
  const master = new RedisNode(server.path, await freePort())
  const replica = new RedisNode(server.path, gone.port)
  onTestFinished(async () => void (await Promise.all([master.stop(), replica.stop()])))
  await master.start()
  await master.call('SET', 'theirs', THEIRS)
  await replica.start('--replicaof', '127.0.0.1', String(master.port))
  await until('it has their data', async () => textOf(await replica.call('GET', 'theirs')) === THEIRS)
  return { replica, master }
}

function valuesOf(frame: Frame): (number | string | undefined)[] {
  return itemsOf(frame).map(item => (item.type === 'integer' ? numberOf(item) : textOf(item)))
}

async function seenAs(sentinel: SentinelProcess, port: number): Promise<ReadonlyMap<string, string>> {
  for (const item of itemsOf(await sentinel.call('SENTINEL', 'REPLICAS', 'main'))) {
    const words = itemsOf(item).map(word => textOf(word) ?? '')
    const fields = new Map(words.flatMap((word, at) => (at % 2 === 0 ? [[word, words[at + 1] ?? ''] as const] : [])))
    if (fields.get('port') === String(port)) return fields
  }
  return new Map()
}

async function untilSeen(sentinel: SentinelProcess, replica: RedisNode): Promise<void> {
  const runId = /run_id:(\w+)/.exec(textOf(await replica.call('INFO', 'server')) ?? '')?.[1]
  expect(runId).toMatch(/^\w{40}$/)
  const isSeen = async (): Promise<boolean> => (await seenAs(sentinel, replica.port)).get('runid') === runId
  await until('the sentinel has met who listens there now', isSeen)
}

describe('a replica of another group, where one of ours was', () => {
  server.test(
    'is not promoted, whatever it has, and keeps its master',
    async () => {
      const { sentinel, master, replicas, ignored } = await watched(2)
      const [gone, ours] = replicas as [RedisNode, RedisNode]
      const theirs = await moveIn(gone)
      await untilSeen(sentinel, theirs.replica)
      const before = await ignored('foreign-replica')
      master.signal('SIGKILL')
      await until('ours is promoted', async () => (await sentinel.masterPort()) === ours.port, 30_000)
      await until('the failover is over', () => sentinel.log.includes('+switch-master'), 30_000)
      expect(await ignored('foreign-replica')).toBeGreaterThan(before)
      expect(sentinel.log).toContain('has the history of another group')
      expect(sentinel.log).not.toMatch(new RegExp(`\\+slave-reconf-sent .*:${theirs.replica.port} `))
      const info = await theirs.replica.info()
      expect([info.role, info.master?.address.port, info.master?.up]).toEqual(['replica', theirs.master.port, true])
      expect(textOf(await theirs.replica.call('GET', 'theirs'))).toBe(THEIRS)
    },
    60_000,
  )

  server.test(
    'is not promoted when there is nobody else, not even when its own master is gone as well',
    async () => {
      const { sentinel, master, replicas, ignored } = await watched(1)
      const theirs = await moveIn(replicas[0] as RedisNode)
      await untilSeen(sentinel, theirs.replica)
      theirs.master.signal('SIGKILL')
      const isDown = async (): Promise<boolean> => (await theirs.replica.info()).master?.up === false
      await until('it has lost its master', isDown, 30_000)
      const before = await ignored('foreign-replica')
      master.signal('SIGKILL')
      await until('nobody is fit', () => sentinel.log.includes('-failover-abort-no-good-slave'), 30_000)
      expect(await ignored('foreign-replica')).toBeGreaterThan(before)
      expect(await sentinel.masterPort()).toBe(master.port)
      expect((await theirs.replica.info()).master?.address.port).toBe(theirs.master.port)
    },
    60_000,
  )
})

describe('a file that cannot be written', () => {
  server.test(
    'means no vote and no failover, and the log says why',
    async () => {
      const { sentinel, master, replicas, ignored } = await watched(1)
      const asks = (epoch: number): Promise<Frame> =>
        sentinel.call('SENTINEL', 'IS-MASTER-DOWN-BY-ADDR', '127.0.0.1', String(master.port), String(epoch), PEER)
      const away = `${sentinel.dir}.away`
      renameSync(sentinel.dir, away)
      onTestFinished(() => rmSync(away, { recursive: true, force: true }))

      expect(valuesOf(await asks(5))).toEqual(NOTHING)
      expect(await ignored('unwritable')).toBe(1)
      expect(sentinel.log).toContain(`No vote for ${PEER} in epoch 5`)
      expect(sentinel.log).toMatch(/not able to save the new configuration on disk!!!: .*ENOENT.*sentinel\.conf/)
      await expect(sentinel.call('SENTINEL', 'SET', 'main', 'quorum', '1')).rejects.toThrow('Failed to save')

      master.signal('SIGKILL')
      await until('it gave up', () => sentinel.log.includes('-failover-abort-not-elected'), 30_000)
      expect(sentinel.log).not.toContain('+elected-leader')
      expect(await sentinel.masterPort()).toBe(master.port)

      renameSync(away, sentinel.dir)
      const [replica] = replicas as [RedisNode]
      await until('it leads now', async () => (await sentinel.masterPort()) === replica.port, 30_000)
      expect(sentinel.conf).toMatch(/^sentinel leader-epoch main [1-9]/m)
    },
    60_000,
  )
})

describe('malformed configuration', () => {
  test('is told with file, line and reason, all of it at once', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'sentinel.conf')
    const lines = [
      '# mine',
      'port 0x',
      'sentinel monitor main 127.0.0.1 6379 none',
      'sentinel monitor other 127.0.0.1 6379 1',
      'sentinel down-after-milliseconds other soon',
      'sentinel auth-pass other "a\\nsentinel notification-script other /bin/sh"',
      'sentinel known-replica nobody 127.0.0.1 6380',
      'sentinel config-epoch other 99999999999999999999',
      'no-such-directive 1',
    ]
    const wrong = async (...which: number[]): Promise<string[]> => {
      writeFileSync(file, `${lines.map((line, at) => (which.includes(at + 1) ? line : '')).join('\n')}\n`)
      const { code, out, err } = await lagrange(['sentinel', file])
      expect([code, out]).toEqual([2, ''])
      return err.trim().split('\n').sort()
    }
    const said = (line: number, text: string): string => `lagrange sentinel: ${file}:${line}: ${text}`
    expect((await wrong(2, 9)).map(text => text.split(': ').slice(0, 2).join(': '))).toEqual([
      `lagrange sentinel: ${file}:2`,
      `lagrange sentinel: ${file}:9`,
    ])
    expect(await wrong(3, 4, 5, 6, 7, 8)).toEqual([
      said(3, 'sentinel monitor: Quorum must be 1 or greater.'),
      said(5, 'sentinel down-after-milliseconds: negative or zero time parameter.'),
      said(6, 'sentinel auth-pass: control characters are not allowed'),
      said(7, 'sentinel known-replica: No such master with specified name.'),
      said(8, 'sentinel config-epoch: not an epoch.'),
    ])
  })

  test('no file, and one that is none, end it with a reason', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'sentinel.conf'))
    const none = await lagrange(['sentinel'])
    expect([none.code, none.err]).toEqual([1, expect.stringContaining('needs a configuration file')])
    const directory = await lagrange(['sentinel', join(folder, 'sentinel.conf')])
    expect([directory.code, directory.err]).toEqual([2, expect.stringMatching(/cannot read .*sentinel\.conf: EISDIR/)])
  })
})

describe('what is said to it', () => {
  server.test(
    'stays out of its file when it has control characters',
    async () => {
      const { sentinel } = await watched(1)
      await until('the replica is written down', () => /^sentinel known-replica /m.test(sentinel.conf))
      const before = readFileSync(sentinel.file, 'latin1')
      const evil = 'x\nsentinel notification-script main /bin/sh\n'
      for (const words of [
        ['SENTINEL', 'SET', 'main', 'auth-pass', evil],
        ['SENTINEL', 'SET', 'main', 'auth-user', evil],
        ['SENTINEL', 'SET', 'main', 'rename-command', 'GET', evil],
        ['SENTINEL', 'SET', 'main', 'quorum', '1\n'],
        ['SENTINEL', 'CONFIG', 'SET', 'sentinel-pass', evil],
        ['SENTINEL', 'CONFIG', 'SET', 'sentinel-user', evil],
        ['SENTINEL', 'CONFIG', 'SET', 'announce-ip', evil],
        ['SENTINEL', 'MONITOR', evil, '127.0.0.1', '6379', '1'],
        ['SENTINEL', 'MONITOR', 'more', `127.0.0.1${evil}`, '6379', '1'],
        ['SENTINEL', 'IS-MASTER-DOWN-BY-ADDR', '127.0.0.1', '6379', '1', evil],
        ['ACL', 'SETUSER', evil, 'on'],
        ['ACL', 'SETUSER', 'bob', `~${evil}`],
      ]) {
        await expect(sentinel.call(...words), words.join(' ')).rejects.toThrow(/^ERR /)
      }
      expect(textOf(await sentinel.call('SENTINEL', 'FLUSHCONFIG'))).toBe('OK')
      expect(sentinel.conf.split('\n').sort()).toEqual(before.split('\n').sort())
    },
    60_000,
  )

  server.test(
    'is counted and changes nothing when it cannot be so',
    async () => {
      const { sentinel, master, ignored } = await watched(1)
      const hello = (over: Readonly<Record<number, string>>): Promise<Frame> => {
        const words = ['127.0.0.1', '26379', PEER, '1', 'main', '127.0.0.1', '1', '1']
        return sentinel.call('PUBLISH', '__sentinel__:hello', words.map((word, at) => over[at] ?? word).join(','))
      }
      const ask = (port: number, epoch: string): Promise<Frame> =>
        sentinel.call('SENTINEL', 'IS-MASTER-DOWN-BY-ADDR', '127.0.0.1', String(port), epoch, PEER)
      for (const [reason, say, answer] of [
        ['unknown-master', () => hello({ 4: 'other' }), undefined],
        ['unknown-master', () => ask(1, '7'), NOTHING],
        ['impossible-epoch', () => hello({ 7: '2' }), undefined],
        ['impossible-epoch', () => hello({ 3: '-1' }), undefined],
        ['impossible-epoch', () => hello({ 3: '9007199254740991' }), undefined],
        ['impossible-epoch', () => ask(master.port, '-1'), NOTHING],
        ['impossible-epoch', () => ask(master.port, '9007199254740991'), NOTHING],
        ['malformed', () => hello({ 2: 'me' }), undefined],
        ['malformed', () => hello({ 0: '127.0.0.1\n+switch-master' }), undefined],
      ] as const) {
        const before = await ignored(reason)
        const frame = await say()
        if (answer !== undefined) expect(valuesOf(frame)).toEqual(answer)
        expect(await ignored(reason), `${say}`).toBe(before + 1)
      }
      const fields = await sentinel.master()
      expect([fields.get('config-epoch'), fields.get('num-other-sentinels')]).toEqual(['0', '0'])
      expect(await sentinel.masterPort()).toBe(master.port)
      expect(sentinel.log).not.toContain('+new-epoch')
      expect(sentinel.conf).toMatch(/^sentinel current-epoch 0$/m)
    },
    60_000,
  )
})
