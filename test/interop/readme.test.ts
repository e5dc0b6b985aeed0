/** The commands of the README's first screen, run as they are written, with ports that are free. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { main, startUp } from '../support/lagrange.js'
import { requireReal } from '../support/real.js'
import { root } from '../support/source.js'

const cli = requireReal('redis-cli')

cli.test(
  'what the README tells to try works',
  async () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8')
    const [, install = '', , tries = ''] = readme.split(/^```(?:sh)?$/m)
    expect(install.trim().split('\n')).toEqual(['npm ci', 'npm start'])
    const commands = tries
      .trim()
      .split('\n')
      .map(line => line.replace(/\s+#.*$/, ''))
    expect(commands.length).toBeGreaterThan(5)

    const up = await startUp()
    const ports = new Map([
      ['6400', up.port],
      ['8400', up.adminPort],
      ...up.nodePorts.map((port, at) => [`${6401 + at}`, port] as const),
    ])
    const said: string[] = []
    for (const command of commands) {
      const own = command
        .replace(/^npx lagrange/, `${process.execPath} ${main}`)
        .replace(/\b(6400|6401|6402|6403|8400)\b/g, port => `${ports.get(port)}`)
      const child = spawn('bash', ['-o', 'pipefail', '-c', own], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, LAGRANGE_ADMIN: `127.0.0.1:${up.adminPort}`, NO_COLOR: '1' },
      })
      let out = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (out += chunk))
      const [code] = (await once(child, 'close')) as [number]
      expect([command, code, out]).toEqual([command, 0, out])
      said.push(out)
    }
    const all = said.join('\n')
    for (const expected of [
      'OK',
      'hello',
      'READONLY',
      'Group main (epoch 1): ok',
      'nothing was lost',
      'lagrange_replica_lag_bytes',
      'get greeting -> ',
    ]) {
      expect(all).toContain(expected)
    }
  },
  120_000,
)
