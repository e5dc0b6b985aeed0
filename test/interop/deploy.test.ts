/** What is shipped to run Lagrange elsewhere names what is there, and a real HAProxy is content with our health checks. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { routesAt } from '../../src/admin/routes.js'
import { startAdmin } from '../../src/admin/server.js'
import { systemClock } from '../../src/base/clock.js'
import { loadProxyConfig } from '../../src/config/load.js'
import { listOptions } from '../../src/config/option.js'
import { proxySchema } from '../../src/config/schema.js'
import { FakeBackend } from '../support/admin.js'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'

const top = fileURLToPath(new URL('../../', import.meta.url))
const deploy = (name: string): string => readFileSync(join(top, 'config/deploy', name), 'utf8')
const flags = new Set(['config', 'check-config', ...listOptions(proxySchema.options).map(option => option.flag)])

describe('deployment files', () => {
  test('the image runs as a user of its own and checks a route that exists', () => {
    const text = deploy('Dockerfile')
    expect(text).toMatch(/^USER node$/m)
    expect(text).not.toContain('alpine')
    expect(routesAt(/8400(\/\w+)/.exec(text)?.[1] ?? '')).toHaveLength(1)
    const [, ...copied] = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(match => match[1]?.split(' ') ?? [])
    for (const path of copied) expect(existsSync(join(top, path)), path).toBe(true)
  })

  test('compose mounts what exists, publishes nothing but the endpoint, and uses flags that exist', () => {
    const { services } = parse(deploy('compose.yml')) as {
      services: Record<string, { command?: string[]; volumes?: string[]; ports?: string[] }>
    }
    for (const volume of Object.values(services).flatMap(service => service.volumes ?? [])) {
      const [from = ''] = volume.split(':')
      expect(existsSync(resolve(top, 'config/deploy', from)), from).toBe(true)
    }
    const open = Object.values(services).flatMap(service => service.ports ?? [])
    expect(open.filter(port => !port.startsWith('127.0.0.1:'))).toEqual(['6400:6400'])
    for (const flag of services.proxy?.command?.filter(word => word.startsWith('--')) ?? []) {
      expect(flags, flag).toContain(flag.slice(2))
    }
  })

  test('the units of systemd use flags that exist', () => {
    const unit = deploy('systemd/lagrange-proxy.service')
    for (const [, flag] of unit.matchAll(/ --([a-z-]+)/g)) expect(flags, flag).toContain(flag)
    expect(deploy('systemd/lagrange-node@.service')).toContain('NoNewPrivileges=yes')
  })

  test('the manifests of Kubernetes hold a configuration that loads, and probe routes that exist', () => {
    const documents = parseAllDocuments(deploy('kubernetes/proxy.yaml')).map(document => document.toJS())
    const [config] = documents.filter(one => one.kind === 'ConfigMap')
    const loaded = loadProxyConfig({
      file: 'proxy.yaml',
      readFile: () => config.data['proxy.yaml'],
      readSecret: () => 'a-token-of-at-least-22-letters',
      env: {},
      flags: {},
    })
    expect('errors' in loaded ? loaded.errors : []).toEqual([])
    const [deployment] = documents.filter(one => one.kind === 'Deployment')
    const { containers, securityContext } = deployment.spec.template.spec
    expect(securityContext.runAsNonRoot).toBe(true)
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const found = routesAt(containers[0][probe].httpGet.path)
      expect(found[0]?.route.access, probe).toBe('probe')
    }
    const labels = documents.filter(one => one.kind === 'Service').map(one => one.spec.selector)
    for (const label of labels) expect(label).toEqual(deployment.spec.selector.matchLabels)
  })

  test('Grafana is told where the dashboards are mounted', () => {
    const provider = parse(deploy('grafana/dashboards/lagrange.yml')).providers[0]
    expect(deploy('compose.yml')).toContain(`../../dashboards:${provider.options.path}:ro`)
  })
})

const haproxy = requireReal('haproxy')

haproxy.test(
  'HAProxy follows the master by our word',
  async () => {
    const backend = new FakeBackend()
    const options = { host: '127.0.0.1', port: 0, grants: [], allowedHosts: [], version: '0.1.0' }
    const admin = await startAdmin(systemClock, backend.bus, backend.store, backend, options)
    onTestFinished(() => admin.close())
    const [port, stats] = [await freePort(), await freePort()]
    const folder = mkdtempSync(join(tmpdir(), 'lagrange-haproxy-'))
    const file = join(folder, 'haproxy.cfg')
    // Two servers as the file has one, asked about under their own names, and a page to read their state from.
    const [server = ''] = /^ {4}server .*$/m.exec(deploy('haproxy.cfg')) ?? []
    const text = deploy('haproxy.cfg')
      .replace('127.0.0.1:6479', `127.0.0.1:${port}`)
      .replaceAll('port 8400', `port ${admin.port}`)
      .concat(`\nfrontend stats\n    mode http\n    bind 127.0.0.1:${stats}\n    stats enable\n    stats uri /\n`)
    expect(server).toContain('check')
    writeFileSync(file, text)
    execFileSync(haproxy.path, ['-c', '-f', file], { stdio: 'pipe' })
    const child = spawn(haproxy.path, ['-db', '-f', file], { stdio: 'ignore' })
    onTestFinished(async () => {
      const ended = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
      rmSync(dirname(file), { recursive: true, force: true })
    })
    const state = async () => {
      const csv = await fetch(`http://127.0.0.1:${stats}/;csv`).then(
        reply => reply.text(),
        () => '',
      )
      return /^writes,node1,(?:[^,]*,){15}([^,]*)/m.exec(csv)?.[1] ?? ''
    }
    const until = async (expected: string) => {
      while (!(await state()).startsWith(expected)) await new Promise(resolve => setTimeout(resolve, 50))
    }
    // Not listening, but by our word the master: the check goes to us alone.
    const { topology } = backend
    backend.topology = () => ({ ...topology(), groups: [] })
    await until('DOWN')
    backend.topology = topology
    await until('UP')
  },
  60_000,
)
