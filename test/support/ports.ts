/**
 * Ports for servers that need to know theirs before they listen.
 *
 * Asking the system for any free port and letting go of it does not do: that port is from the range of outgoing
 * connections, and another test's connection may have it a moment later. So ports come from below that range, each test
 * worker has a part of its own, and what was handed out once is not handed out again by the same process.
 */
import { createServer } from 'node:net'

const FIRST = 10_000
const LAST = 32_000
const PARTS = 11
const SIZE = (LAST - FIRST) / PARTS

const part = Number(process.env.VITEST_POOL_ID ?? process.pid) % PARTS
const begin = FIRST + part * SIZE
/** Files of one worker follow each other, and other runs may be under way: so not from the front. */
let next = Math.floor(Math.random() * SIZE)

export function freePort(): Promise<number> {
  return freePorts(1)
}

/** The first of `count` ports in a row that are free. */
export async function freePorts(count: number): Promise<number> {
  for (let tries = 0; tries < SIZE; tries++) {
    if (next + count > SIZE) next = 0
    const first = begin + next
    next += count
    const free = await Promise.all(Array.from({ length: count }, (_, index) => isFree(first + index)))
    if (free.every(Boolean)) return first
  }
  throw new Error(`no ${count} free ports in a row from ${begin} to ${begin + SIZE}`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
