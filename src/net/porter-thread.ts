/** The porter's thread: see porter.ts. Accepts and tells; sleeps unless it is to accept. */
import net from 'node:net'
import { workerData } from 'node:worker_threads'
import type { PorterData, PorterDoor, PorterGuest } from './porter.js'
import { descriptorOf } from './read-now.js'

/** Between two looks at whether to sleep. */
const LOOK_MS = 2

const { state, port } = workerData as PorterData
/** Never closed, nor collected: their descriptors are the other thread's. */
const kept: unknown[] = []
/** Who listens by a descriptor now: its number may have been another's before. */
const doors = new Map<number, number>()

port.on('message', ({ id, fd, backlog }: PorterDoor) => {
  doors.set(fd, id)
  const server = net.createServer({ pauseOnConnect: true }, socket => {
    kept.push(socket)
    const guest = descriptorOf(socket)
    if (guest !== undefined) port.postMessage({ id: doors.get(fd) as number, fd: guest } satisfies PorterGuest)
  })
  // It was closed before we came to it.
  server.on('error', () => undefined)
  server.listen({ fd, backlog })
  kept.push(server)
})

setInterval(() => {
  while (Atomics.load(state, 0) === 0) Atomics.wait(state, 0, 0)
}, LOOK_MS)
