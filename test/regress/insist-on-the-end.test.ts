/**
 * The final snapshot was written in one go: a second SIGINT was not heard until it was complete, however long that took. And
 * a node that could not save, and therefore did not stop, ended without saving at the next SIGINT, whenever that came.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { clientOf } from '../support/lagrange.js'
import { ownNode } from '../support/own-node.js'
import { freePort } from '../support/ports.js'
import { until } from '../support/redis-group.js'
import { plain, startNode } from '../support/servers.js'

interface Started {
  readonly child: ChildProcess
  readonly dir: string
  readonly port: number
  readonly said: () => string
}

async function startProcess(...directives: string[]): Promise<Started> {
  const dir = mkdtempSync(join(tmpdir(), 'lagrange-insist-'))
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '900 1', ...directives]
  const child = spawn(ownNode(), args, { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })
  let output = ''
  child.stdout.on('data', text => (output += text))
  await until('it is ready', () => output.includes('Ready to accept'))
  return { child, dir, port, said: () => output }
}

const temps = (dir: string): string[] => readdirSync(dir).filter(name => name.startsWith('temp-'))

test('who insists does not wait for the final snapshot, and nothing half written is left', async () => {
  const { child, dir, port } = await startProcess('--rdb-key-save-delay', '100000000')
  await clientOf(port).call('SET', 'a', '1')
  const exited = once(child, 'exit')
  child.kill('SIGINT')
  await until('it saves', () => temps(dir).length > 0)
  child.kill('SIGINT')
  expect(await exited).toEqual([1, null])
  expect(readdirSync(dir)).toEqual([])
})

test('a stop that was given up is over: asking again is not insisting', async () => {
  const { child, dir, port, said } = await startProcess()
  await clientOf(port).call('SET', 'a', '1')
  // A file cannot take the place of a folder.
  const inTheWay = join(dir, 'dump.rdb')
  mkdirSync(join(inTheWay, 'folder'), { recursive: true })
  const failures = (): number => said().split('Errors trying to shut down').length - 1
  const exited = once(child, 'exit')
  for (const round of [1, 2]) {
    child.kill('SIGINT')
    await until('it has tried', () => failures() === round)
    expect(plain(await clientOf(port).call('GET', 'a'))).toBe('1')
  }
  expect(temps(dir)).toEqual([])
  rmSync(inTheWay, { recursive: true })
  child.kill('SIGINT')
  expect(await exited).toEqual([0, null])
  expect(readdirSync(dir)).toEqual(['dump.rdb'])
})

test('nobody is served while the final snapshot is written, and everybody after it has failed', async () => {
  const node = await startNode()
  await node.call('SET', 'a', '1')
  await node.call('CONFIG', 'SET', 'rdb-key-save-delay', '100000000')
  mkdirSync(join(node.dir, 'dump.rdb', 'folder'), { recursive: true })
  node.server.shutdown.begin({ save: true, now: false, force: false })
  await until('it saves', () => temps(node.dir).length > 0)
  const order: string[] = []
  const late = node.call('SET', 'a', '2').then(reply => {
    order.push('answered')
    return reply
  })
  await until('the write waits', () => node.server.pause.count === 1)
  order.push('saved')
  node.server.config.put('rdb-key-save-delay', '0')
  expect(plain(await late)).toBe('OK')
  expect(order).toEqual(['saved', 'answered'])
  expect(plain(await node.call('GET', 'a'))).toBe('2')
  rmSync(join(node.dir, 'dump.rdb'), { recursive: true })
})
