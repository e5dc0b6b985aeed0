// Two application servers that keep their sessions in Redis (express-session, connect-redis), as behind a balancer: every
// visit comes to the other one, and must find what the visit before has left.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { RedisStore } from 'connect-redis'
import session from 'express-session'
import { createClient } from 'redis'

const url = `redis://127.0.0.1:${process.argv[2]}`
const servers = []
for (let index = 0; index < 2; index++) {
  const client = createClient({ url })
  await client.connect()
  const middleware = session({
    store: new RedisStore({ client, prefix: 'web:' }),
    secret: 'of the test',
    resave: false,
    saveUninitialized: false,
  })
  const server = createServer((request, response) => {
    middleware(request, response, error => {
      if (error) return response.writeHead(500).end(String(error))
      if (request.url === '/leave') return request.session.destroy(() => response.end('gone'))
      request.session.visits = (request.session.visits ?? 0) + 1
      response.end(String(request.session.visits))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  servers.push({ server, client, port: server.address().port })
}

let cookie
const visit = async (turn, path = '/') => {
  const { port } = servers[turn % 2]
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: cookie ? { cookie } : {} })
  cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? cookie
  return answer.text()
}
for (let turn = 0; turn < 30; turn++) assert.equal(await visit(turn), String(turn + 1))
assert.equal(await visit(30, '/leave'), 'gone')
assert.equal(await visit(31), '1', 'a session that was ended begins anew')

for (const { server, client } of servers) {
  server.closeAllConnections()
  server.close()
  client.destroy()
}
console.log('done')
