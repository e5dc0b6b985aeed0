/**
 * Taps on redis-server and on our node: what has come through one has been applied, and the instance does not notice more
 * than a reader. Each thing a tap must not do to it is tried.
 */
import { describe, expect, onTestFinished, test } from 'vitest'
import { EventBus } from '../../src/base/bus.js'
import { systemClock } from '../../src/base/clock.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Observer } from '../../src/observer/observer.js'
import { StreamTap, type StreamTapOptions } from '../../src/observer/tap.js'
import { itemsOf, numberOf, textOf } from '../../src/resp/protocol.js'
import type { StreamStart, TapPause } from '../../src/topology/tap.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, type ServerOptions, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

type Kind = TestServer['kind']

function start(kind: Kind, ...args: string[]): Promise<TestServer> {
  const options: ServerOptions = { args }
  return kind === 'ours' ? startNode(options) : startRedisServer(redis.path, options)
}

interface Tapped {
  readonly stream: StreamTap
  readonly starts: StreamStart[]
  readonly rests: TapPause[]
  bytes: string
}

function tap(server: TestServer, options: Partial<StreamTapOptions>): Tapped {
  const tapped: { -readonly [Name in keyof Tapped]: Tapped[Name] } = {
    stream: undefined as unknown as StreamTap,
    starts: [],
    rests: [],
    bytes: '',
  }
  tapped.stream = new StreamTap(
    systemClock,
    { host: '127.0.0.1', port: server.port },
    { target: 'replica', credentials: {}, announce: undefined, resume: undefined, ...options },
    {
      onStart: start => tapped.starts.push(start),
      onBytes: chunk => {
        tapped.bytes += chunk.toString('latin1')
      },
      onRest: because => tapped.rests.push(because),
    },
  )
  onTestFinished(() => tapped.stream.stop())
  return tapped
}

async function group(kind: Kind, ...args: string[]): Promise<{ master: TestServer; replica: TestServer }> {
  const [master, replica] = await Promise.all([start(kind, ...args), start(kind, ...args)])
  await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
  await until('the link is up', async () => (await infoOf(replica, 'replication')).master_link_status === 'up')
  // A master streams only after the first acknowledgement.
  await master.call('SET', 'streaming', 'yes')
  await until('the stream flows', async () => textOf(await replica.call('GET', 'streaming')) === 'yes')
  return { master, replica }
}

async function offsetOf(server: TestServer): Promise<number> {
  return Number((await infoOf(server, 'replication')).master_repl_offset)
}

const streaming = (tapped: Tapped) => until('it streams', () => tapped.stream.streaming)

redis.describe('a tap', () => {
  for (const kind of ['redis', 'ours'] as const) {
    describe(`on ${kind === 'ours' ? 'our node' : 'redis-server'}`, () => {
      test('is told what a replica has applied, in the bytes of the stream, and causes no full resync', async () => {
        const { master, replica } = await group(kind)
        const tapped = tap(replica, {})
        await streaming(tapped)
        const before = await infoOf(master)
        await master.call('SET', 'a', 'one')
        await until('it has come', () => tapped.bytes.includes('one'))
        // What has come has been applied: nothing is waited for here.
        expect(textOf(await replica.call('GET', 'a'))).toBe('one')
        for (let index = 0; index < 500; index++) await master.call('SET', `k${index}`, 'v'.repeat(index))
        const offset = await offsetOf(master)
        await until('it is as far as the master', () => tapped.stream.offset >= offset)
        expect(tapped.stream.replid).toBe(before.master_replid)
        expect(tapped.starts).toHaveLength(1)
        for (const server of [master, replica]) {
          expect(await infoOf(server)).toMatchObject({ sync_full: server === master ? '1' : '0' })
        }
      })

      test('leaves a master alone that has no backlog, or counts its replicas', async () => {
        const master = await start(kind)
        const { master_replid: replid } = await infoOf(master, 'replication')
        const tapped = tap(master, { target: 'master' })
        await until('it has looked', () => tapped.rests.includes('no-backlog'))
        expect(await infoOf(master)).toMatchObject({ master_replid: replid, sync_full: '0', connected_slaves: '0' })

        const pair = await group(kind)
        await pair.master.call('CONFIG', 'SET', 'min-replicas-to-write', '1')
        const strict = tap(pair.master, { target: 'master' })
        await until('it has looked', () => strict.rests.includes('min-replicas'))
        expect((await infoOf(pair.master)).connected_slaves).toBe('1')
        await pair.master.call('CONFIG', 'SET', 'min-replicas-to-write', '0')
        await streaming(strict)
        await pair.master.call('CONFIG', 'SET', 'min-replicas-to-write', '1')
        await until('it goes', () => !strict.stream.streaming)
        await until('nobody is counted for it', async () => (await infoOf(pair.master)).connected_slaves === '1')
      })

      test('satisfies no WAIT, and outlives repl-timeout', async () => {
        const { master, replica } = await group(kind)
        await master.call('CONFIG', 'SET', 'repl-ping-replica-period', '1')
        await master.call('CONFIG', 'SET', 'repl-timeout', '2')
        const tapped = tap(master, { target: 'master', announce: async () => 1234 })
        await streaming(tapped)
        await master.call('SET', 'a', '1')
        await replica.call('REPLICAOF', 'NO', 'ONE')
        await until('the replica is gone', async () => (await infoOf(master)).connected_slaves === '1')
        await master.call('SET', 'a', '2')
        expect(numberOf(await master.call('WAIT', '1', '100'))).toBe(0)
        expect((await infoOf(master)).slave0).toContain('port=1234')
        // It takes seconds, and is redis-server's rule that we follow.
        if (kind === 'ours') return
        const { offset } = tapped.stream
        // PINGs of the stream go on coming long after a silent replica would have been dropped.
        await until('the timeout has passed', () => tapped.stream.offset >= offset + 4 * 14)
        expect(tapped.starts).toHaveLength(1)
      }, 20_000)

      test('comes back where it was when it was cut off, and follows an instance into its next history', async () => {
        const { master, replica } = await group(kind)
        let had: StreamStart | undefined
        const onMaster = tap(master, { target: 'master', resume: () => had })
        const onReplica = tap(replica, {})
        await streaming(onMaster)
        await streaming(onReplica)
        await master.call('SET', 'a', '1')
        await until('it has come', () => onMaster.bytes.endsWith('1\r\n') && onReplica.bytes.endsWith('1\r\n'))
        had = onMaster.stream.position
        await master.call('CLIENT', 'KILL', 'TYPE', 'replica')
        await until('it was cut off', () => onMaster.rests.includes('lost'))
        await master.call('SET', 'b', 'while nobody looked')
        await until('it has come', () => onMaster.bytes.includes('while nobody looked'))
        expect(onMaster.starts[1]).toEqual(had)

        await until('the link is up', async () => (await infoOf(replica, 'replication')).master_link_status === 'up')
        await streaming(onReplica)
        await replica.call('REPLICAOF', 'NO', 'ONE')
        await until('it is a master, and no replica to be tapped', () => onReplica.rests.includes('other-role'))
        await master.call('REPLICAOF', '127.0.0.1', String(replica.port))
        await until('the old master is not tapped as one', () => onMaster.rests.includes('other-role'))
        const follows = tap(master, {})
        await streaming(follows)
        expect(follows.stream.replid).toBe((await infoOf(replica, 'replication')).master_replid)
        expect((await infoOf(replica)).sync_full).toBe('0')
      })

      test('does not keep an instance from ending that waits for its replicas', async () => {
        const { master, replica } = await group(kind, '--shutdown-timeout', '600')
        const tapped = tap(replica, {})
        await streaming(tapped)
        const writer = master.client()
        let writes = true
        const writing = (async () => {
          while (writes) await writer.call('SET', 'a', 'x'.repeat(100))
        })()
        const ended = replica.call('SHUTDOWN').catch(() => undefined)
        await until('it goes', () => tapped.rests.length > 0)
        await ended
        writes = false
        await writing
        expect(tapped.rests[0]).toMatch(/shutting-down|lost/)
      })
    })
  }

  test('is refused by an ACL, and then ROLE is asked as ever; metrics say which', async () => {
    const { master, replica } = await group('redis')
    for (const server of [master, replica]) {
      await server.call('ACL', 'SETUSER', 'reader', 'on', 'nopass', '~*', '&*', '+@all', '-psync', '-sync')
    }
    for (const [username, source] of [
      ['reader', 'poll'],
      ['default', 'tap'],
    ] as const) {
      const metrics = new MetricStore()
      const naps: number[] = []
      const observer = new Observer(systemClock, new EventBus(() => Date.now()), metrics, {
        group: 'main',
        seeds: [{ host: '127.0.0.1', port: master.port }],
        credentials: { username, password: 'any' },
        taps: true,
        nap: length => naps.push(length),
      })
      onTestFinished(() => observer.stop())
      const applied = new Map<string, number>()
      observer.onFreshness(update => {
        for (const { id, offset } of update.samples) applied.set(id, offset)
      })
      observer.start()
      const id = `127.0.0.1:${replica.port}`
      const because = source === 'poll' ? 'refused' : undefined
      await until('it is known', () => {
        const found = observer.freshnessOf(id)
        return found.source === source && found.because === because
      })
      await master.call('SET', 'a', username)
      const offset = await offsetOf(master)
      await until('the replica is known to have it', () => (applied.get(id) ?? 0) >= offset)
      await until('it naps when it has told something', () => naps.length > 0)
      // Never longer than until it may tell the next.
      expect(Math.max(...naps)).toBeLessThan(1)
      const series = metrics.snapshot().filter(one => one.name === 'lagrange_freshness_source')
      expect(Object.fromEntries(series.map(one => [one.labels.source, one.value]))).toEqual(
        source === 'poll' ? { poll: 1, tap: 0 } : { poll: 0, tap: 1 },
      )
      observer.stop()
    }
    expect(itemsOf(await master.call('ROLE'))).toHaveLength(3)
  })
})
