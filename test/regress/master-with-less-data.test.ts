/** `lagrange up` once started the last master whatever it held, and everything the other nodes had was replaced by it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { DataDir, DataDirError } from '../../src/cli/data-dir.js'
import { chooseMaster, type Holding, holdingOf, readHolding } from '../../src/cli/holdings.js'
import { CommandEncoder } from '../../src/persistence/aof/encoder.js'
import { textOf } from '../../src/resp/protocol.js'
import { clientOf, lagrange, startProgram, startUp, temporaryFolder } from '../support/lagrange.js'
import { freePorts } from '../support/ports.js'
import { until } from '../support/redis-group.js'
import { snapshotBytes } from '../support/snapshot.js'

const history = 'a'.repeat(40)
const file = (port: number, offset: number, changes: Partial<Holding> = {}): Holding => ({
  port,
  alive: false,
  isMaster: false,
  replid: history,
  offset,
  past: [],
  at: 0,
  ...changes,
})
const alive = { alive: true, at: 1 }

describe('who is to be master', () => {
  test('the last master, while nobody holds more', () => {
    expect(chooseMaster([file(1, 10), file(2, 10), file(3, 10)], 2)?.port).toBe(2)
    expect(chooseMaster([file(1, 10), file(2, 11)], 2)?.port).toBe(2)
    expect(chooseMaster([], 2)).toBeUndefined()
  })

  test('whoever holds more of the same history', () => {
    expect(chooseMaster([file(1, 10), file(2, 9), file(3, 12)], 2)?.port).toBe(3)
    expect(chooseMaster([file(1, 10, alive), file(2, 12)], 2)?.port).toBe(2)
    expect(chooseMaster([file(1, 14, alive), file(2, 12)], 2)?.port).toBe(1)
    expect(chooseMaster([file(1, 12, alive), file(2, 12)], 2)?.port).toBe(1)
  })

  test('the later of two histories, and the living before any file', () => {
    const other = { replid: 'b'.repeat(40) }
    expect(chooseMaster([file(1, 5, { ...other, at: 2000 }), file(2, 900, { at: 1000 })], 2)?.port).toBe(1)
    expect(chooseMaster([file(1, 5, { ...other, at: 1000 }), file(2, 900, { at: 1000 })], 2)?.port).toBe(2)
    expect(chooseMaster([file(1, 5, { ...other, ...alive }), file(2, 900, { at: 9000 })], 2)?.port).toBe(1)
  })

  test('of two histories the one that came out of the other, however late the other was noted, and wherever', () => {
    const promoted = file(2, 1100, { replid: 'b'.repeat(40), past: [history], at: 1000 })
    expect(chooseMaster([file(1, 1105, { at: 2000 }), promoted], 2)?.port).toBe(2)
    expect(chooseMaster([file(1, 1105, alive), promoted], 2)?.port).toBe(2)
    expect(chooseMaster([file(1, 1105, { at: 2000 }), promoted], 3)?.port).toBe(2)
    // What nobody has made the master has no such right over the one that was.
    expect(chooseMaster([file(1, 1105, { at: 2000 }), promoted], 1)?.port).toBe(1)
  })

  test('who follows the last master, not an older one that lives on', () => {
    const later = { replid: 'b'.repeat(40), past: [history] }
    const group = [file(2, 1100, { ...later, at: 2000 }), file(3, 1100, { ...later, ...alive })]
    expect(chooseMaster([file(1, 1105, { ...alive, isMaster: true }), ...group], 2)?.port).toBe(3)
    expect(chooseMaster([file(1, 1105, alive), ...group], 2)?.port).toBe(3)
  })

  test('who acts as a master already', () => {
    const master = { ...alive, isMaster: true }
    expect(chooseMaster([file(1, 5, master), file(2, 9, alive)], 2)?.port).toBe(1)
    expect(chooseMaster([file(1, 9, master), file(2, 5, master)], 2)?.port).toBe(2)
  })

  test('a snapshot tells what it holds by its beginning; what is no snapshot tells nothing', () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdings-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    expect(readHolding(folder, 1)).toBeUndefined()
    const whole = snapshotBytes([], { now: 5000, replication: { replid: history, offset: 77, streamDb: 0 } })
    writeFileSync(join(folder, 'dump.rdb'), whole)
    expect(readHolding(folder, 1)).toEqual(file(1, 77, { at: 5000 }))
    writeFileSync(join(folder, 'dump.rdb'), 'not a snapshot')
    expect(readHolding(folder, 1)).toEqual(file(1, 0, { replid: undefined }))
  })

  test('an AOF tells it by its end', () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdings-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const aof = join(folder, 'appendonlydir')
    mkdirSync(aof)
    writeFileSync(
      join(folder, 'dump.rdb'),
      snapshotBytes([], { replication: { replid: history, offset: 5, streamDb: 0 } }),
    )
    writeFileSync(
      join(aof, 'base.rdb'),
      snapshotBytes([], { replication: { replid: history, offset: 77, streamDb: 0 } }),
    )
    writeFileSync(join(aof, 'incr.aof'), '')
    const manifest = 'file base.rdb seq 1 type b\nfile incr.aof seq 1 type i\n'
    writeFileSync(join(aof, 'appendonly.aof.manifest'), manifest)
    expect(readHolding(folder, 1)).toMatchObject({ replid: history, offset: 77 })
    const encoder = new CommandEncoder()
    const place = { replid: 'c'.repeat(40), offset: 90, streamDb: 0 }
    encoder.write([{ db: 0, args: ['SET', 'a', '1'] }])
    encoder.place(place)
    encoder.write([{ db: 0, args: ['SET', 'b', 'x'.repeat(50_000)] }])
    encoder.place({ ...place, offset: 50_100 })
    encoder.write([{ db: 0, args: ['SET', 'c', '1'] }])
    encoder.place({ ...place, offset: 50_140 })
    writeFileSync(join(aof, 'incr.aof'), encoder.take())
    expect(readHolding(folder, 1)).toMatchObject({ replid: place.replid, offset: 50_140, past: [history] })
  })

  test('an AOF without a command and without a history holds nothing, whatever else it notes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdings-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const aof = join(folder, 'appendonlydir')
    mkdirSync(aof)
    writeFileSync(join(aof, 'appendonly.aof.manifest'), 'file base.rdb seq 1 type b\nfile incr.aof seq 1 type i\n')
    writeFileSync(join(aof, 'base.rdb'), snapshotBytes([]))
    const encoder = new CommandEncoder()
    encoder.seal()
    writeFileSync(join(aof, 'incr.aof'), encoder.take())
    expect(readHolding(folder, 1)).toBeUndefined()
    encoder.write([{ db: 0, args: ['SET', 'a', '1'] }])
    writeFileSync(join(aof, 'incr.aof'), encoder.take())
    expect(readHolding(folder, 1)).toMatchObject({ offset: 0, replid: undefined })
  })

  test('a node that lives tells it by INFO; one that never had anything holds nothing', () => {
    const info = (offset: number): string => `role:slave\r\nslave_repl_offset:${offset}\r\nmaster_replid:${history}\r\n`
    expect(holdingOf(info(0), 1, 1)).toBeUndefined()
    expect(holdingOf(info(9), 1, 1)).toEqual(file(1, 9, alive))
    expect(holdingOf(`${info(0)}db0:keys=1,expires=0\r\n`, 1, 1)).toEqual(file(1, 0, alive))
    expect(holdingOf(`${info(0)}`.replace('slave', 'master') + 'db0:keys=1\r\n', 1, 1)?.isMaster).toBe(true)
    expect(holdingOf(`${info(0)}`.replace('slave', 'master') + 'fenced:1\r\ndb0:keys=1\r\n', 1, 1)?.isMaster).toBe(
      false,
    )
    const before = 'b'.repeat(40)
    expect(holdingOf(`${info(9)}master_replid2:${before}\r\n`, 1, 1)?.past).toEqual([before])
    expect(holdingOf(`${info(9)}master_replid2:${'0'.repeat(40)}\r\n`, 1, 1)?.past).toEqual([])
  })
})

describe('lagrange up, started again', () => {
  test("with the master's snapshot gone: nothing is lost", { timeout: 60_000 }, async () => {
    const up = await startUp({ replicas: 1 })
    await clientOf(up.port).call('SET', 'k', 'v')
    expect(await up.stop()).toBe(0)
    rmSync(join(up.dataDir, `node-${up.nodePorts[0]}`, 'appendonlydir'), { recursive: true })

    const again = await startUp({ replicas: 1, dataDir: up.dataDir, ports: up })
    expect(textOf(await clientOf(again.port).call('GET', 'k'))).toBe('v')
    for (const port of up.nodePorts) expect(textOf(await clientOf(port).call('GET', 'k'))).toBe('v')
    expect(again.output()).toContain('"because":"holds-more"')
  })

  test('with a node that began anew and was killed before it was given a copy: nothing is lost', {
    timeout: 60_000,
  }, async () => {
    const up = await startUp({ replicas: 1 })
    await clientOf(up.port).call('SET', 'k', 'v')
    expect(await up.stop()).toBe(0)
    const port = up.nodePorts[1] as number
    const folder = join(up.dataDir, `node-${port}`)
    rmSync(join(folder, 'appendonlydir'), { recursive: true })
    const node = await startProgram(['node', '--port', `${port}`, '--dir', folder, '--appendonly', 'yes'], port)
    await node.stop('SIGKILL')

    const again = await startUp({ replicas: 1, dataDir: up.dataDir, ports: up })
    expect(textOf(await clientOf(again.port).call('GET', 'k'))).toBe('v')
  })

  test('while a replica lives and the master is dead: the replica is the master', { timeout: 60_000 }, async () => {
    const up = await startUp({ replicas: 1 })
    await clientOf(up.port).call('SET', 'k', 'v')
    const [master, replica] = up.nodePorts.map(port => clientOf(port))
    await until('the replica has it', async () => textOf((await replica?.call('GET', 'k')) ?? { type: 'null' }) === 'v')
    const pid = Number(/process_id:(\d+)/.exec(textOf((await master?.call('INFO')) ?? { type: 'null' }) ?? '')?.[1])
    await up.stop('SIGKILL')
    process.kill(pid, 'SIGKILL')
    await sleep(50)

    const again = await startUp({ replicas: 1, dataDir: up.dataDir, ports: up })
    expect(again.output()).toContain('"because":"alive"')
    for (const port of up.nodePorts) expect(textOf(await clientOf(port).call('GET', 'k'))).toBe('v')
  })

  test('a port remembered from a dead node, where a stranger answers now: refused, the stranger untouched', async () => {
    const stranger = await startUp({ replicas: 0 })
    const port = stranger.nodePorts[0] as number
    await clientOf(port).call('SET', 'precious', '1')
    const dataDir = temporaryFolder()
    const gone = 2 ** 22 - 1
    writeFileSync(join(dataDir, 'group.json'), JSON.stringify({ masterPort: port - 1, pids: { [port]: gone } }))
    const { code, err } = await lagrange([
      'up',
      ...['--data-dir', dataDir, '--node-port', `${port}`, '--replicas', '0'],
      ...['--port', `${await freePorts(1)}`, '--admin-port', `${await freePorts(1)}`],
    ])
    expect(err).toMatch(/^lagrange: .*EADDRINUSE.*--node-port/)
    expect(code).toBe(1)
    expect(textOf(await clientOf(port).call('GET', 'precious'))).toBe('1')
  })
})

test('a lock with our own process id was left by a container that was killed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lock-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'lock'), `${process.pid}\n`)
  new DataDir(folder).release()
  writeFileSync(join(folder, 'lock'), `${process.ppid}\n`)
  expect(() => new DataDir(folder)).toThrow(DataDirError)
})
