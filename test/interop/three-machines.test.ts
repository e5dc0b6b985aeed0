/**
 * config/three-machines as it stands: three machines with an instance and a sentinel each, two proxies. The machine that has
 * the master is cut off, with its sentinel and its proxy: it promotes nobody and soon acknowledges nothing, the others go
 * on with a new master, and when it is back everybody uses that one.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { itemsOf, textOf } from '../../src/resp/protocol.js'
import type { Append } from '../support/history-writer.js'
import { main, temporaryFolder } from '../support/lagrange.js'
import { Machines, testWithMachines } from '../support/machines.js'
import { findProgram } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { Program, Sentinel } from '../support/sentinel-world.js'
import { root } from '../support/source.js'

const example = join(root, 'config/three-machines')
const writerFile = fileURLToPath(new URL('../support/history-writer.ts', import.meta.url))
const LIMIT_MS = 60_000

function history({ output }: Program): Append[] {
  const lines = output.slice(0, output.lastIndexOf('\n')).split('\n')
  return lines.filter(line => line.startsWith('{')).map(line => JSON.parse(line) as Append)
}

testWithMachines(
  'a minority that is cut off with the master promotes nobody, and one master acknowledges at a time',
  async () => {
    const folder = temporaryFolder()
    const machines = new Machines(3)
    const proxies: Program[] = []
    onTestFinished(async () => {
      machines.heal()
      // Asked to stop, a proxy takes its workers with it.
      await Promise.all(proxies.map(proxy => proxy.end('SIGTERM')))
      await machines.stop()
    })
    const servers: Program[] = []
    const sentinels: Sentinel[] = []
    for (const [index, letter] of ['a', 'b', 'c'].entries()) {
      const machine = index + 1
      const dir = join(folder, letter)
      mkdirSync(dir)
      const lines = [
        `bind ${Machines.address(machine)}`,
        `dir ${dir}`,
        `unixsocket ${dir}/server.sock`,
        'protected-mode no',
        'save ""',
        'repl-diskless-sync-delay 0',
        'min-replicas-to-write 1',
        'min-replicas-max-lag 1',
        ...(machine === 1 ? [] : [`replicaof ${Machines.address(1)} 6379`]),
      ]
      writeFileSync(join(dir, 'server.conf'), `${lines.join('\n')}\n`)
      const node = findProgram('redis-server') === undefined ? [process.execPath, main, 'node'] : ['redis-server']
      servers.push(new Program(machines, machine, [...node, `${dir}/server.conf`], `${dir}/server.sock`))
      copyFileSync(join(example, `${letter}.sentinel.conf`), join(dir, 'sentinel.conf'))
      const sentinel = [process.execPath, main, 'sentinel', `${dir}/sentinel.conf`, '--dir', dir]
      const socket = `${dir}/sentinel.sock`
      sentinels.push(new Sentinel('ours', machines, machine, [...sentinel, '--unixsocket', socket], socket))
      if (machine === 3) continue
      const env = { ...process.env, TMPDIR: dir }
      const proxy = [process.execPath, main, 'proxy', '-c', join(example, 'proxy.yaml')]
      proxies.push(new Program(machines, machine, proxy, undefined, { cwd: dir, env }))
    }
    for (const program of [...servers, ...sentinels]) program.start()
    await Promise.all([...servers, ...sentinels].map(program => program.ready()))
    await until(
      'the sentinels know each other',
      async () => {
        const all = await Promise.all(sentinels.map(sentinel => sentinel.fields()))
        return all.every(fields => fields.get('num-other-sentinels') === '2' && fields.get('num-slaves') === '2')
      },
      LIMIT_MS,
    )
    const writers = [1, 2].map(machine => {
      const command = [process.execPath, '--import', 'tsx', writerFile, '127.0.0.1:6400', `list:${machine}`]
      return new Program(machines, machine, command, undefined)
    })
    for (const program of [...proxies, ...writers]) program.start()
    const [apart, others] = writers as [Program, Program]
    const writes = (writer: Program, since: number): boolean =>
      history(writer).some(({ ok, from }) => ok && from > since)
    await until('both write', () => writes(apart, 0) && writes(others, 0), LIMIT_MS)

    const [alone, ...majority] = sentinels as [Sentinel, Sentinel, Sentinel]
    const before = (await alone.view())?.configEpoch
    // The cable is cut some time between these two: on a busy machine the command that cuts it returns long after it did.
    const cutFrom = Date.now()
    machines.isolate(1)
    const cutAt = Date.now()
    const agreed = async (all: readonly Sentinel[]): Promise<string | undefined> => {
      const views = await Promise.all(all.map(sentinel => sentinel.view()))
      const [first] = views
      const same = views.every(view => view?.host === first?.host && view?.configEpoch === first?.configEpoch)
      return same && first?.host !== Machines.address(1) ? first?.host : undefined
    }
    await until('the majority has another master', async () => (await agreed(majority)) !== undefined, LIMIT_MS)
    const electedHost = (await agreed(majority)) as string
    const next = servers.find(({ machine }) => Machines.address(machine) === electedHost) as Program
    const switchedAt = Date.now()
    await until('its proxy writes there', () => writes(others, switchedAt), LIMIT_MS)

    // The far side: nobody was elected, and the master there is refused its writes by itself.
    expect(await alone.view()).toEqual({ host: Machines.address(1), configEpoch: before })
    expect(alone.output).not.toContain('+elected-leader')
    const nextList = async (list: string): Promise<number[]> =>
      itemsOf(await next.call('LRANGE', list, '0', '-1')).map(item => Number(textOf(item)))
    // What was sent before may have been answered by the old master, and the answer read only now.
    const firstByNext = history(others).find(({ ok, from }) => ok && from > cutAt)
    expect(firstByNext).toBeDefined()
    const overlapping = history(apart).filter(({ ok, from }) => ok && from > (firstByNext?.to ?? 0))
    expect(overlapping).toEqual([])

    machines.heal()
    await until('all agree', async () => (await agreed(sentinels)) === electedHost, LIMIT_MS)
    const follows = async (): Promise<boolean> => {
      const info = await (servers[0] as Program).info()
      return info?.master?.address.host === electedHost && info.master.up
    }
    await until('the old master follows', follows, LIMIT_MS)
    const healedAt = Date.now()
    await until('both write to it', () => writes(apart, healedAt) && writes(others, healedAt), LIMIT_MS)

    for (const writer of writers) writer.signal('SIGKILL')
    for (const [writer, list] of [
      [apart, 'list:1'],
      [others, 'list:2'],
    ] as const) {
      const had = await nextList(list)
      expect(new Set(had).size, `${list}: nothing twice`).toBe(had.length)
      const lost = history(writer).filter(({ ok, value }) => ok && !had.includes(value))
      // What the old master acknowledged alone, from the cut on until it refused writes; nothing else.
      const unexplained = lost.filter(({ from, to }) => to < cutFrom || from > (firstByNext?.to ?? 0))
      expect(unexplained).toEqual([])
    }
  },
  240_000,
)
