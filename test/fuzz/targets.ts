/**
 * What is fed with such bytes, and what must hold whatever they are. A target throws when it does not; the seed of the input
 * repeats it.
 */
import { Duplex } from 'node:stream'
import { EventBus } from '../../src/base/bus.js'
import { systemClock } from '../../src/base/clock.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Peer } from '../../src/net/peer.js'
import { loadConfig } from '../../src/node/config/load.js'
import { NodeLog } from '../../src/node/log.js'
import { NodeServer } from '../../src/node/server.js'
import { Session as NodeSession } from '../../src/node/session.js'
import { entranceCounters } from '../../src/proxy/hub.js'
import { Session } from '../../src/proxy/session.js'
import { Worker } from '../../src/proxy/worker.js'
import { Decoder } from '../../src/resp/decoder.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { ProtocolError, replyLimits, requestLimits } from '../../src/resp/protocol.js'
import { startFakeUpstream } from '../support/fake-upstream.js'
import { anyCall, type Chance, pieces, replyBytes, requestBytes } from './inputs.js'

export interface Target {
  readonly name: string
  /** One input. */
  feed(chance: Chance): void | Promise<void>
  close(): Promise<void>
}

const nothing = async (): Promise<void> => undefined

function must(condition: boolean, what: string, bytes: Buffer): void {
  if (!condition) throw new Error(`${what}: ${JSON.stringify(bytes.toString('latin1'))}`)
}

// ── Parsers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

type Read = (decoder: Decoder) => string | undefined

/** All that can be read from the chunks, and how it ended. */
function readAll(chunks: readonly Buffer[], limits: typeof requestLimits, next: Read): string[] {
  const decoder = new Decoder({ ...limits })
  const found: string[] = []
  try {
    for (const chunk of chunks) {
      decoder.feed(Buffer.from(chunk))
      for (let text = next(decoder); text !== undefined; text = next(decoder)) found.push(text)
      decoder.release()
    }
    found.push(`${decoder.consumed} used`)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    found.push(`! ${error.message}`)
  }
  return found
}

function parserTarget(
  name: string,
  make: (chance: Chance) => Buffer,
  limits: typeof requestLimits,
  next: Read,
): Target {
  return {
    name,
    feed(chance) {
      const bytes = make(chance)
      const whole = readAll([bytes], limits, next)
      const cut = readAll(pieces(bytes, chance), limits, next)
      must(
        whole.join('\n') === cut.join('\n'),
        `cut otherwise it reads ${cut.join(' | ')} for ${whole.join(' | ')}`,
        bytes,
      )
    },
    close: nothing,
  }
}

const spelled = (value: unknown): string =>
  JSON.stringify(value, (_key, part) => (typeof part === 'bigint' ? `${part}n` : part))

export const requestParser = (): Target =>
  parserTarget('requests', requestBytes, requestLimits, decoder => {
    return decoder.nextRequest() ? spelled(decoder.args()) : undefined
  })

export const replyParser = (): Target =>
  parserTarget('replies', replyBytes, replyLimits, decoder => {
    const frame = decoder.next()
    return frame && spelled(frame)
  })

// ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A socket that swallows what it is sent, and keeps it to be looked at. */
class Sink extends Duplex {
  readonly written: Buffer[] = []
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(Buffer.from(chunk))
    done()
  }
}

/** Whatever it answers is RESP, whole, and nothing is left over. */
function checkAnswers({ written }: Sink, input: Buffer): number {
  const decoder = new Decoder({ ...replyLimits, depth: 10_000 })
  const bytes = Buffer.concat(written)
  decoder.feed(bytes)
  let count = 0
  try {
    while (decoder.nextFrame()) count++
  } catch (error) {
    must(false, `answered ${JSON.stringify(bytes.toString('latin1'))}, which is no RESP (${String(error)})`, input)
  }
  must(decoder.pending === 0, `answered half a reply: ${JSON.stringify(bytes.toString('latin1'))}`, input)
  return count
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** A worker of the proxy before an upstream that answers everything with something harmless. */
export async function proxySession(): Promise<Target> {
  const upstream = await startFakeUpstream(() => undefined)
  const control = { sample: () => undefined, suspect: () => undefined, event: () => undefined }
  const store = new MetricStore()
  const worker = new Worker(systemClock, new EventBus(() => 0), store, control, { maxClients: 1_000_000 })
  const id = `127.0.0.1:${upstream.port}`
  const master = { id, host: '127.0.0.1', port: upstream.port, runId: undefined, zone: undefined, excluded: undefined }
  const group = {
    name: 'main',
    masterEpoch: 1,
    replicas: [],
    lineage: undefined,
    master: { ...master, role: 'master' as const },
  }
  worker.setView({ epoch: 1, groups: [group] })
  const rules = { level: 'causal' as const, boundMs: 1000, waitMs: 2, noReplica: 'master' as const }
  const entrance = { name: 'fuzz', rules, access: 'all' as const, ...entranceCounters(store, 'fuzz') }
  let lastId = 0
  const open = (): { session: Session; sink: Sink } => {
    const session = new Session(++lastId, worker, entrance)
    const sink = new Sink()
    session.peer = new Peer(sink, session)
    worker.sessions.set(session.id, session)
    return { session, sink }
  }
  /** Everybody else is served all the same. */
  const ping = async (input: Buffer): Promise<void> => {
    const { session, sink } = open()
    session.peer.receive(encodeCommand(['GET', 'alive']))
    for (let turns = 0; sink.written.length === 0; turns++) {
      must(turns < 100_000, 'nobody is served any more', input)
      await turn()
    }
    must(
      Buffer.concat(sink.written).toString() === '$14\r\nvalue of alive\r\n',
      'another client is answered wrong',
      input,
    )
    session.peer.destroy('done')
  }
  let count = 0
  return {
    name: 'proxy',
    async feed(chance) {
      const bytes = requestBytes(chance)
      const { session, sink } = open()
      for (const piece of chance.oneIn(4) ? pieces(bytes, chance) : [bytes]) session.peer.receive(Buffer.from(piece))
      if (++count % 32 === 0) await turn()
      if (count % 256 === 0) await ping(bytes)
      session.peer.flush()
      checkAnswers(sink, bytes)
      session.peer.destroy('done')
    },
    async close() {
      await worker.close()
      await upstream.close()
    },
  }
}

/** Our node: parser, checks, engine. */
export function nodeSession(): Target {
  const server = new NodeServer(
    systemClock,
    new NodeLog(() => undefined, systemClock.wall),
    loadConfig(['--save', ''], '/tmp'),
    '/tmp',
  )
  server.recalm()
  const open = (): { session: NodeSession; sink: Sink } => {
    const session = new NodeSession(server, server.clients.nextId(), systemClock.now())
    const sink = new Sink()
    session.attach(new Peer(sink, session))
    server.clients.add(session)
    return { session, sink }
  }
  let count = 0
  return {
    name: 'node',
    async feed(chance) {
      // Half of them reach the commands for certain.
      const bytes = chance.oneIn(2) ? requestBytes(chance) : encodeCommand(anyCall(chance))
      const { session, sink } = open()
      session.peer.receive(bytes)
      session.peer.flush()
      checkAnswers(sink, bytes)
      session.peer.destroy('done')
      if (++count % 512 !== 0) return
      const probe = open()
      probe.session.peer.receive(encodeCommand(['ECHO', 'alive']))
      probe.session.peer.flush()
      must(Buffer.concat(probe.sink.written).toString().endsWith('alive\r\n'), 'nobody is served any more', bytes)
      probe.session.peer.destroy('done')
      if (count % 8192 === 0) {
        const sweep = open()
        sweep.session.peer.receive(encodeCommand(['FLUSHALL']))
        sweep.session.peer.destroy('done')
      }
      await turn()
    },
    close: nothing,
  }
}
