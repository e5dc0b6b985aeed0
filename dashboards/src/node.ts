/** One instance, or some beside each other: choose them at the top. */
import { frame, nodeVariable } from './frame.js'
import { lines, stat, timeline } from './panels.js'
import { increase, ofNode, quantile, rate, select, sumBy } from './query.js'

const state = {
  title: 'State',
  panels: [
    stat({
      title: 'Up',
      description: 'Whether the instance answers its probes.',
      unit: 'none',
      span: 6,
      queries: [['{{node}}', `min by (node) (${select('lagrange_node_up', ofNode)})`]],
      names: { 0: ['down', 'red'], 1: ['up', 'green'] },
    }),
    stat({
      title: 'Role',
      description: 'Whether it is the master.',
      unit: 'none',
      span: 6,
      queries: [['{{node}}', `max by (node) (${select('lagrange_node_role', `role="master",${ofNode}`)})`]],
      names: { 0: ['replica', 'blue'], 1: ['master', 'green'] },
    }),
    stat({
      title: 'Lag',
      description: 'Age of the oldest write it has not applied; a master has none.',
      unit: 's',
      span: 6,
      queries: [['{{node}}', `max by (node) (${select('lagrange_replica_lag_seconds', ofNode)})`]],
      steps: [
        [null, 'green'],
        [1, 'orange'],
        [10, 'red'],
      ],
    }),
    stat({
      title: 'Offset',
      description: 'Produced (master) or applied (replica).',
      unit: 'none',
      span: 6,
      queries: [['{{node}}', `max by (node) (${select('lagrange_node_repl_offset_bytes', ofNode)})`]],
    }),
    timeline({
      title: 'Link',
      description: 'Whether it was connected to its master.',
      unit: 'none',
      span: 12,
      queries: [['{{node}}', `min by (node) (${select('lagrange_replica_link_up', ofNode)})`]],
      names: { 0: ['down', 'red'], 1: ['up', 'green'] },
    }),
    timeline({
      title: 'Role over time',
      description: 'When it was the master.',
      unit: 'none',
      span: 12,
      queries: [['{{node}}', `max by (node) (${select('lagrange_node_role', `role="master",${ofNode}`)})`]],
      names: { 0: ['replica', 'blue'], 1: ['master', 'green'] },
    }),
  ],
}

const work = {
  title: 'Work',
  panels: [
    lines({
      title: 'Commands through us',
      description: 'Round trips measured per second, one per batch of replies: how busy we keep it.',
      unit: 'ops',
      span: 8,
      queries: [['{{node}}', sumBy('node', rate('lagrange_upstream_request_duration_seconds_count', ofNode))]],
    }),
    lines({
      title: 'Round trip',
      description: 'From sending a command to its reply.',
      unit: 's',
      span: 8,
      queries: [
        ['{{node}} p50', quantile(0.5, 'node', 'lagrange_upstream_request_duration_seconds_bucket', ofNode)],
        ['{{node}} p99', quantile(0.99, 'node', 'lagrange_upstream_request_duration_seconds_bucket', ofNode)],
      ],
    }),
    lines({
      title: 'Waiting for it',
      description: 'Commands sent to it and not yet answered.',
      unit: 'none',
      span: 8,
      queries: [['{{node}}', sumBy('node', select('lagrange_upstream_queue_commands', ofNode))]],
    }),
    lines({
      title: 'Our connections to it',
      description: 'By state: shared by all clients, lent to one, idle.',
      unit: 'none',
      span: 12,
      queries: [['{{node}} {{state}}', sumBy('node, state', select('lagrange_upstream_connections', ofNode))]],
    }),
    lines({
      title: 'Attempts to connect to it',
      description: 'Per second, by result.',
      unit: 'cps',
      span: 12,
      queries: [['{{node}} {{result}}', sumBy('node, result', rate('lagrange_upstream_connects_total', ofNode))]],
    }),
  ],
}

const replication = {
  title: 'Replication',
  panels: [
    lines({
      title: 'Bytes of the stream',
      description: 'Bytes per second that it produces or applies.',
      unit: 'Bps',
      span: 8,
      queries: [
        ['{{node}}', `max by (node) (deriv(${select('lagrange_node_repl_offset_bytes', ofNode)}[$__rate_interval]))`],
      ],
    }),
    lines({
      title: 'Backlog',
      description: 'What it could still send to a replica that comes back, and how much that can become.',
      unit: 'bytes',
      span: 8,
      queries: [
        ['{{node}} held', `max by (node) (${select('lagrange_repl_backlog_history_bytes', ofNode)})`],
        ['{{node}} capacity', `max by (node) (${select('lagrange_repl_backlog_size_bytes', ofNode)})`],
      ],
    }),
    lines({
      title: 'Resyncs it served',
      description: 'As a master: full ones cost, partial ones do not.',
      unit: 'none',
      span: 8,
      queries: [['{{node}} {{type}}', sumBy('node, type', increase('lagrange_replica_resyncs_total', ofNode))]],
    }),
  ],
}

export const node = frame(
  'lagrange-node',
  'Lagrange / Node',
  'One instance in detail.',
  [state, work, replication],
  nodeVariable(),
)
