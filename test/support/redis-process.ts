/**
 * A real redis-server on a unix socket of its own, to be compared with. It ends with the test (or file) that asked for it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Decoder } from '../../src/resp/decoder.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import type { Frame } from '../../src/resp/protocol.js'

export interface RedisProcess {
  /** Its unix socket. */
  readonly path: string
  /** Sends the requests in one write and answers their replies in order. */
  call(requests: readonly (readonly (string | Buffer)[])[]): Promise<Frame[]>
  stop(): Promise<void>
}

/** Starts a server; `directives` are further arguments such as `--maxmemory 1mb`. */
export async function startRedis(...directives: string[]): Promise<RedisProcess> {
  const dir = mkdtempSync(join(tmpdir(), 'lagrange-redis-'))
  const path = join(dir, 'socket')
  const args = ['--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no', '--dir', dir, ...directives]
  const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(server, 'exit')
  await new Promise<void>((ready, refuse) => {
    server.on('error', refuse)
    server.stdout.on('data', chunk => String(chunk).includes('eady to accept') && ready())
  })
  const socket = connect(path)
  await once(socket, 'connect')
  const answers = repliesOf(socket)
  return {
    path,
    call(requests) {
      socket.write(Buffer.concat(requests.map(encodeCommand)))
      return answers(requests.length)
    },
    async stop() {
      socket.destroy()
      server.kill()
      await exited
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Answers a function that waits for the next `count` replies. One caller at a time. */
function repliesOf(socket: Socket): (count: number) => Promise<Frame[]> {
  const decoder = new Decoder()
  let frames: Frame[] = []
  let wake: () => void = () => undefined
  socket.on('data', chunk => {
    decoder.feed(chunk)
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame)
    decoder.release()
    wake()
  })
  return async count => {
    while (frames.length < count) await new Promise<void>(resume => (wake = resume))
    const answered = frames.slice(0, count)
    frames = frames.slice(count)
    return answered
  }
}
