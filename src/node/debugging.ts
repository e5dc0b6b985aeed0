/**
 * Scripts that are debugged (SCRIPT DEBUG, redis-cli --ldb), acting: who debugs sits at a connection of ours.
 *
 *     sync   EVAL ─▶ runs here, and stops here: everybody else waits, and hears BUSY after `busy-reply-threshold`
 *     yes    EVAL ─▶ a snapshot ─▶ another process, which has read it ─▶ runs there, sync; bytes are handed on both ways
 *
 * In the second way nobody waits, and what the script changes is gone with that process: Redis forks, we cannot, so it takes
 * as long as writing and reading the data does, and their memory once more. Both ways the connection is closed at the end, by
 * which its user knows. Whatever happens to either side, the other process does not outlive the connection.
 *
 * Limits: sync cannot be had through TLS, as what is encrypted needs the event loop. Functions are not debugged, as in Redis.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Bytes } from '../base/units.js'
import { describeUser } from '../command/acl-rules.js'
import { type DebugConsole, Debugger } from '../engine/scripting/debugger.js'
import { connect, type Peer, type PeerHandler } from '../net/peer.js'
import { Decoder } from '../resp/decoder.js'
import { type Encoder, encodeCommand } from '../resp/encoder.js'
import { replyLimits } from '../resp/protocol.js'
import { evaluate } from './commands/scripting.js'
import type { DirectiveName } from './config/directives.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

/** Set for the other process: it ends when whoever started it is gone. */
export const COPY_ENV = 'LAGRANGE_DEBUGGED_COPY'

/** Each of them takes the memory of all data. */
const COPIES_MAX = 4
/** Who debugs has so long to take what is shown, as in Redis. */
const SHOW_MS = 5000
const LONGEST_SLEEP_MS = 4
/** So much may wait for who debugs before the script's process waits. */
const WINDOW_BYTES = 1024 * 1024
const LOOP_MS = 5000
const FAILED = "ERR Fork() failed: can't run EVAL in debugging mode:"

/** Directives that scripts can see the effect of. */
const inherited: readonly DirectiveName[] = [
  ...(['databases', 'maxmemory', 'maxmemory-policy', 'busy-reply-threshold', 'proto-max-bulk-len'] as const),
  ...(['hash-max-listpack-entries', 'hash-max-listpack-value', 'set-max-intset-entries'] as const),
  ...(['zset-max-listpack-entries', 'zset-max-listpack-value', 'list-max-listpack-size'] as const),
  ...(['stream-node-max-bytes', 'stream-node-max-entries', 'hll-sparse-max-bytes'] as const),
]

export class Debugging {
  readonly #copies = new Set<DebuggedCopy>()

  constructor(private readonly server: NodeServer) {}

  /** EVAL of a session that has asked for the debugger. */
  evaluate(session: Session, args: readonly Bytes[], reply: Encoder, readOnly: boolean): void {
    if (this.server.dispatcher.inTransaction) return reply.error('ERR A script inside a transaction cannot be debugged')
    session.peer.flush()
    if (session.peer.queuedBytes > 0) return reply.error('ERR SCRIPT DEBUG must be called outside a pipeline')
    if (session.debugging === 'copy') this.#inCopy(session, args, reply)
    else this.#here(session, args, reply, readOnly)
  }

  #here(session: Session, args: readonly Bytes[], reply: Encoder, readOnly: boolean): void {
    const { server } = this
    server.log.warning('Lagrange synchronous debugging eval session started')
    const loopMs = server.config.number('busy-reply-threshold') || LOOP_MS
    const debug = new Debugger(args[1] as Bytes, new WaitingConsole(session.peer, server), loopMs)
    evaluate(session, args, reply, server, readOnly, debug)
    debug.end()
    server.log.warning('Lagrange synchronous debugging eval session ended')
    // Its end is how redis-cli knows that this was all. Not before what the script did is in the file and in the stream.
    session.parked = { on: 'answer' }
    setImmediate(() => session.close())
  }

  #inCopy(session: Session, args: readonly Bytes[], reply: Encoder): void {
    const { program } = this.server
    if (program === undefined) return reply.error(`${FAILED} this node is part of another program`)
    if (this.#copies.size >= COPIES_MAX)
      return reply.error(`${FAILED} ${COPIES_MAX} scripts are being debugged already`)
    session.debugging = undefined
    session.parked = { on: 'answer' }
    const copy = new DebuggedCopy(this.server, session)
    this.#copies.add(copy)
    void copy.run(program, args).catch(error => copy.end(String(error.message ?? error)))
    void copy.ended.then(() => this.#copies.delete(copy))
  }

  stop(): void {
    for (const copy of this.#copies) copy.end()
  }
}

/** Waits for what is typed, and keeps everybody waiting meanwhile. */
class WaitingConsole implements DebugConsole {
  #gone = false

  constructor(
    private readonly peer: Peer,
    private readonly server: NodeServer,
  ) {}

  show(lines: readonly Bytes[]): void {
    const text = `*${lines.length}\r\n${lines.map(line => `+${line}\r\n`).join('')}`
    if (!this.#gone && !this.peer.putNow(Buffer.from(text, 'latin1'), SHOW_MS)) this.#gone = true
  }

  read(): Buffer | undefined {
    const { scripting } = this.server
    for (let ms = 1; !this.#gone; ms = Math.min(ms * 2, LONGEST_SLEEP_MS)) {
      const arrived = this.peer.takeNow(ms)
      if (arrived === 'gone') this.#gone = true
      else if (arrived !== undefined) return arrived
      else if (scripting.current === undefined || scripting.interrupt(scripting.current.run) !== undefined)
        return undefined
    }
    return undefined
  }
}

/**
 * One EVAL in a process of its own.
 *
 *     writing the snapshot ─▶ the process reads it ─▶ it is told who we are ─▶ bytes are handed on ─▶ ended
 *              └──────────────────┴──────────── the client left, a failure ──────────┴────────────────▲
 */
class DebuggedCopy {
  readonly ended: Promise<void>
  #resolveEnded: () => void = () => undefined
  #over = false
  #child: ChildProcess | undefined
  #link: Peer | undefined
  #snapshot: string | undefined
  #folder: string | undefined

  constructor(
    private readonly server: NodeServer,
    private readonly session: Session,
  ) {
    this.ended = new Promise(resolve => (this.#resolveEnded = resolve))
  }

  async run(program: readonly string[], args: readonly Bytes[]): Promise<void> {
    const { session, server } = this
    session.peer.handler = {
      onData: chunk => this.#toScript(chunk),
      onClose: reason => {
        session.onClose(reason)
        this.end()
      },
      onFlush: () => session.onFlush(),
      onDrain: () => this.#link?.resume(),
    }
    this.#snapshot = await server.snapshots.writeCopy()
    if (this.#over) return this.#clean()
    this.#folder = mkdtempSync(join(tmpdir(), 'lagrange-debug-'))
    const path = join(this.#folder, 's')
    await this.#start(program, path)
    this.#clean(false)
    if (this.#over) return
    await this.#introduce(path)
    if (this.#over) return
    server.log.warning(`A script is debugged in process ${this.#child?.pid}`)
    this.#link?.out.raw(encodeCommand(args))
    this.#link?.flushSoon()
  }

  /** Resolves when it has read the snapshot. */
  async #start(program: readonly string[], path: string): Promise<void> {
    const { server } = this
    const directives = Object.entries({
      ...Object.fromEntries(inherited.map(name => [name, server.config.print(name)])),
      port: '0',
      unixsocket: path,
      unixsocketperm: '600',
      save: '',
      appendonly: 'no',
      dir: server.dir,
      dbfilename: basename(this.#snapshot as string),
    }).flatMap(([name, value]) => [`--${name}`, value])
    const [command, ...before] = program as [string, ...string[]]
    const env = { ...process.env, [COPY_ENV]: '1' }
    const child = spawn(command, [...before, ...directives], { stdio: ['ignore', 'pipe', 'ignore', 'ipc'], env })
    this.#child = child
    await new Promise<void>((resolve, reject) => {
      let said = ''
      child.stdout?.on('data', chunk => {
        // Read to the end, as it would wait for us; kept until it is ready.
        if (said.length < WINDOW_BYTES) said += String(chunk)
        if (said.includes('Ready to accept connections')) resolve()
      })
      child.once('error', reject)
      child.once('exit', () => {
        reject(new Error(`the process ended: ${said.trimEnd().split('\n').at(-1)}`))
        this.end()
      })
    })
  }

  /** As whom, where and in which protocol the script runs there. */
  async #introduce(path: string): Promise<void> {
    const { session, server } = this
    const user = server.acl.find(session.user)
    if (user === undefined) throw new Error('the user is gone')
    const words = wordsOfRules(describeUser(user, server.table)).slice(2)
    const commands: Bytes[][] = [
      ['HELLO', String(session.out.resp)],
      ['SELECT', String(session.db)],
      ['ACL', 'SETUSER', user.name, 'reset', ...words, 'nopass'],
      ['AUTH', user.name, ''],
      ['SCRIPT', 'DEBUG', 'SYNC'],
    ]
    await new Promise<void>((resolve, reject) => {
      const decoder = new Decoder({ ...replyLimits })
      // One after the other: the debugger is not to be asked for while replies wait.
      const next = (): void => {
        const command = commands.shift()
        if (command === undefined) {
          link.handler = { ...handler, onData: bytes => this.#toClient(bytes) }
          return resolve()
        }
        link.out.raw(encodeCommand(command))
        link.flushSoon()
      }
      const handler: PeerHandler & { onOpen(): void } = {
        onOpen: next,
        onData: chunk => {
          decoder.feed(chunk)
          const frame = decoder.next()
          decoder.release()
          if (frame?.type === 'error') reject(new Error(frame.value))
          else if (frame !== undefined) next()
        },
        onClose: reason => {
          reject(new Error(reason))
          this.end()
        },
      }
      const link = connect({ path }, handler)
      this.#link = link
    })
  }

  /** What comes before it runs is nothing that the debugger would hear. */
  #toScript(chunk: Buffer): void {
    this.session.lastActiveAt = this.server.clock.now()
    this.#link?.out.raw(chunk)
    this.#link?.flushSoon()
  }

  #toClient(chunk: Buffer): void {
    const { peer, out } = this.session
    out.raw(chunk)
    peer.flushSoon()
    if (peer.queuedBytes > WINDOW_BYTES) this.#link?.pause()
  }

  /** `failure`: what the client is told. */
  end(failure?: string): void {
    if (this.#over) return
    this.#over = true
    const { session } = this
    if (failure !== undefined && !session.closing) session.out.error(`${FAILED} ${failure}`)
    session.close()
    this.#link?.destroy('over')
    this.#child?.kill('SIGKILL')
    this.#clean()
    this.#resolveEnded()
  }

  #clean(all = true): void {
    if (this.#snapshot !== undefined) rmSync(this.#snapshot, { force: true })
    if (all && this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Words between spaces; what stands in parentheses is one. */
function wordsOfRules(line: Bytes): Bytes[] {
  return line.match(/\([^)]*\)|\S+/g) ?? []
}
