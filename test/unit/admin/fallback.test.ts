/** On a platform for which uWebSockets.js has no binary, the admin server is there all the same. */
import { expect, onTestFinished, test, vi } from 'vitest'
import { startAdmin } from '../../../src/admin/server.js'
import { systemClock } from '../../../src/base/clock.js'
import { FakeBackend } from '../../support/admin.js'

vi.mock('uWebSockets.js', () => {
  throw new Error('This version supports only Node.js 18, 20, 21 and 22.\nError: Cannot find module')
})

test('node:http takes over, and says so', async () => {
  const backend = new FakeBackend()
  const options = { host: '127.0.0.1', port: 0, grants: [], allowedHosts: [], version: '0.1.0' }
  const server = await startAdmin(systemClock, backend.bus, backend.store, backend, options)
  onTestFinished(() => server.close())
  expect(server.adapter).toBe('node')
  expect((await fetch(`http://127.0.0.1:${server.port}/readyz`)).status).toBe(200)
  const [event] = backend.events.after(0).events
  expect(event).toMatchObject({ level: 'warn', name: '+admin-fallback', fields: { to: 'node:http' } })
})
