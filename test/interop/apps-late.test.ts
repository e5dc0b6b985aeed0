/**
 * Applications in four languages, unchanged and each in a process of its own, through the proxy in front of redis-server with
 * replicas 60 ms behind: what they write on one connection they read on another. They are in test/apps: what npm brings by its
 * lock file, what Debian brings by `.ci/run`.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { startLateGroup } from '../support/late-group.js'
import { requireReal } from '../support/real.js'
import { startRedisServer } from '../support/servers.js'

const folder = fileURLToPath(new URL('../apps/', import.meta.url))
const DELAY_MS = 60
// Debian's own, whatever else is on the path.
const PYTHON = '/usr/bin/python3'

interface App {
  readonly title: string
  readonly command: readonly string[]
  /** Says by its exit code whether it is installed. */
  readonly probe: readonly string[]
  readonly from: string
}

const npm = { probe: ['test', '-d', `${folder}node_modules`], from: 'npm ci --prefix test/apps' }
const python = (module: string): Pick<App, 'probe' | 'from'> => {
  return { probe: [PYTHON, '-c', `import ${module}`], from: `python3-${module} of Debian` }
}
const apps: readonly App[] = [
  { title: 'express-session with connect-redis', command: ['node', 'express-session.mjs'], ...npm },
  { title: 'socket.io, joined by pub/sub', command: ['node', 'socket-io.mjs', 'PORT', 'redis'], ...npm },
  { title: 'socket.io, joined by a stream', command: ['node', 'socket-io.mjs', 'PORT', 'streams'], ...npm },
  { title: 'redlock', command: ['node', 'redlock.mjs'], ...npm },
  { title: 'bee-queue', command: ['node', 'bee-queue.mjs'], ...npm },
  { title: 'bull', command: ['node', 'bull.mjs'], ...npm },
  { title: 'keyv', command: ['node', 'keyv.mjs'], ...npm },
  { title: 'redis-py', command: [PYTHON, 'redis_py.py'], ...python('redis') },
  { title: 'rq', command: [PYTHON, 'rq_jobs.py'], ...python('rq') },
  { title: 'celery', command: [PYTHON, 'celery_tasks.py'], ...python('celery') },
  {
    title: 'phpredis',
    command: ['php', 'php_redis.php', 'PORT', 'phpredis'],
    probe: ['php', '-r', 'exit(extension_loaded("redis") ? 0 : 1);'],
    from: 'php-redis of Debian',
  },
  {
    title: 'Predis',
    command: ['php', 'php_redis.php', 'PORT', 'predis'],
    probe: ['php', '-r', 'exit(@include("Predis/Autoloader.php") ? 0 : 1);'],
    from: 'php-nrk-predis of Debian',
  },
  {
    title: 'sidekiq',
    command: ['ruby', 'sidekiq_jobs.rb'],
    probe: ['ruby', '-e', 'require "sidekiq"'],
    from: 'ruby-sidekiq of Debian',
  },
]

const redis = requireReal('redis-server')

redis.describe(`through the proxy, with replicas ${DELAY_MS} ms behind`, () => {
  describe.each(apps)('$title', app => {
    const installed = isInstalled(app)
    if (!installed) process.stderr.write(`SKIPPED: ${app.title}: ${app.from} is not installed\n`)
    const required = process.env.LAGRANGE_REQUIRE_REAL === '1'
    test.skipIf(!installed && !required)('does its work', { timeout: 90_000 }, async () => {
      expect(installed, `${app.from} is required`).toBe(true)
      const proxy = await startLateGroup(options => startRedisServer(redis.path, options), DELAY_MS)
      const { code, output } = await run(app, proxy.port)
      expect(output).toMatch(/^done$/m)
      expect(code).toBe(0)
    })
  })
})

function isInstalled({ probe }: App): boolean {
  const [program = '', ...args] = probe
  return existsSync(folder) && spawnSync(program, args, { stdio: 'ignore' }).status === 0
}

function run({ command }: App, port: number): Promise<{ readonly code: number | null; readonly output: string }> {
  const [program = '', script = '', ...rest] = command
  const args = rest.length === 0 ? [String(port)] : rest.map(word => (word === 'PORT' ? String(port) : word))
  const child = spawn(program, [script, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', chunk => (output += chunk))
  child.stderr.on('data', chunk => (output += chunk))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve({ code, output }))
  })
}
