// Locks (redlock) around a counter that is read, changed and written back by plain commands on other connections: what one
// holder has written the next one must read.
import assert from 'node:assert/strict'
import { Redis } from 'ioredis'
import Redlock from 'redlock'

const port = Number(process.argv[2])
const clients = Array.from({ length: 4 }, () => new Redis(port))
const data = Array.from({ length: 4 }, () => new Redis(port))
let held = 0
await Promise.all(
  clients.map(async (client, index) => {
    const locks = new Redlock([client], { retryCount: 1000, retryDelay: 5, retryJitter: 5 })
    for (let turn = 0; turn < 15; turn++) {
      const lock = await locks.lock('lock:counter', 10_000)
      assert.equal(++held, 1, 'two hold the lock')
      const value = Number((await data[index].get('counter')) ?? 0)
      await data[(index + 1) % 4].set('counter', value + 1)
      held--
      await lock.unlock()
    }
  }),
)
assert.equal(await data[0].get('counter'), '60')
await assert.rejects(async () => {
  const locks = new Redlock([clients[0]], { retryCount: 0 })
  await locks.lock('lock:taken', 10_000)
  await locks.lock('lock:taken', 10_000)
})
for (const client of [...clients, ...data]) client.disconnect()
console.log('done')
