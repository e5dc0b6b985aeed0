/**
 * The append-only file of a node: what it holds after stops, kills and rewrites, beside real servers and replicas.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Client } from '../../src/net/client.js'
import { plainShutdown } from '../../src/node/shutdown.js'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const redis = requireReal('redis-server')
const prlimit = requireReal('prlimit')
const withAof = ['--appendonly', 'yes', '--appendfsync', 'always', '--auto-aof-rewrite-percentage', '0']

async function call(server: TestServer, ...args: string[]): Promise<unknown> {
  return plain(await server.call(...args))
}

/** Something of every type, in two databases. */
async function fill(server: TestServer): Promise<void> {
  for (const line of [
    'SET text some value',
    'SETEX volatile 1000 v',
    'APPEND text _more',
    'RPUSH list a b c 1 2 3',
    'LPOP list',
    'SADD set a b c',
    'SADD numbers 1 2 3',
    'SPOP set',
    'HSET hash f v g w',
    'ZADD zset 1.5 a -inf b 3 c',
    'XADD stream 1-1 field value',
    'XADD stream 2-1 field value',
    'XGROUP CREATE stream group 0',
    'XREADGROUP GROUP group consumer COUNT 1 STREAMS stream >',
    'XDEL stream 2-1',
    'XADD empty 5-5 f v',
    'XTRIM empty MAXLEN 0',
    'SELECT 3',
    'SET other 1',
    'SELECT 0',
    'FUNCTION FLUSH',
  ]) {
    await server.call(...(line === 'SET text some value' ? ['SET', 'text', 'some value'] : line.split(' ')))
  }
  await server.call('EVAL', "redis.call('SET', 'by-script', '1'); redis.call('INCR', 'by-script')", '0')
  await server.call('FUNCTION', 'LOAD', "#!lua name=lib\nredis.register_function('f', function() return 7 end)")
}

const digest = (server: TestServer): Promise<unknown> => call(server, 'DEBUG', 'DIGEST')

async function rewritten(server: TestServer): Promise<void> {
  await until('no rewrite is running', async () => {
    const info = await infoOf(server, 'persistence')
    return info.aof_rewrite_in_progress === '0' && info.aof_rewrite_scheduled === '0'
  })
}

const folderOf = (server: { readonly dir: string }): string => join(server.dir, 'appendonlydir')

function manifestOf(server: { readonly dir: string }): string {
  return readFileSync(join(folderOf(server), 'appendonly.aof.manifest'), 'latin1')
}

function makeFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'lagrange-aof-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

describe('what was written is there after a restart', () => {
  for (const preamble of ['yes', 'no'] as const) {
    test(`and after rewrites (aof-use-rdb-preamble ${preamble})`, async () => {
      const args = [...withAof, '--aof-use-rdb-preamble', preamble]
      const first = await startNode({ args })
      await fill(first)
      const before = await digest(first)
      await first.call('BGREWRITEAOF')
      await rewritten(first)
      const format = preamble === 'yes' ? 'rdb' : 'aof'
      expect(manifestOf(first)).toBe(
        `file appendonly.aof.2.base.${format} seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n`,
      )
      expect(await call(first, 'DEBUG', 'LOADAOF')).toBe('OK')
      expect(await digest(first)).toBe(before)
      await first.call('INCR', 'by-script')
      const after = await digest(first)
      await first.stop()

      const second = await startNode({ dir: first.dir, args })
      expect(await digest(second)).toBe(after)
      expect(await call(second, 'FCALL', 'f', '0')).toBe(7)
      expect(await call(second, 'TTL', 'volatile')).toBeGreaterThan(0)
    })
  }

  redis.test('the real server goes on with our files, and we with its', async () => {
    const ours = await startNode({ args: [...withAof, '--aof-use-rdb-preamble', 'no'] })
    await fill(ours)
    await ours.call('BGREWRITEAOF')
    await rewritten(ours)
    await ours.call('MULTI')
    await ours.call('SET', 'a', '1')
    await ours.call('RPUSH', 'b', '2')
    await ours.call('EXEC')
    const first = await digest(ours)
    await ours.stop()

    const real = await startRedisServer(redis.path, { dir: ours.dir, args: withAof })
    expect(await digest(real)).toBe(first)
    await real.call('SET', 'from-redis', '1')
    await real.call('BGREWRITEAOF')
    await rewritten(real)
    await real.call('INCR', 'from-redis')
    const second = await digest(real)
    await real.stop()

    const again = await startNode({ dir: ours.dir, args: withAof })
    expect(await digest(again)).toBe(second)
    expect(await call(again, 'GET', 'from-redis')).toBe('2')
  })

  test('a rewrite while clients write loses nothing and doubles nothing', async () => {
    const node = await startNode({ args: withAof })
    await node.call('DEBUG', 'POPULATE', '20000', 'old', '64')
    const client = node.client()
    let sent = 0
    for (let round = 0; round < 3; round++) {
      await node.call('BGREWRITEAOF')
      // Old keys are changed and new ones born on both sides of the walk.
      for (let busy = true; busy; sent++) {
        await client.send(['APPEND', `old:${(sent * 7919) % 20_000}`, 'x'])
        await client.send(['INCR', `new:${sent % 50}`])
        busy = node.server.snapshots.rewriting
      }
    }
    const before = await digest(node)
    expect(await call(node, 'DEBUG', 'LOADAOF')).toBe('OK')
    expect(await digest(node)).toBe(before)
    expect(manifestOf(node)).toContain('appendonly.aof.4.base.rdb')
  })

  test('the file is rewritten by itself when it has grown', async () => {
    const node = await startNode({ args: ['--appendonly', 'yes', '--auto-aof-rewrite-min-size', '4kb'] })
    for (let index = 0; index < 200; index++) await node.call('SET', 'the same key', 'x'.repeat(100))
    await until('it is written anew', async () => Number((await infoOf(node, 'persistence')).aof_rewrites) > 0)
    expect(manifestOf(node)).not.toContain('appendonly.aof.1.base')
    expect(await call(node, 'GET', 'the same key')).toBe('x'.repeat(100))
  })

  test('one file of an older server is taken over', async () => {
    const dir = makeFolder()
    writeFileSync(join(dir, 'appendonly.aof'), '*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n')
    const node = await startNode({ dir, args: withAof })
    expect(await call(node, 'GET', 'a')).toBe('1')
    expect(existsSync(join(dir, 'appendonly.aof'))).toBe(false)
    expect(manifestOf(node)).toBe('file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n')
  })

  test('a snapshot is adopted when there is no AOF yet, if it is asked for', async () => {
    const first = await startNode()
    await first.call('SET', 'a', '1')
    await first.call('SAVE')
    await first.stop()
    const second = await startNode({ dir: first.dir, args: ['--appendonly', 'yes', '--aof-adopt-rdb', 'yes'] })
    expect(await call(second, 'GET', 'a')).toBe('1')
    await second.stop()
    rmSync(join(first.dir, 'dump.rdb'))
    const third = await startNode({ dir: first.dir, args: ['--appendonly', 'yes'] })
    expect(await call(third, 'GET', 'a')).toBe('1')
  })
})

describe('while it runs', () => {
  test('no reply leaves before what it acknowledges is in the file', async () => {
    const node = await startNode({ args: withAof })
    const file = join(folderOf(node), 'appendonly.aof.1.incr.aof')
    const client = node.client()
    for (let index = 0; index < 50; index++) {
      await client.send(['SET', 'key', `value-${index}`])
      expect(readFileSync(file, 'latin1')).toContain(`value-${index}`)
    }
    // A reply that is too big to wait for the end of the turn takes the write before it along.
    void client.send(['SET', 'big', 'x'.repeat(3_000_000)])
    void client.send(['SET', 'small', 'before-the-big-reply'])
    await client.send(['GET', 'big'])
    expect(readFileSync(file, 'latin1')).toContain('before-the-big-reply')
  })

  test('it is turned on and off, and the files are those of the data when it was on last', async () => {
    const node = await startNode()
    await node.call('SET', 'a', '1')
    expect(await call(node, 'CONFIG', 'SET', 'appendonly', 'yes')).toBe('OK')
    await node.call('SET', 'b', '1')
    await rewritten(node)
    await node.call('SET', 'c', '1')
    expect(manifestOf(node)).toBe(
      'file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n',
    )
    expect(await call(node, 'CONFIG', 'SET', 'appendonly', 'no')).toBe('OK')
    await node.call('SET', 'd', '1')
    await node.call('DEBUG', 'LOADAOF')
    expect(await call(node, 'MGET', 'a', 'b', 'c', 'd')).toEqual(['1', '1', '1', null])
    expect((await infoOf(node, 'persistence')).aof_enabled).toBe('0')
  })

  test('a stop is refused while there is no base yet', async () => {
    const node = await startNode()
    await node.call('SET', 'a', '1')
    await node.call('CONFIG', 'SET', 'rdb-key-save-delay', '100000000')
    await node.call('CONFIG', 'SET', 'appendonly', 'yes')
    expect(await call(node, 'SHUTDOWN')).toBe('-ERR Errors trying to SHUTDOWN. Check logs.')
    expect(node.log()).toContain("Writing initial AOF, can't exit")
    await node.call('CONFIG', 'SET', 'rdb-key-save-delay', '0')
    await rewritten(node)
    expect(readdirSync(folderOf(node)).sort()).toEqual([
      'appendonly.aof.1.base.rdb',
      'appendonly.aof.1.incr.aof',
      'appendonly.aof.manifest',
    ])
  })

  test('a stop by a signal waits for the first base', async () => {
    const node = await startNode()
    await node.call('SET', 'a', '1')
    await node.call('CONFIG', 'SET', 'rdb-key-save-delay', '100000000')
    await node.call('CONFIG', 'SET', 'appendonly', 'yes')
    node.server.shutdown.request(plainShutdown)
    await until('it was refused', () => node.log().includes("Writing initial AOF, can't exit"))
    await node.call('CONFIG', 'SET', 'rdb-key-save-delay', '0')
    expect(await node.server.stopped).toBe(0)
    const again = await startNode({ dir: node.dir, args: withAof })
    expect(await call(again, 'GET', 'a')).toBe('1')
  })

  test('what a script keeps from the file, or from replicas, stays there', async () => {
    const node = await startNode({ args: withAof })
    await node.call('EVAL', "redis.set_repl(redis.REPL_SLAVE); redis.call('SET', 'a', '1')", '0')
    await node.call('EVAL', "redis.set_repl(redis.REPL_AOF); redis.call('SET', 'b', '1')", '0')
    await node.call('DEBUG', 'LOADAOF')
    expect(await call(node, 'MGET', 'a', 'b')).toEqual([null, '1'])
  })
})

describe('a tail that was torn off', () => {
  async function torn(): Promise<{ readonly dir: string; readonly file: string; readonly bytes: number }> {
    const node = await startNode({ args: withAof })
    await node.call('SET', 'a', '1')
    await node.call('MULTI')
    await node.call('SET', 'b', '1')
    await node.call('SET', 'c', '1')
    await node.call('EXEC')
    await node.stop()
    const file = join(folderOf(node), 'appendonly.aof.1.incr.aof')
    const bytes = readFileSync(file).length
    truncateSync(file, bytes - 3)
    return { dir: node.dir, file, bytes }
  }

  test('is cut behind the last whole transaction', async () => {
    const { dir, file, bytes } = await torn()
    const node = await startNode({ dir, args: withAof })
    expect(await call(node, 'MGET', 'a', 'b', 'c')).toEqual(['1', null, null])
    expect(readFileSync(file).length).toBeLessThan(bytes - 60)
    await node.call('SET', 'd', '1')
    await node.stop()
    const again = await startNode({ dir, args: [...withAof, '--aof-load-truncated', 'no'] })
    expect(await call(again, 'MGET', 'a', 'd')).toEqual(['1', '1'])
  })

  test('is refused with aof-load-truncated no, and the file is left as it is', async () => {
    const { dir, file, bytes } = await torn()
    await expect(startNode({ dir, args: [...withAof, '--aof-load-truncated', 'no'] })).rejects.toThrow(
      'Unexpected end of file reading the append only file appendonly.aof.1.incr.aof',
    )
    expect(readFileSync(file).length).toBe(bytes - 3)
  })

  test('damage in the middle is refused with its place', async () => {
    const { dir, file } = await torn()
    appendFileSync(file, '!!!')
    await expect(startNode({ dir, args: withAof })).rejects.toThrow(
      /Bad file format .*appendonly.aof.1.incr.aof.*offset/,
    )
  })

  test('a file of the manifest that is missing is refused by its name', async () => {
    const { dir } = await torn()
    rmSync(join(dir, 'appendonlydir', 'appendonly.aof.1.base.rdb'))
    await expect(startNode({ dir, args: withAof })).rejects.toThrow(/appendonly.aof.1.base.rdb.*No such file/)
  })
})

describe('with replicas', () => {
  test('a replica keeps one too, begins it anew after a full copy, and resumes from it', async () => {
    const master = await startNode({ args: ['--repl-ping-replica-period', '1'] })
    await master.call('SET', 'a', '1')
    const args = [...withAof, '--replicaof', `127.0.0.1 ${master.port}`]
    const replica = await startNode({ args })
    const linked = (server: TestServer) => async () => (await infoOf(server)).master_link_status === 'up'
    await until('the replica is linked', linked(replica))
    await until('its AOF has a base', async () => (await infoOf(replica)).aof_rewrites === '1')
    await master.call('MULTI')
    await master.call('SET', 'b', '1')
    await master.call('INCR', 'b')
    await master.call('EXEC')
    await master.call('SPOP', 'nothing')
    await until('it has all', async () => (await call(replica, 'GET', 'b')) === '2')
    const before = await digest(replica)
    await replica.stop()
    await master.call('SET', 'c', 'meanwhile')
    expect((await infoOf(master)).sync_full).toBe('1')

    const again = await startNode({ dir: replica.dir, args })
    await until('it is linked again', linked(again))
    await until('it has what it missed', async () => (await call(again, 'GET', 'c')) === 'meanwhile')
    expect(await infoOf(master)).toMatchObject({ sync_full: '1', sync_partial_ok: '1' })
    await master.call('DEL', 'c')
    await until('it is as before', async () => (await digest(again)) === before)
    expect(await digest(master)).toBe(before)
    await again.call('DEBUG', 'LOADAOF')
    expect(await digest(again)).toBe(before)
  })

  test('a master that returns with its AOF is followed on where its replica stands', async () => {
    const master = await startNode({ args: [...withAof, '--repl-ping-replica-period', '1'] })
    const { port } = master
    const replica = await startNode({ args: ['--replicaof', `127.0.0.1 ${port}`] })
    await until('linked', async () => (await infoOf(replica)).master_link_status === 'up')
    await master.call('SET', 'a', '1')
    await until('it has all', async () => (await call(replica, 'GET', 'a')) === '1')
    await master.stop()
    await until('the link is down', async () => (await infoOf(replica)).master_link_status === 'down')
    const offset = (await infoOf(replica)).slave_repl_offset

    const again = await startNode({ dir: master.dir, port, args: withAof })
    expect((await infoOf(again)).master_repl_offset).toBe(offset)
    await until('linked again', async () => (await infoOf(replica)).master_link_status === 'up')
    expect(await infoOf(again)).toMatchObject({ sync_full: '0', sync_partial_ok: '1' })
  })
})

prlimit.test(
  'a full disk: writes are refused, nothing that was acknowledged is lost, and it goes on by itself',
  async () => {
    const dir = makeFolder()
    mkdirSync(join(dir, 'data'))
    const port = await freePort()
    const args = `node --port ${port} --bind 127.0.0.1 --dir ${dir}/data --save "" --appendonly yes`
    const shell = `ulimit -S -f 64; exec "${process.execPath}" "${main}" ${args}`
    const child = spawn('bash', ['-c', shell], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    let out = ''
    child.stdout.on('data', chunk => {
      out += chunk
    })
    await until('the node is ready', () => out.includes('Ready to accept'))
    const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 20_000 })
    onTestFinished(() => client.close())

    let acknowledged = 0
    let refusal: unknown
    for (let index = 0; refusal === undefined && index < 1000; index++) {
      const reply = plain(await client.send(['SET', `key:${index}`, 'x'.repeat(500)]))
      if (reply === 'OK') acknowledged++
      else refusal = reply
    }
    expect(refusal).toMatch(/^-MISCONF Errors writing to the AOF file: File too large/)
    expect(acknowledged).toBeGreaterThan(50)
    expect(plain(await client.send(['GET', 'key:0']))).toBe('x'.repeat(500))

    const raise = spawn('prlimit', ['--pid', String(child.pid), '--fsize=unlimited:unlimited'], { stdio: 'ignore' })
    await once(raise, 'exit')
    await until('it writes again', async () => plain(await client.send(['SET', 'after', '1'])) === 'OK')
    child.kill('SIGKILL')
    await once(child, 'exit')

    const again = await startNode({ dir: join(dir, 'data'), args: withAof })
    expect(await call(again, 'DBSIZE')).toBe(acknowledged + 1)
  },
)
