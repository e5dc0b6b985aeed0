/** How far is everybody, how are the links, and what goes to which instance? */
import { frame } from './frame.js'
import { lines, timeline } from './panels.js'
import { increase, quantile, rate, select, sumBy } from './query.js'

const offsets = {
  title: 'Offsets and lag',
  panels: [
    lines({
      title: 'Offsets',
      description: 'Replication offset: produced on a master, applied on a replica.',
      unit: 'bytes',
      span: 12,
      queries: [['{{node}}', `max by (node) (${select('lagrange_node_repl_offset_bytes')})`]],
    }),
    lines({
      title: 'Stream',
      description: 'Bytes per second that enter the stream (master) or are applied (replica).',
      unit: 'Bps',
      span: 12,
      queries: [['{{node}}', `max by (node) (deriv(${select('lagrange_node_repl_offset_bytes')}[$__rate_interval]))`]],
    }),
    lines({
      title: 'Lag in bytes',
      description:
        'Bytes of the master that the replica has not applied. Beyond the backlog, a cut costs a full resync.',
      unit: 'bytes',
      span: 12,
      queries: [
        ['{{node}}', `max by (node) (${select('lagrange_replica_lag_bytes')})`],
        ['smallest backlog', `min(${select('lagrange_repl_backlog_size_bytes')})`],
      ],
    }),
    lines({
      title: 'Lag in seconds',
      description: 'Age of the oldest write that the replica has not applied; 0 when it has all.',
      unit: 's',
      span: 12,
      queries: [['{{node}}', `max by (node) (${select('lagrange_replica_lag_seconds')})`]],
    }),
    lines({
      title: 'Not acknowledged',
      description:
        'Bytes of the master that each replica has not acknowledged. It acknowledges once a second: compare with the lag.',
      unit: 'bytes',
      span: 24,
      queries: [
        [
          '{{node}}',
          `scalar(max(${select('lagrange_node_repl_offset_bytes')})) - max by (node) (${select('lagrange_replica_acknowledged_offset_bytes')})`,
        ],
      ],
    }),
  ],
}

const links = {
  title: 'Links',
  panels: [
    timeline({
      title: 'Link to the master',
      description: 'Whether each replica is connected to its master.',
      unit: 'none',
      span: 12,
      queries: [['{{node}}', `min by (node) (${select('lagrange_replica_link_up')})`]],
      names: { 0: ['down', 'red'], 1: ['up', 'green'] },
    }),
    timeline({
      title: 'Instances',
      description: 'Whether each instance answers its probes.',
      unit: 'none',
      span: 12,
      queries: [['{{node}}', `min by (node) (${select('lagrange_node_up')})`]],
      names: { 0: ['down', 'red'], 1: ['up', 'green'] },
    }),
    timeline({
      title: 'Left out of reading',
      description: 'Why a replica serves no reads at all: down, link-down, loading, drain and so on.',
      unit: 'none',
      span: 24,
      queries: [['{{node}}: {{because}}', `max by (node, because) (${select('lagrange_replica_excluded')})`]],
      names: { 0: ['no', 'green'], 1: ['yes', 'orange'] },
    }),
    lines({
      title: 'Silence of the master',
      description: 'How long ago each replica received a byte from its master.',
      unit: 's',
      span: 8,
      queries: [['{{node}}', `time() - max by (node) (${select('lagrange_replica_last_io_timestamp_seconds')})`]],
    }),
    lines({
      title: 'Resyncs',
      description: 'Resyncs each instance served as a master, by type.',
      unit: 'none',
      span: 8,
      queries: [['{{node}} {{type}}', sumBy('node, type', increase('lagrange_replica_resyncs_total'))]],
    }),
    timeline({
      title: 'Full resync in progress',
      description: 'Which replicas are receiving a snapshot.',
      unit: 'none',
      span: 8,
      height: 8,
      queries: [['{{node}}', `max by (node) (${select('lagrange_replica_sync_in_progress')})`]],
      names: { 0: ['no', 'green'], 1: ['yes', 'orange'] },
    }),
    lines({
      title: 'Backlog',
      description: 'How full the replication backlog of each instance is.',
      unit: 'percentunit',
      span: 12,
      max: 1,
      queries: [
        [
          '{{node}}',
          `max by (node) (${select('lagrange_repl_backlog_history_bytes')} / ${select('lagrange_repl_backlog_size_bytes')})`,
        ],
      ],
    }),
    lines({
      title: 'Foremost offset minus hindmost',
      description: 'The spread of the group in bytes: what a failover to the wrong replica would lose.',
      unit: 'bytes',
      span: 12,
      queries: [
        [
          '{{group}}',
          `max by (group) (${select('lagrange_node_repl_offset_bytes')}) - min by (group) (${select('lagrange_node_repl_offset_bytes')})`,
        ],
      ],
    }),
  ],
}

const upstreams = {
  title: 'Connections to instances',
  panels: [
    lines({
      title: 'Connections',
      description: 'Connections to each instance, by state.',
      unit: 'none',
      span: 12,
      queries: [['{{node}} {{state}}', sumBy('node, state', select('lagrange_upstream_connections'))]],
    }),
    lines({
      title: 'Attempts to connect',
      description: 'Per second, by result.',
      unit: 'cps',
      span: 12,
      queries: [['{{node}} {{result}}', sumBy('node, result', rate('lagrange_upstream_connects_total'))]],
    }),
    lines({
      title: 'Round trip, p99',
      description: 'From sending a command to its reply, by instance.',
      unit: 's',
      span: 12,
      queries: [['{{node}}', quantile(0.99, 'node', 'lagrange_upstream_request_duration_seconds_bucket')]],
    }),
    lines({
      title: 'Pending',
      description: 'Commands sent to each instance and not yet answered.',
      unit: 'none',
      span: 12,
      queries: [['{{node}}', sumBy('node', select('lagrange_upstream_queue_commands'))]],
    }),
  ],
}

export const replication = frame(
  'lagrange-replication',
  'Lagrange / Replication',
  'Offsets, lag, links and the connections to the instances.',
  [offsets, links, upstreams],
)
