import type { EventBus } from '../base/bus.js'
import type { MetricStore } from './store.js'

/** `lagrange_events_total`: how much is going on, and how bad it is. */
export function countEvents(bus: EventBus, store: MetricStore): void {
  bus.listen(event => store.counter('lagrange_events_total', { level: event.level }).value++)
}
