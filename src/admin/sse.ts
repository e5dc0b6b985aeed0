/**
 * What happens, as it happens: events as Server-Sent Events or on a WebSocket, and the topology as it changes. A follower
 * of events that lost its connection says the last id it saw and gets what it missed; when that is gone already, it is
 * told so by an event named `gap`.
 *
 * Bounds: `MAX_FOLLOWERS` streams in all; a follower that does not read is cut off by the adapter. The topology is put
 * into words once per interval, however many follow it.
 */
import type { LagrangeEvent } from '../base/bus.js'
import { type Clock, every } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import type { EventFeed } from './feed.js'
import type { HttpReply, HttpStream } from './http.js'
import { problemReply } from './problem.js'

const MAX_FOLLOWERS = 64

/** More often than uWebSockets.js gives up an idle connection (10 s), or a balancer in between. */
const HEARTBEAT_MS = 5000

export class EventStreams {
  #followers = 0
  /** By interval: those who follow the topology at this pace. */
  readonly #paces = new Map<Millis, Pace>()

  constructor(
    private readonly clock: Clock,
    private readonly feed: EventFeed,
    private readonly topology: () => unknown,
  ) {}

  /** `lastId` undefined: only what happens from now on. */
  follow(lastId: number | undefined): HttpReply {
    return this.#open(stream => {
      const stopHeartbeat = every(this.clock, HEARTBEAT_MS, () => stream.write(': still here\n\n'))
      const unfollow = this.feed.follow(event => stream.write(format(event)))
      const { events, missed } = this.feed.after(lastId ?? this.feed.lastId)
      stream.write(missed ? 'event: gap\ndata: {}\n\n' : ': welcome\n\n')
      for (const event of events) stream.write(format(event))
      return () => {
        stopHeartbeat()
        unfollow()
      }
    })
  }

  /** The same as messages: events, and `{"gap":true}` first when some are gone. */
  followOnSocket(lastId: number): HttpReply {
    const reply = this.#open(stream => {
      const unfollow = this.feed.follow(event => stream.write(JSON.stringify(event)))
      const { events, missed } = this.feed.after(lastId)
      if (missed) stream.write('{"gap":true}')
      for (const event of events) stream.write(JSON.stringify(event))
      return unfollow
    })
    return typeof reply.body === 'string' ? reply : { ...reply, upgrade: true }
  }

  /** The whole topology at once, and again every `intervalMs`. */
  followTopology(intervalMs: Millis): HttpReply {
    return this.#open(stream => {
      let pace = this.#paces.get(intervalMs)
      if (pace === undefined) {
        const beat = every(this.clock, intervalMs, () => this.#tell(pace as Pace))
        pace = { streams: new Set(), stop: beat }
        this.#paces.set(intervalMs, pace)
      }
      const { streams, stop } = pace
      streams.add(stream)
      stream.write(this.#describe())
      return () => {
        streams.delete(stream)
        if (streams.size > 0) return
        stop()
        this.#paces.delete(intervalMs)
      }
    })
  }

  #tell({ streams }: Pace): void {
    const text = this.#describe()
    for (const stream of streams) stream.write(text)
  }

  #describe(): string {
    return `data: ${JSON.stringify(this.topology())}\n\n`
  }

  /** `begin` answers what has to be undone when the stream is over. */
  #open(begin: (stream: HttpStream) => () => void): HttpReply {
    if (this.#followers >= MAX_FOLLOWERS) return problemReply('too-many-streams', `at most ${MAX_FOLLOWERS}`)
    return {
      status: 200,
      headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
      body: stream => {
        this.#followers++
        let end: () => void = () => undefined
        stream.onClose(() => {
          this.#followers--
          end()
        })
        end = begin(stream)
      },
    }
  }
}

interface Pace {
  readonly streams: Set<HttpStream>
  readonly stop: () => void
}

/** Without an `event:` line, so that one `onmessage` hears all of them; the name is in the data. */
function format(event: LagrangeEvent): string {
  return `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`
}
