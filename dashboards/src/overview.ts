/** Is it well, who is master, what do clients get, and where do reads go? */
import { frame } from './frame.js'
import { heatmap, lines, stat, table, timeline } from './panels.js'
import { increase, orZero, quantile, rate, select, sumBy } from './query.js'

const good = 'green'
const bad = 'red'

const health = {
  title: 'Health',
  panels: [
    stat({
      title: 'Masters',
      description: 'Reachable instances that say they are master. 0: nobody can write. 2: split brain.',
      unit: 'none',
      span: 3,
      queries: [['{{group}}', select('lagrange_masters')]],
      steps: [
        [null, bad],
        [1, good],
        [2, bad],
      ],
    }),
    stat({
      title: 'Instances down',
      description: 'Instances that do not answer their probes.',
      unit: 'none',
      span: 3,
      queries: [['down', `count(${select('lagrange_node_up')}) - sum(${select('lagrange_node_up')})`]],
      steps: [
        [null, good],
        [1, bad],
      ],
    }),
    stat({
      title: 'Replica links',
      description: 'Whether all replicas are connected to their master.',
      unit: 'none',
      span: 3,
      queries: [['links', `min(${select('lagrange_replica_link_up')})`]],
      names: { 0: ['down', bad], 1: ['up', good] },
    }),
    stat({
      title: 'Writes',
      description: 'Whether writes are held back for a switch.',
      unit: 'none',
      span: 3,
      queries: [['writes', `max(${select('lagrange_writes_paused')})`]],
      names: { 0: ['flow', good], 1: ['held', 'orange'] },
    }),
    stat({
      title: 'Greatest lag',
      description: 'Age of the oldest write that some replica has not applied.',
      unit: 's',
      span: 3,
      queries: [['lag', `max(${select('lagrange_replica_lag_seconds')})`]],
      steps: [
        [null, good],
        [1, 'orange'],
        [10, bad],
      ],
    }),
    stat({
      title: 'Last change of master',
      description: 'When the master last changed.',
      unit: 'dateTimeFromNow',
      span: 3,
      queries: [['last', `max(${select('lagrange_failover_last_timestamp_seconds')}) * 1000`]],
      names: { 0: ['never', good] },
    }),
    stat({
      title: 'Workers',
      description: 'Worker processes that are serving.',
      unit: 'none',
      span: 3,
      queries: [['workers', `sum(${select('lagrange_workers')})`]],
      steps: [
        [null, bad],
        [1, good],
      ],
    }),
    stat({
      title: 'Configuration',
      description: 'Whether the last reload of the configuration succeeded.',
      unit: 'none',
      span: 3,
      queries: [['configuration', `min(${select('lagrange_config_last_reload_successful')})`]],
      names: { 0: ['refused', bad], 1: ['loaded', good] },
    }),
  ],
}

const topology = {
  title: 'Topology',
  panels: [
    table({
      title: 'Instances',
      description: 'Every instance: role, whether it answers, offset, lag, link to its master.',
      unit: 'none',
      span: 12,
      height: 8,
      by: 'node',
      hidden: ['group', 'job', 'instance', '__name__'].flatMap(name => [
        name,
        ...[1, 2, 3, 4, 5, 6].map(n => `${name} ${n}`),
      ]),
      queries: [
        ['Master', sumBy('node', select('lagrange_node_role', 'role="master"'))],
        ['Up', sumBy('node', select('lagrange_node_up'))],
        ['Offset', sumBy('node', select('lagrange_node_repl_offset_bytes'))],
        ['Lag bytes', sumBy('node', select('lagrange_replica_lag_bytes'))],
        ['Lag seconds', sumBy('node', select('lagrange_replica_lag_seconds'))],
        ['Link', sumBy('node', select('lagrange_replica_link_up'))],
      ],
    }),
    timeline({
      title: 'Who was master',
      description: 'Role of every instance over time.',
      unit: 'none',
      span: 12,
      height: 8,
      queries: [['{{node}}', `max by (node) (${select('lagrange_node_role', 'role="master"')})`]],
      names: { 0: ['replica', 'blue'], 1: ['master', good] },
    }),
  ],
}

const traffic = {
  title: 'Traffic',
  panels: [
    lines({
      title: 'Commands',
      description: 'Commands per second, by what answered them.',
      unit: 'ops',
      span: 8,
      stacked: true,
      queries: [['{{target}}', sumBy('target', rate('lagrange_commands_total'))]],
    }),
    lines({
      title: 'Most used commands',
      description: 'The ten most frequent commands.',
      unit: 'ops',
      span: 8,
      queries: [['{{command}}', `topk(10, ${sumBy('command', rate('lagrange_commands_total'))})`]],
    }),
    lines({
      title: 'Error replies',
      description: 'Error replies per second, by code.',
      unit: 'ops',
      span: 8,
      queries: [['{{code}}', orZero(sumBy('code', rate('lagrange_command_errors_total')))]],
    }),
    lines({
      title: 'Latency',
      description: 'From the choice of an upstream to its reply, by kind of command.',
      unit: 's',
      span: 12,
      queries: [
        ['{{kind}} p50', quantile(0.5, 'kind', 'lagrange_command_duration_seconds_bucket')],
        ['{{kind}} p95', quantile(0.95, 'kind', 'lagrange_command_duration_seconds_bucket')],
        ['{{kind}} p99', quantile(0.99, 'kind', 'lagrange_command_duration_seconds_bucket')],
      ],
    }),
    lines({
      title: 'Waiting',
      description: 'Commands that wait for a reply, and commands held back until a master is writable.',
      unit: 'none',
      span: 12,
      queries: [
        ['in flight', sumBy('', select('lagrange_commands_in_flight'))],
        ['held', sumBy('', select('lagrange_held_commands'))],
      ],
    }),
    lines({
      title: 'Clients',
      description: 'Open client connections, by listener.',
      unit: 'none',
      span: 8,
      queries: [['{{listener}}', sumBy('listener', select('lagrange_client_connections'))]],
    }),
    lines({
      title: 'Connections opened and refused',
      description: 'Per second; refused ones by reason.',
      unit: 'cps',
      span: 8,
      queries: [
        ['opened', sumBy('', rate('lagrange_client_connections_opened_total'))],
        ['refused: {{reason}}', orZero(sumBy('reason', rate('lagrange_client_connections_rejected_total')))],
      ],
    }),
    lines({
      title: 'Replies not taken',
      description: 'Bytes of replies that wait for clients which do not read, by listener.',
      unit: 'bytes',
      span: 8,
      queries: [['{{listener}}', sumBy('listener', select('lagrange_client_buffered_bytes'))]],
    }),
    lines({
      title: 'Commands denied and clients slowed down',
      description:
        'Commands refused by users, listeners or rules, by reason; reads of clients put off by rates. Per second.',
      unit: 'ops',
      span: 16,
      queries: [
        ['denied: {{reason}}', orZero(sumBy('reason', rate('lagrange_client_denials_total')))],
        ['slowed down', orZero(sumBy('', rate('lagrange_client_throttles_total')))],
      ],
    }),
    lines({
      title: 'Bytes',
      description: 'Bytes received from and sent to clients.',
      unit: 'Bps',
      span: 8,
      queries: [
        ['received', sumBy('', rate('lagrange_client_received_bytes_total'))],
        ['sent', sumBy('', rate('lagrange_client_sent_bytes_total'))],
      ],
    }),
  ],
}

const onReplicas = sumBy('', rate('lagrange_read_routing_total', 'decision="replica"'))
const allReads = sumBy('', rate('lagrange_read_routing_total'))

const routing = {
  title: 'Routing of reads',
  panels: [
    lines({
      title: 'Reads on replicas',
      description: 'Share of reads that a replica answered.',
      unit: 'percentunit',
      span: 8,
      max: 1,
      queries: [['share', `(${orZero(onReplicas)}) / (${orZero(allReads)})`]],
    }),
    lines({
      title: 'Why reads went to the master',
      description: 'Reads per second that the master answered, by reason.',
      unit: 'ops',
      span: 8,
      stacked: true,
      queries: [['{{because}}', orZero(sumBy('because', rate('lagrange_read_routing_total', 'decision="master"')))]],
    }),
    lines({
      title: 'Why reads went to replicas',
      description: 'Reads per second that replicas answered, by reason.',
      unit: 'ops',
      span: 8,
      stacked: true,
      queries: [['{{because}}', orZero(sumBy('because', rate('lagrange_read_routing_total', 'decision="replica"')))]],
    }),
    heatmap({
      title: 'Staleness served',
      description: 'Upper bound of the lag of the replica at the moment it was chosen.',
      unit: 's',
      span: 12,
      queries: [['{{le}}', sumBy('le', increase('lagrange_read_staleness_seconds_bucket'))]],
    }),
    lines({
      title: 'Staleness served, quantiles',
      description: 'Upper bound of the lag of the replica at the moment it was chosen.',
      unit: 's',
      span: 12,
      queries: [
        ['p50', quantile(0.5, '', 'lagrange_read_staleness_seconds_bucket')],
        ['p99', quantile(0.99, '', 'lagrange_read_staleness_seconds_bucket')],
      ],
    }),
  ],
}

const changes = {
  title: 'Changes of master',
  panels: [
    lines({
      title: 'Changes',
      description: 'Changes of master by cause and result.',
      unit: 'none',
      span: 8,
      queries: [['{{cause}} {{result}}', sumBy('cause, result', select('lagrange_failovers_total'))]],
    }),
    heatmap({
      title: 'How long writes waited',
      description: 'Per change of master.',
      unit: 's',
      span: 8,
      queries: [['{{le}}', sumBy('le', increase('lagrange_failover_write_unavailability_seconds_bucket'))]],
    }),
    lines({
      title: 'Epoch',
      description: 'Grows with every change of master; all proxies must agree.',
      unit: 'none',
      span: 8,
      queries: [['{{group}} {{instance}}', select('lagrange_topology_epoch')]],
    }),
    lines({
      title: 'Healed commands',
      description: 'Commands answered with an error that means "not executed" and sent again, by code.',
      unit: 'ops',
      span: 12,
      queries: [['{{code}}', orZero(sumBy('code', rate('lagrange_healed_commands_total')))]],
    }),
    lines({
      title: 'Events',
      description: 'Events per second, by level.',
      unit: 'eps',
      span: 12,
      queries: [['{{level}}', sumBy('level', rate('lagrange_events_total'))]],
    }),
  ],
}

const runtime = {
  title: 'Runtime',
  panels: [
    lines({
      title: 'Event-loop delay',
      description: 'How late the event loop ran, p99 of every process.',
      unit: 's',
      span: 8,
      queries: [['{{process}}', `max by (process) (${select('lagrange_event_loop_delay_seconds', 'stat="p99"')})`]],
    }),
    lines({
      title: 'CPU of the supervisor',
      description: 'Seconds of CPU per second.',
      unit: 'percentunit',
      span: 8,
      queries: [['{{instance}}', rate('process_cpu_seconds_total')]],
    }),
    lines({
      title: 'Memory of the supervisor',
      description: 'Resident memory.',
      unit: 'bytes',
      span: 8,
      queries: [['{{instance}}', select('process_resident_memory_bytes')]],
    }),
    lines({
      title: 'Age of the view',
      description: 'Since when a worker has not heard from its supervisor.',
      unit: 's',
      span: 8,
      queries: [['{{worker}}', `max by (worker) (${select('lagrange_worker_view_age_seconds')})`]],
    }),
    lines({
      title: 'Worker restarts',
      description: 'Workers started again after they died.',
      unit: 'none',
      span: 8,
      queries: [['{{instance}}', select('lagrange_worker_restarts_total')]],
    }),
    lines({
      title: 'Admin API',
      description: 'Requests per second, by status.',
      unit: 'reqps',
      span: 8,
      queries: [['{{code}}', sumBy('code', rate('lagrange_admin_requests_total'))]],
    }),
  ],
}

export const overview = frame('lagrange-overview', 'Lagrange / Overview', 'Health, topology, traffic and routing.', [
  health,
  topology,
  traffic,
  routing,
  changes,
  runtime,
])
