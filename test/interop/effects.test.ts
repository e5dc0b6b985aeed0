/**
 * What follows from a command, ours and redis-server's: keyspace events, and what enters the replication stream.
 *
 * A subscriber and a replica of the real server listen while one drawn command after the other runs; what they hear must
 * be what our engine tells its host. Instants are not compared.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { Decoder } from '../../src/resp/decoder.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { itemsOf, textOf } from '../../src/resp/protocol.js'
import { EngineDouble, seededRandom } from '../support/engine-double.js'
import { requireReal } from '../support/real.js'
import { type RedisProcess, startRedis } from '../support/redis-process.js'
import { commandMaker } from './differential-grammar.js'

const SEED = Number(process.env.SEED ?? 1)
const COUNT = Number(process.env.COUNT ?? 4000)
const EPISODE = 200

const redis = requireReal('redis-server')

redis.test(
  `${COUNT} commands of seed ${SEED} have the events and effects of redis-server`,
  async () => {
    const server = await startRedis('--notify-keyspace-events', 'KEA', '--repl-diskless-sync-delay', '0')
    onTestFinished(() => server.stop())
    const events = await subscribe(server)
    const effects = await replicate(server)
    onTestFinished(() => {
      events.close()
      effects.close()
    })
    for (let done = 0; done < COUNT; done += EPISODE) await play(server, events, effects, SEED * 1_000_003 + done)
  },
  Math.max(60_000, COUNT * 10),
)

/** Everything heard since it was last asked, up to the mark that `PUBLISH mark` sets. */
interface Listener {
  untilMark(): Promise<string[]>
  close(): void
}

async function play(server: RedisProcess, events: Listener, effects: Listener, seed: number): Promise<void> {
  const ours = new EngineDouble(seed)
  const make = commandMaker(seededRandom(Math.imul(seed, 0x9e3779b1)))
  const MARK = ['PUBLISH', 'mark', '']
  await server.call([['FLUSHALL'], MARK])
  await events.untilMark()
  await effects.untilMark()
  for (let done = 0; done < EPISODE; done++) {
    const command = make()
    await server.call([command, MARK])
    ours.now = Date.now()
    ours.run(...command)
    const where = `SEED=${SEED}, episode ${seed}, ${command.map(word => JSON.stringify(word)).join(' ')}`
    expect(ours.events.splice(0), where).toEqual(await events.untilMark())
    const propagated = ours.propagated.splice(0).filter(args => !isOurAddition(command, args))
    expect(propagated.map(lineOf), where).toEqual(await effects.untilMark())
  }
}

/**
 * After XREADGROUP we also pass on how far the group has come and who reads in it, which Redis 7.0 leaves its replicas
 * to guess.
 */
function isOurAddition(command: readonly string[], effect: readonly string[]): boolean {
  return command[0]?.toUpperCase() === 'XREADGROUP' && !command.includes('NOACK') && effect[0] === 'XGROUP'
}

async function subscribe(server: RedisProcess): Promise<Listener> {
  const socket = connect(server.path)
  await once(socket, 'connect')
  socket.write(encodeCommand(['PSUBSCRIBE', '__keyevent@*', 'mark']))
  const decoder = new Decoder()
  return listen(socket, chunk => {
    decoder.feed(chunk)
    const heard: (string | undefined)[] = []
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      const [kind, , channel, payload] = itemsOf(frame).map(textOf)
      const event = /^__keyevent@\d+__:(.*)$/s.exec(channel ?? '')?.[1]
      if (kind === 'pmessage') heard.push(event === undefined ? undefined : `${event} ${payload}`)
    }
    decoder.release()
    return heard
  })
}

/** Resolves when the snapshot has been read: a FLUSHALL before that would end the transfer. */
async function replicate(server: RedisProcess): Promise<Listener> {
  const socket = connect(server.path)
  await once(socket, 'connect')
  socket.write(encodeCommand(['PSYNC', '?', '-1']))
  const decoder = new Decoder()
  let snapshotBytes: number | undefined
  let done: () => void = () => undefined
  const loaded = new Promise<void>(resume => (done = resume))
  const listener = listen(socket, chunk => {
    decoder.feed(chunk)
    const heard: (string | undefined)[] = []
    while (snapshotBytes === undefined) {
      const line = decoder.nextLine()
      if (line === undefined) break
      if (line.startsWith('$')) snapshotBytes = Number(line.slice(1))
    }
    while (snapshotBytes !== undefined && snapshotBytes > 0) {
      const taken = decoder.take(snapshotBytes)
      if (taken === undefined) break
      snapshotBytes -= taken.length
    }
    if (snapshotBytes === 0) done()
    while (snapshotBytes === 0 && decoder.nextRequest()) {
      const args = decoder.args()
      const name = (args[0] as string).toUpperCase()
      if (name === 'PUBLISH') heard.push(undefined)
      else if (!/^(SELECT|MULTI|EXEC|PING)$/.test(name)) heard.push(lineOf(args))
    }
    decoder.release()
    return heard
  })
  await loaded
  return listener
}

/** One line per command; names in upper case, instants of today left out. */
function lineOf(args: readonly string[]): string {
  const words = args.map((word, at) => (at === 0 ? word.toUpperCase() : /^1[78]\d{11}$/.test(word) ? '<now>' : word))
  return words.map(word => JSON.stringify(word)).join(' ')
}

/** `read` answers what a chunk holds; undefined stands for a mark. */
function listen(socket: Socket, read: (chunk: Buffer) => readonly (string | undefined)[]): Listener {
  const heard: (string | undefined)[] = []
  let wake: () => void = () => undefined
  socket.on('data', chunk => {
    heard.push(...read(chunk))
    wake()
  })
  return {
    async untilMark() {
      while (!heard.includes(undefined)) await new Promise<void>(resume => (wake = resume))
      return heard.splice(0, heard.indexOf(undefined) + 1).slice(0, -1) as string[]
    },
    close: () => void socket.destroy(),
  }
}
