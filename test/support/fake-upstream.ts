/**
 * Something that looks like a master of Redis 7.0 to the proxy, and answers commands of clients as the test likes: also with
 * what no Redis would answer.
 */
import { once } from 'node:events'
import net from 'node:net'
import { Decoder } from '../../src/resp/decoder.js'
import { requestLimits } from '../../src/resp/protocol.js'

/** The bytes to answer; undefined: an ordinary answer. */
export type Answers = (args: readonly string[]) => string | Buffer | undefined

export interface FakeUpstream {
  readonly port: number
  /** Connections that are open. */
  readonly open: () => number
  /** Says something more on the connection that the last answer of the test's own was given on; answers false when it is not read. */
  say(bytes: string | Buffer): boolean
  close(): Promise<void>
}

/** What it answers to ROLE. */
export const ROLE = '*3\r\n$6\r\nmaster\r\n:100\r\n*0\r\n'
const REPLID = 'f'.repeat(40)
const info = `# Server\r\nredis_version:7.0.15\r\nrun_id:${REPLID}\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_replid:${REPLID}\r\nmaster_repl_offset:100\r\n`

export async function startFakeUpstream(answers: Answers): Promise<FakeUpstream> {
  const sockets = new Set<net.Socket>()
  let last: net.Socket | undefined
  const server = net.createServer(socket => {
    sockets.add(socket)
    const decoder = new Decoder({ ...requestLimits })
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', chunk => {
      decoder.feed(chunk)
      const replies: Buffer[] = []
      while (decoder.nextRequest()) {
        const args = decoder.args()
        const own = answers(args)
        if (own !== undefined) last = socket
        const reply = own ?? ordinary(args)
        replies.push(typeof reply === 'string' ? Buffer.from(reply, 'latin1') : reply)
      }
      decoder.release()
      socket.write(Buffer.concat(replies))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as net.AddressInfo).port,
    open: () => sockets.size,
    say: bytes => last?.write(bytes) ?? false,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function ordinary(args: readonly string[]): string {
  switch ((args[0] as string).toLowerCase()) {
    case 'info':
      return bulk(info)
    case 'role':
      return ROLE
    case 'command':
      return '*0\r\n'
    case 'config':
      return '*2\r\n$9\r\ndatabases\r\n$2\r\n16\r\n'
    case 'client':
      return args[1]?.toLowerCase() === 'id' ? ':7\r\n' : '+OK\r\n'
    case 'hello':
      return '%1\r\n$5\r\nproto\r\n:3\r\n'
    case 'get':
      return bulk(`value of ${args[1]}`)
    default:
      return '+OK\r\n'
  }
}

export function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`
}
