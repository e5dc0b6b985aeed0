/**
 * How late the event loop of a process runs. The histogram comes from outside (`monitorEventLoopDelay` of
 * node:perf_hooks, enabled by the composition root), because this folder has no clock of its own.
 */
import type { MetricStore } from './store.js'

/** What we need of node's IntervalHistogram; nanoseconds. */
export interface DelayHistogram {
  readonly max: number
  readonly count: number
  percentile(percentile: number): number
  reset(): void
}

/**
 * Sets `lagrange_event_loop_delay_seconds` before each snapshot, over the time since the one before. `resolutionMs` is
 * that of the histogram: it samples by a timer of this period, which is part of every delay it measures.
 */
export function reportEventLoop(
  store: MetricStore,
  process: string,
  histogram: DelayHistogram,
  options: { readonly resolutionMs: number },
): void {
  const set = (stat: string, nanoseconds: number): void => {
    const delay = Math.max(0, nanoseconds / 1e9 - options.resolutionMs / 1e3)
    store.gauge('lagrange_event_loop_delay_seconds', { process, stat }).value = delay
  }
  store.beforeSnapshot(() => {
    const measured = histogram.count > 0
    set('p50', measured ? histogram.percentile(50) : 0)
    set('p99', measured ? histogram.percentile(99) : 0)
    set('max', measured ? histogram.max : 0)
    histogram.reset()
  })
}
