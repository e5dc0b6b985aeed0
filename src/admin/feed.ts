/**
 * The last events of the bus, for those who ask what happened, and for those who follow what happens.
 *
 * Bound: `capacity` events; older ones are forgotten, and a reader who wanted them is told that it missed some.
 */
import type { EventBus, EventListener, LagrangeEvent } from '../base/bus.js'
import { Ring } from '../base/ring.js'

export class EventFeed {
  readonly #ring: Ring<LagrangeEvent>
  readonly #listeners = new Set<EventListener>()

  constructor(bus: EventBus, options: { readonly capacity: number } = { capacity: 1000 }) {
    this.#ring = new Ring(options.capacity)
    bus.listen(event => {
      this.#ring.push(event)
      for (const listener of this.#listeners) listener(event)
    })
  }

  get lastId(): number {
    return this.#ring.last()?.id ?? 0
  }

  /**
   * What happened after the event `id`, oldest first. An id from the future was given by a process that was here before
   * us: everything is new to its reader.
   */
  after(id: number): { readonly events: readonly LagrangeEvent[]; readonly missed: boolean } {
    const since = id > this.lastId ? 0 : id
    const events = [...this.#ring].filter(event => event.id > since)
    const first = events[0]
    return { events, missed: first !== undefined && first.id > since + 1 }
  }

  /** The returned function ends the subscription. */
  follow(listener: EventListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
