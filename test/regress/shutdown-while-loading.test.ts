/** SHUTDOWN while the snapshot was being loaded saved what there was so far, which was nothing, over it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/base/clock.js'
import { loadConfig } from '../../src/node/config/load.js'
import { NodeLog } from '../../src/node/log.js'
import { NodeServer } from '../../src/node/server.js'
import { plainShutdown } from '../../src/node/shutdown.js'
import { ownNode } from '../support/own-node.js'
import { freePort } from '../support/ports.js'
import { until } from '../support/redis-group.js'
import { startNode } from '../support/servers.js'

test('a file that is being loaded is not saved over', async () => {
  const first = await startNode()
  await first.call('DEBUG', 'POPULATE', '1000')
  await first.call('SAVE')
  await first.stop()
  const file = join(first.dir, 'dump.rdb')
  const before = readFileSync(file)

  const args = [
    '--port',
    String(await freePort()),
    '--bind',
    '127.0.0.1',
    '--save',
    '900 1',
    '--key-load-delay',
    '1000',
  ]
  let said = ''
  const log = new NodeLog(line => (said += line), systemClock.wall)
  const server = new NodeServer(systemClock, log, loadConfig(args, first.dir), first.dir)
  const started = server.start()
  await until('it loads', () => said.includes('Loading RDB'))
  expect(server.loading).toBe(true)
  server.shutdown.begin(plainShutdown)
  expect(await server.stopped).toBe(0)
  await started
  expect(readFileSync(file).equals(before)).toBe(true)
})

test('a signal that comes while it loads ends it as at any time', async () => {
  const first = await startNode()
  await first.call('DEBUG', 'POPULATE', '100')
  await first.call('SAVE')
  await first.stop()
  const args = ['--port', String(await freePort()), '--bind', '127.0.0.1', '--dir', first.dir]
  const child = spawn(ownNode(), [...args, '--key-load-delay', '1000000'], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  let said = ''
  child.stdout.on('data', text => (said += text))
  await until('it loads', () => said.includes('Loading RDB'))
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
})
