/** Secrets that the proxy was given are in none of its outputs: log, metrics, API, console, INFO, audit file, arguments. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { routes } from '../../src/admin/routes.js'
import { textOf } from '../../src/resp/protocol.js'
import { clientOf, startProxy, startUp, temporaryFolder } from '../support/lagrange.js'

const canary = (name: string): string => `canary-${name}-0123456789abcdef`

test('no output holds a secret', async () => {
  const up = await startUp({ replicas: 0 })
  const node = up.nodePorts[0] as number
  await clientOf(node).call('CONFIG', 'SET', 'requirepass', canary('upstream'))
  const folder = temporaryFolder()
  const file = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const auditFile = join(folder, 'audit.log')
  const proxy = await startProxy(
    [`127.0.0.1:${node}`],
    ...['--upstream-password-file', file('upstream', canary('upstream'))],
    ...['--requirepass-file', file('client', canary('client'))],
    ...['--admin-tokens-file', file('tokens', `root admin ${canary('token')}\n`)],
    ...['--audit-file', auditFile, '--slow-ms', '1', '--sample-every', '1', '--log-level', 'debug'],
  )
  const client = clientOf(proxy.port, { password: canary('client') })
  await client.call('SET', 'k', 'v')
  // Slow enough for the slow log, whatever the machine: the script waits.
  const wait =
    "local t = redis.call('TIME'); repeat local n = redis.call('TIME') until (n[1]-t[1])*1e6+n[2]-t[2] > 20000"
  const slow = client.call('EVAL', wait, '0')
  await client.call('ACL', 'SETUSER', 'someone', 'on', `>${canary('acl')}`)
  await client.call('CONFIG', 'SET', 'masterauth', canary('masterauth'))
  await slow
  const wrong = clientOf(proxy.port)
  await wrong.send(['AUTH', canary('wrong')])

  const admin = `http://127.0.0.1:${proxy.adminPort}`
  const authorization = `Bearer ${canary('token')}`
  const outputs: Record<string, string> = {}
  for (const route of routes.filter(one => one.method === 'GET' && !one.path.includes('{id}'))) {
    outputs[route.path] = await (await fetch(admin + route.path, { headers: { authorization } })).text()
  }
  const headers = { authorization, 'content-type': 'application/json' }
  for (const path of ['/api/v1/pause', '/api/v1/config/reload']) {
    outputs[`POST ${path}`] = await (await fetch(admin + path, { method: 'POST', headers, body: '{}' })).text()
  }
  await fetch(`${admin}/api/v1/pause`, {
    method: 'POST',
    headers: { ...headers, authorization: `Bearer ${canary('guess')}` },
  })
  outputs.info = textOf(await client.call('INFO', 'everything')) ?? ''
  outputs.slowlog = JSON.stringify(await client.call('LAGRANGE', 'SLOWLOG', 'GET', '100'))
  outputs.clients = textOf(await client.call('CLIENT', 'LIST')) ?? ''
  outputs.audit = readFileSync(auditFile, 'utf8')
  outputs.log = proxy.output()
  outputs.arguments = readFileSync(`/proc/${proxy.process.pid}/cmdline`, 'utf8')

  expect(outputs['/api/v1/slowlog']).toContain('"EVAL"')
  expect(outputs.audit).toContain('"actor":"root"')
  for (const [name, text] of Object.entries(outputs)) {
    for (const secret of ['upstream', 'client', 'token', 'acl', 'masterauth', 'wrong', 'guess']) {
      expect(text.includes(canary(secret)), `${name} holds the ${secret} secret`).toBe(false)
    }
  }
}, 120_000)
