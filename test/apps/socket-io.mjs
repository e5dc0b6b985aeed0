// Two socket.io servers joined by Redis: by pub/sub (`redis`) or by a stream (`streams`). What is said at one is heard at both,
// each thing once and in order.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAdapter as pubSub } from '@socket.io/redis-adapter'
import { createAdapter as streams } from '@socket.io/redis-streams-adapter'
import { createClient } from 'redis'
import { Server } from 'socket.io'
import { io } from 'socket.io-client'

const [, , redisPort, kind] = process.argv
const url = `redis://127.0.0.1:${redisPort}`
const clients = []
const connect = async () => {
  const client = createClient({ url })
  client.on('error', () => undefined)
  await client.connect()
  clients.push(client)
  return client
}
const until = async (what, condition) => {
  for (let turn = 0; turn < 1000; turn++) {
    if (await condition()) return
    await sleep(10)
  }
  assert.fail(`waited in vain: ${what}`)
}

const servers = []
for (let index = 0; index < 2; index++) {
  const http = createServer().listen(0, '127.0.0.1')
  await once(http, 'listening')
  const adapter = kind === 'streams' ? streams(await connect()) : pubSub(await connect(), await connect())
  const server = new Server(http, { adapter })
  server.on('connection', socket => socket.on('join', (room, joined) => joined(socket.join(room))))
  servers.push({ http, server, port: http.address().port })
}
// Each knows of the other.
await until('the servers have met', async () => {
  const counts = await Promise.all(servers.map(({ server }) => server.of('/').adapter.serverCount()))
  return counts.every(count => count === 2)
})

const heard = []
const sockets = []
for (const { port } of servers) {
  const socket = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnection: false })
  const mine = []
  heard.push(mine)
  sockets.push(socket)
  socket.on('news', value => mine.push(value))
  socket.on('question', (text, answer) => answer(`${text}!`))
  await once(socket, 'connect')
  await socket.emitWithAck('join', 'readers')
}
const numbers = Array.from({ length: 50 }, (_, index) => index)
for (const number of numbers) servers[0].server.emit('news', number)
await until('everybody has heard', () => heard.every(mine => mine.length >= 50))
for (const number of numbers) servers[1].server.to('readers').emit('news', number + 50)
await until('the room has heard', () => heard.every(mine => mine.length >= 100))
for (const mine of heard) assert.deepEqual(mine, [...numbers, ...numbers.map(number => number + 50)])

assert.equal((await servers[0].server.fetchSockets()).length, 2, 'sockets of the other server are known')
const answers = await servers[0].server.timeout(5000).emitWithAck('question', 'heard')
assert.deepEqual(answers, ['heard!', 'heard!'])

for (const socket of sockets) socket.disconnect()
for (const { server } of servers) await server.close()
for (const client of clients) client.destroy()
console.log('done')
process.exit(0)
