/**
 * One bus carries everything that happened. The log, the metrics, the admin feed and the Sentinel channels listen to it;
 * whoever makes a thing happen says so once, with Sentinel's spelling of the name (`+sdown`, `+switch-master`).
 */
import type { UnixMillis } from './units.js'

export type EventLevel = 'debug' | 'info' | 'warn' | 'error'

export type EventFields = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface LagrangeEvent {
  /** Grows by one with every event of this bus; an event feed resumes after it. */
  readonly id: number
  readonly at: UnixMillis
  readonly level: EventLevel
  readonly name: string
  readonly fields: EventFields
}

export type EventListener = (event: LagrangeEvent) => void

/** The half that most code needs: say that something happened. */
export interface EventSink {
  event(level: EventLevel, name: string, fields?: EventFields): void
}

export class EventBus implements EventSink {
  readonly #listeners = new Set<EventListener>()
  #lastId = 0

  constructor(private readonly wall: () => UnixMillis) {}

  event(level: EventLevel, name: string, fields: EventFields = {}): void {
    const event = { id: ++this.#lastId, at: this.wall(), level, name, fields }
    for (const listener of this.#listeners) listener(event)
  }

  /** The returned function ends the subscription. */
  listen(listener: EventListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

/** For collaborators that have nothing to tell. */
export const silentSink: EventSink = { event() {} }
