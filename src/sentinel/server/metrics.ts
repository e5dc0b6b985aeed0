/** What a sentinel knows, for Prometheus; read when it is asked for. */
import type { MetricStore } from '../../metrics/store.js'
import { ignoredReasons } from '../../topology/quorum/effects.js'
import type { Watcher } from './watcher.js'

export function reportSentinel({ council, events }: Watcher, metrics: MetricStore): void {
  metrics.gauge('lagrange_sentinel_epoch').value = council.epoch
  metrics.gauge('lagrange_sentinel_tilt').value = council.tiltSince === undefined ? 0 : 1
  for (const { name: group, configEpoch, sdown, odown, replicas, peers } of council.masters.values()) {
    metrics.gauge('lagrange_sentinel_config_epoch', { group }).value = configEpoch
    metrics.gauge('lagrange_sentinel_master_down', { group, level: 'sdown' }).value = sdown ? 1 : 0
    metrics.gauge('lagrange_sentinel_master_down', { group, level: 'odown' }).value = odown ? 1 : 0
    metrics.gauge('lagrange_sentinel_known', { group, kind: 'replica' }).value = replicas.size
    metrics.gauge('lagrange_sentinel_known', { group, kind: 'sentinel' }).value = peers.size
  }
  for (const reason of ignoredReasons) {
    metrics.counter('lagrange_sentinel_ignored_total', { reason }).value = council.ignored.get(reason) ?? 0
  }
  for (const [event, count] of events) metrics.counter('lagrange_sentinel_events_total', { event }).value = count
}
