/** How fresh is what clients read, what does freshness cost, and where does our knowledge of it come from? */
import { frame } from './frame.js'
import { heatmap, lines, stat, timeline } from './panels.js'
import { orZero, quantile, rate, select, sumBy } from './query.js'

const onReplicas = sumBy('', rate('lagrange_read_routing_total', 'decision="replica"'))
const answered = sumBy('', rate('lagrange_read_routing_total', 'decision=~"replica|master"'))
const waited = sumBy('', rate('lagrange_read_routing_total', 'decision="wait"'))

const served = {
  title: 'What is served',
  panels: [
    stat({
      title: 'Staleness served, p99',
      description: 'Of reads on replicas: the upper bound of the lag of the replica at the moment it was chosen.',
      unit: 's',
      span: 6,
      queries: [['p99', quantile(0.99, '', 'lagrange_read_staleness_seconds_bucket')]],
      steps: [
        [null, 'green'],
        [0.1, 'orange'],
        [1, 'red'],
      ],
    }),
    stat({
      title: 'Share of reads on replicas',
      description: 'What the replicas take off the master.',
      unit: 'percentunit',
      span: 6,
      queries: [['share', `(${orZero(onReplicas)}) / (${orZero(answered)})`]],
      steps: [
        [null, 'red'],
        [0.5, 'orange'],
        [0.8, 'green'],
      ],
    }),
    stat({
      title: 'Reads that waited',
      description: 'Share of reads that waited some milliseconds for a replica that was about to be fresh enough.',
      unit: 'percentunit',
      span: 6,
      queries: [['share', `(${orZero(waited)}) / (${orZero(answered)})`]],
    }),
    stat({
      title: 'Reads lost to write marks',
      description: 'Reads per second that went to the master because a write to their keys was not settled yet.',
      unit: 'ops',
      span: 6,
      queries: [['reads', orZero(sumBy('', rate('lagrange_read_routing_total', 'because="write-in-flight"')))]],
    }),
    heatmap({
      title: 'Staleness of every read',
      description: 'How many reads per second were served at which staleness.',
      unit: 's',
      span: 12,
      queries: [['{{le}}', sumBy('le', rate('lagrange_read_staleness_seconds_bucket'))]],
    }),
    lines({
      title: 'Reads within 1, 10 and 100 ms of the master',
      description: 'Share of the reads on replicas that were no staler than so much.',
      unit: 'percentunit',
      span: 12,
      max: 1,
      queries: (['0.001', '0.01', '0.1'] as const).map(le => [
        `${Number(le) * 1000} ms`,
        `${sumBy('', rate('lagrange_read_staleness_seconds_bucket', `le="${le}"`))} / ${sumBy('', rate('lagrange_read_staleness_seconds_count'))}`,
      ]),
    }),
    lines({
      title: 'All reads, by reason',
      description: 'Where every read went, and why.',
      unit: 'ops',
      span: 24,
      stacked: true,
      queries: [['{{decision}}: {{because}}', sumBy('decision, because', rate('lagrange_read_routing_total'))]],
    }),
  ],
}

const knowledge = {
  title: 'What we know of the replicas',
  panels: [
    lines({
      title: 'Lag of each replica',
      description: 'Age of the oldest write that the replica has not applied.',
      unit: 's',
      span: 12,
      queries: [['{{node}}', `max by (node) (${select('lagrange_replica_lag_seconds')})`]],
    }),
    timeline({
      title: 'Source of offsets',
      description: 'How we learn what each replica has applied: pushed by a tap on its stream, or asked for.',
      unit: 'none',
      span: 12,
      height: 8,
      queries: [['{{node}} {{source}}', `max by (node, source) (${select('lagrange_freshness_source')})`]],
      names: { 0: ['no', 'dark-blue'], 1: ['yes', 'green'] },
    }),
    lines({
      title: 'Taps',
      description: 'Attempts to tap the stream of a replica, by result.',
      unit: 'none',
      span: 12,
      queries: [['{{result}}', orZero(sumBy('result', select('lagrange_tap_attempts_total')))]],
    }),
    lines({
      title: 'Age of the view',
      description:
        'Since when each worker has not heard from its supervisor: beyond a second it routes on what it knew.',
      unit: 's',
      span: 12,
      queries: [['worker {{worker}}', `max by (worker) (${select('lagrange_worker_view_age_seconds')})`]],
    }),
  ],
}

const others = {
  title: 'Writes that did not come through this worker',
  panels: [
    lines({
      title: 'Workers that read the stream',
      description: "Workers that learn of others' writes from the stream of the master.",
      unit: 'none',
      span: 8,
      queries: [['{{group}}', orZero(sumBy('group', select('lagrange_stream_followed')))]],
    }),
    lines({
      title: 'Marks from the stream',
      description: 'Keys (and barriers for all keys) that became known as written by others, per second.',
      unit: 'ops',
      span: 8,
      queries: [['{{kind}}', orZero(sumBy('kind', rate('lagrange_stream_marks_total')))]],
    }),
    lines({
      title: 'Window of causal',
      description:
        'From the acknowledgement of a write to its coming by the stream: what causal may miss across workers.',
      unit: 's',
      span: 8,
      queries: [
        ['p50', quantile(0.5, '', 'lagrange_stream_window_seconds_bucket')],
        ['p99', quantile(0.99, '', 'lagrange_stream_window_seconds_bucket')],
      ],
    }),
  ],
}

export const freshness = frame(
  'lagrange-freshness',
  'Lagrange / Freshness',
  'How fresh reads are, and what that costs.',
  [served, knowledge, others],
)
