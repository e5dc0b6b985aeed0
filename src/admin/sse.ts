/**
 * The event feed as Server-Sent Events. A follower that lost its connection says the last id it saw and gets what it
 * missed; when that is gone already, it is told so by an event named `gap`.
 *
 * Bounds: `MAX_FOLLOWERS` streams; a follower that does not read is cut off by the adapter.
 */
import type { LagrangeEvent } from '../base/bus.js'
import { type Clock, every } from '../base/clock.js'
import type { EventFeed } from './feed.js'
import type { HttpReply } from './http.js'
import { problemReply } from './problem.js'

const MAX_FOLLOWERS = 64

/** More often than uWebSockets.js gives up an idle connection (10 s), or a balancer in between. */
const HEARTBEAT_MS = 5000

export class EventStreams {
  #followers = 0

  constructor(
    private readonly clock: Clock,
    private readonly feed: EventFeed,
  ) {}

  /** `lastId` undefined: only what happens from now on. */
  follow(lastId: number | undefined): HttpReply {
    if (this.#followers >= MAX_FOLLOWERS) return problemReply('too-many-streams', `at most ${MAX_FOLLOWERS}`)
    return {
      status: 200,
      headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
      body: stream => {
        this.#followers++
        const stopHeartbeat = every(this.clock, HEARTBEAT_MS, () => stream.write(': still here\n\n'))
        const unfollow = this.feed.follow(event => stream.write(format(event)))
        stream.onClose(() => {
          this.#followers--
          stopHeartbeat()
          unfollow()
        })
        const { events, missed } = this.feed.after(lastId ?? this.feed.lastId)
        stream.write(missed ? 'event: gap\ndata: {}\n\n' : ': welcome\n\n')
        for (const event of events) stream.write(format(event))
      },
    }
  }
}

/** Without an `event:` line, so that one `onmessage` hears all of them; the name is in the data. */
function format(event: LagrangeEvent): string {
  return `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`
}
