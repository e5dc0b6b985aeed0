/**
 * Facts as gauges, read at each scrape. Families are emptied first, so that an instance that left leaves no series.
 */

import { formatAddress } from '../base/address.js'
import type { Clock } from '../base/clock.js'
import type { Offset } from '../base/units.js'
import type { MetricName } from '../metrics/catalog.js'
import type { MetricStore } from '../metrics/store.js'
import { diagnoses } from '../topology/diagnose.js'
import { declaredMaster, type Group, isMember, isUp } from '../topology/group.js'
import { excludedBecause } from '../topology/make-view.js'
import { exclusions } from '../topology/view.js'
import type { Observer } from './observer.js'

const roles = ['master', 'replica', 'unknown'] as const

const perNode: readonly MetricName[] = [
  'lagrange_node_up',
  'lagrange_node_role',
  'lagrange_node_repl_offset_bytes',
  'lagrange_replica_acknowledged_offset_bytes',
  'lagrange_replica_excluded',
  'lagrange_replica_lag_bytes',
  'lagrange_replica_lag_seconds',
  'lagrange_replica_link_up',
  'lagrange_replica_last_io_timestamp_seconds',
  'lagrange_replica_sync_in_progress',
  'lagrange_replica_resyncs_total',
  'lagrange_freshness_source',
  'lagrange_repl_backlog_size_bytes',
  'lagrange_repl_backlog_history_bytes',
]

/** The task to run before a snapshot. */
export function exportFacts(observer: Observer, metrics: MetricStore, clock: Clock): () => void {
  return () => {
    for (const name of perNode) metrics.clear(name)
    const now = clock.now()
    const group = observer.name
    let masters = 0
    const acknowledged = acknowledgedOffsets(observer.group)
    for (const instance of observer.facts.filter(isMember)) {
      const labels = { group, node: instance.id }
      const set = (name: MetricName, value: number): void => {
        metrics.gauge(name, labels).value = value
      }
      const up = isUp(instance, observer.judgeOptions, now)
      if (up && instance.role === 'master') masters++
      set('lagrange_node_up', up ? 1 : 0)
      for (const role of roles) {
        metrics.gauge('lagrange_node_role', { ...labels, role }).value = instance.role === role ? 1 : 0
      }
      if (instance.offset !== undefined) set('lagrange_node_repl_offset_bytes', instance.offset)
      set('lagrange_repl_backlog_size_bytes', instance.backlog.sizeBytes)
      set('lagrange_repl_backlog_history_bytes', instance.backlog.historyBytes)
      if (instance.resyncs !== undefined) {
        const { full, partial, partialRefused } = instance.resyncs
        for (const [type, value] of [
          ['full', full],
          ['partial', partial],
          ['partial_refused', partialRefused],
        ] as const) {
          metrics.counter('lagrange_replica_resyncs_total', { ...labels, type }).value = value
        }
      }
      if (instance.role !== 'replica') continue
      set('lagrange_replica_link_up', up && instance.master?.up === true ? 1 : 0)
      set('lagrange_replica_sync_in_progress', instance.master?.syncing === true ? 1 : 0)
      const heard = acknowledged.get(instance.id)
      if (heard !== undefined) set('lagrange_replica_acknowledged_offset_bytes', heard)
      const excluded = excludedBecause(instance, observer.group, observer.judgeOptions, now)
      for (const because of exclusions) {
        metrics.gauge('lagrange_replica_excluded', { ...labels, because }).value = because === excluded ? 1 : 0
      }
      const { source } = observer.freshnessOf(instance.id)
      for (const one of ['tap', 'poll'] as const) {
        metrics.gauge('lagrange_freshness_source', { ...labels, source: one }).value = one === source ? 1 : 0
      }
      const lag = observer.lagOf(instance)
      // No series is better than a number that means nothing: the histories cannot be compared.
      if (lag !== undefined) {
        set('lagrange_replica_lag_bytes', lag.bytes)
        set('lagrange_replica_lag_seconds', lag.ms / 1000)
      }
      if (instance.lastByteAt !== undefined) {
        const agoMs = now - instance.lastByteAt
        set('lagrange_replica_last_io_timestamp_seconds', (clock.wall() - agoMs) / 1000)
      }
    }
    metrics.gauge('lagrange_masters', { group }).value = masters
    for (const diagnosis of diagnoses) {
      metrics.gauge('lagrange_diagnosis', { group, diagnosis }).value = diagnosis === observer.diagnosis.name ? 1 : 0
    }
    metrics.gauge('lagrange_topology_epoch', { group }).value = observer.group.masterEpoch
  }
}

/** By the id of the replica: what the master we believe in says that it has acknowledged. */
function acknowledgedOffsets(group: Group): ReadonlyMap<string, Offset> {
  const offsets = new Map<string, Offset>()
  for (const { address, acknowledged } of declaredMaster(group)?.replicas ?? []) {
    const name = formatAddress(address)
    if (acknowledged !== undefined) offsets.set(group.aliases.get(name) ?? name, acknowledged)
  }
  return offsets
}
