/**
 * Lets people in while the event loop is kept waiting, as a script that runs for seconds does: accepting is the event
 * loop's, so a second one does it, in a thread of its own that sleeps at all other times.
 *
 *     resting ──begin()──▶ the thread accepts ──poll()──▶ connections like all others ──end()──▶ resting
 *
 * The thread hands over descriptors, by their numbers: they are the process', and belong to whoever is handed them. So it
 * never closes anything, neither a connection nor what it listens on, and never ends before the process does; what it
 * keeps of a connection is some hundred bytes, for at most KEPT_MAX of them. After those, and where no thread can be had,
 * newcomers wait until the event loop turns again. Connections that must be encrypted always do: a handshake needs it.
 */
import { closeSync } from 'node:fs'
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { Listener } from './peer.js'

/** What the thread is started with. */
export interface PorterData {
  readonly state: Int32Array
  readonly port: MessagePort
}

/** Where the thread may listen from now on. */
export interface PorterDoor {
  readonly id: number
  readonly fd: number
  readonly backlog: number
}

/** Somebody has come in. */
export interface PorterGuest {
  /** The door. */
  readonly id: number
  readonly fd: number
}

/** In `PorterData.state[0]`: the thread sleeps at 0. */
const RESTING = 0
const ACCEPTING = 1

const KEPT_MAX = 10_000

export class Porter {
  readonly #state = new Int32Array(new SharedArrayBuffer(4))
  readonly #doors = new Map<number, Listener>()
  #port: MessagePort | undefined
  #lastId = 0
  #guests = 0

  begin(listeners: readonly Listener[]): void {
    if (this.#guests >= KEPT_MAX) return
    this.#port ??= this.#start()
    this.#learn(listeners)
    Atomics.store(this.#state, 0, ACCEPTING)
    Atomics.notify(this.#state, 0)
  }

  /** A listener that is gone is forgotten; its descriptor may be another's by now. */
  #learn(listeners: readonly Listener[]): void {
    const known = new Set(this.#doors.values())
    for (const [id, listener] of this.#doors) if (!listeners.includes(listener)) this.#doors.delete(id)
    for (const listener of listeners) {
      const { fd, backlog } = listener
      if (fd === undefined || known.has(listener)) continue
      const id = ++this.#lastId
      this.#doors.set(id, listener)
      this.#port?.postMessage({ id, fd, backlog } satisfies PorterDoor)
    }
  }

  #start(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    const workerData: PorterData = { state: this.#state, port: port2 }
    const thread = new Worker(new URL('./porter-thread.js', import.meta.url), {
      workerData,
      transferList: [port2],
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 },
    })
    // Without it newcomers wait, as they would without us.
    thread.on('error', () => undefined)
    thread.unref()
    // Who was let in at the very end.
    port1.on('message', (guest: PorterGuest) => this.#admit(guest))
    port1.unref()
    return port1
  }

  /** Takes in who has come, from within what keeps the event loop. */
  poll(): void {
    if (this.#port === undefined) return
    for (;;) {
      const received = receiveMessageOnPort(this.#port)
      if (received === undefined) return
      this.#admit(received.message as PorterGuest)
    }
  }

  #admit({ id, fd }: PorterGuest): void {
    this.#guests++
    const door = this.#doors.get(id)
    // What it came to is closed.
    if (door === undefined) closeSync(fd)
    else door.admit(fd)
    if (this.#guests >= KEPT_MAX) this.end()
  }

  end(): void {
    Atomics.store(this.#state, 0, RESTING)
  }
}
