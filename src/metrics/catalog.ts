/**
 * Every metric once: name, type, labels, help. The store, /metrics, the dashboards and the reference page read this table.
 *
 * Conventions (Prometheus' own): base units, `_total` only on counters, ids and keys are never labels.
 */
export interface MetricRow {
  readonly type: 'gauge' | 'counter' | 'histogram'
  readonly labels: readonly string[]
  readonly help: string
  readonly buckets?: readonly number[]
  /** The values of labels that can have only these: their counters exist at 0 before anything happened. */
  readonly values?: Readonly<Record<string, readonly string[]>>
}

/** 50 µs … 5 s. */
export const latencyBuckets = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
] as const

/** Some of the same, as there are many commands. */
export const commandLatencyBuckets = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5] as const

const group = ['group'] as const
const groupNode = ['group', 'node'] as const

export const catalog = {
  lagrange_build_info: { type: 'gauge', labels: ['version', 'nodeversion'], help: 'Build information; always 1.' },

  lagrange_node_up: { type: 'gauge', labels: groupNode, help: 'Whether the instance answers its probes.' },
  lagrange_node_role: {
    type: 'gauge',
    labels: [...groupNode, 'role'],
    help: 'Role of the instance, one 0/1 series per role.',
  },
  lagrange_node_repl_offset_bytes: {
    type: 'gauge',
    labels: groupNode,
    help: 'Replication offset: produced on a master, applied on a replica.',
  },
  lagrange_node_memory_used_bytes: {
    type: 'gauge',
    labels: groupNode,
    help: 'What maxmemory is held against: data, clients and backlog, without what replicas have not taken.',
  },
  lagrange_node_memory_limit_bytes: { type: 'gauge', labels: groupNode, help: 'maxmemory; 0 for none.' },
  lagrange_node_keys: { type: 'gauge', labels: groupNode, help: 'Keys in all databases.' },
  lagrange_node_keys_evicted_total: { type: 'counter', labels: groupNode, help: 'Keys evicted at maxmemory.' },
  lagrange_node_keys_expired_total: { type: 'counter', labels: groupNode, help: 'Keys whose time was over.' },
  lagrange_replica_acknowledged_offset_bytes: {
    type: 'gauge',
    labels: groupNode,
    help: 'What the replica has acknowledged to its master (REPLCONF ACK, once a second), as the master says.',
  },
  lagrange_replica_excluded: {
    type: 'gauge',
    labels: [...groupNode, 'because'],
    help: 'Whether the replica serves no reads at all, and why: one 0/1 series per reason.',
  },
  lagrange_replica_lag_bytes: {
    type: 'gauge',
    labels: groupNode,
    help: 'Offset of the master minus the offset applied by the replica.',
  },
  lagrange_replica_lag_seconds: {
    type: 'gauge',
    labels: groupNode,
    help: 'Age of the oldest write that the replica has not applied; 0 when it has all.',
  },
  lagrange_replica_link_up: {
    type: 'gauge',
    labels: groupNode,
    help: 'Whether the replica is connected to its master.',
  },
  lagrange_replica_last_io_timestamp_seconds: {
    type: 'gauge',
    labels: groupNode,
    help: 'When the replica last received a byte from its master.',
  },
  lagrange_freshness_source: {
    type: 'gauge',
    labels: [...groupNode, 'source'],
    values: { source: ['tap', 'poll'] },
    help: 'Where applied offsets come from, one 0/1 series each: pushed by a tap on the stream, or polled with ROLE.',
  },
  lagrange_tap_attempts_total: {
    type: 'counter',
    labels: [...groupNode, 'result'],
    help: 'Attempts to tap the replication stream of an instance, by what became of them.',
  },
  lagrange_replica_sync_in_progress: { type: 'gauge', labels: groupNode, help: 'Whether a full resync is running.' },
  lagrange_replica_resyncs_total: {
    type: 'counter',
    labels: [...groupNode, 'type'],
    values: { type: ['full', 'partial', 'partial_refused'] },
    help: 'Resyncs the instance served as a master, by type: full, partial, partial_refused.',
  },
  lagrange_repl_backlog_size_bytes: { type: 'gauge', labels: groupNode, help: 'Capacity of the replication backlog.' },
  lagrange_repl_backlog_history_bytes: {
    type: 'gauge',
    labels: groupNode,
    help: 'Bytes the replication backlog holds.',
  },
  lagrange_topology_epoch: { type: 'gauge', labels: group, help: 'Grows with every change of master.' },
  lagrange_sentinels: {
    type: 'gauge',
    labels: [...group, 'state'],
    help: 'Sentinels that we follow (topology.source: sentinel), by whether they answer: up, down.',
  },
  lagrange_sentinel_epoch: {
    type: 'gauge',
    labels: [],
    help: 'The epoch of this sentinel: grows with every election.',
  },
  lagrange_sentinel_config_epoch: {
    type: 'gauge',
    labels: group,
    help: 'The epoch in which the present master of the group was elected; the same on all sentinels when they agree.',
  },
  lagrange_sentinel_master_down: {
    type: 'gauge',
    labels: [...group, 'level'],
    help: 'Whether the master is down for this sentinel (sdown) and for the quorum (odown).',
  },
  lagrange_sentinel_known: {
    type: 'gauge',
    labels: [...group, 'kind'],
    help: 'Replicas and other sentinels of the group that this sentinel knows.',
  },
  lagrange_sentinel_tilt: { type: 'gauge', labels: [], help: 'Whether this sentinel only watches, as it stood still.' },
  lagrange_sentinel_events_total: {
    type: 'counter',
    labels: ['event'],
    help: 'Events of this sentinel, by their names: +sdown, +odown, +elected-leader, +switch-master and so on.',
  },
  lagrange_sentinel_ignored_total: {
    type: 'counter',
    labels: ['reason'],
    values: {
      reason: ['malformed', 'unknown-master', 'impossible-epoch', 'unresolved-name', 'foreign-replica', 'unwritable'],
    },
    help: 'What this sentinel was told and did not believe, and votes that it could not write down and so did not give.',
  },
  lagrange_diagnosis: {
    type: 'gauge',
    labels: [...group, 'diagnosis'],
    help: 'What is wrong with the group, by name: 1 for what is the case, 0 for everything else that could be.',
  },
  lagrange_masters: {
    type: 'gauge',
    labels: group,
    help: 'Reachable instances that say they are master; 1 is healthy.',
  },
  lagrange_writes_paused: { type: 'gauge', labels: group, help: 'Whether writes are held back for a switch.' },
  lagrange_failovers_total: {
    type: 'counter',
    labels: [...group, 'cause', 'result'],
    values: { cause: ['switchover', 'failover'], result: ['ok', 'aborted', 'failed'] },
    help: 'Changes of master, by cause (switchover, failover) and result (ok, aborted, failed).',
  },
  lagrange_failover_write_unavailability_seconds: {
    type: 'histogram',
    labels: group,
    help: 'How long writes waited per change of master.',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  },
  lagrange_failover_last_timestamp_seconds: {
    type: 'gauge',
    labels: group,
    help: 'When the master last changed; 0 before the first change.',
  },

  lagrange_client_connections: { type: 'gauge', labels: ['listener'], help: 'Open client connections.' },
  lagrange_client_connections_opened_total: {
    type: 'counter',
    labels: ['listener'],
    help: 'Accepted client connections.',
  },
  lagrange_client_connections_rejected_total: {
    type: 'counter',
    labels: ['listener', 'reason'],
    help: 'Client connections refused or closed by us, by reason.',
  },
  lagrange_client_throttles_total: {
    type: 'counter',
    labels: ['listener'],
    help: 'How often a client was not read for a while, as it was faster than its rate.',
  },
  lagrange_client_denials_total: {
    type: 'counter',
    labels: ['listener', 'reason'],
    values: { reason: ['auth', 'command', 'key', 'channel', 'read-only', 'rule'] },
    help: 'Logins and commands that were refused, by what stood in the way.',
  },
  lagrange_client_buffered_bytes: {
    type: 'gauge',
    labels: ['listener'],
    help: 'Bytes of replies that clients have not taken yet.',
  },
  lagrange_client_received_bytes_total: { type: 'counter', labels: ['listener'], help: 'Bytes received from clients.' },
  lagrange_client_sent_bytes_total: { type: 'counter', labels: ['listener'], help: 'Bytes sent to clients.' },
  lagrange_commands_total: {
    type: 'counter',
    labels: [...group, 'command', 'target'],
    help: 'Commands by name and by what answered them: master, replica or the proxy itself (local).',
  },
  lagrange_command_errors_total: {
    type: 'counter',
    labels: [...group, 'code', 'target'],
    help: 'Error replies by their code.',
  },
  lagrange_command_duration_seconds: {
    type: 'histogram',
    labels: [...group, 'kind', 'target'],
    values: { kind: ['read', 'write', 'other'], target: ['master', 'replica'] },
    help: 'From the choice of an upstream to its reply, by kind (read, write, other).',
    buckets: latencyBuckets,
  },
  lagrange_command_latency_seconds: {
    type: 'histogram',
    labels: [...group, 'command'],
    help: 'The same by command, for commands that were used.',
    buckets: commandLatencyBuckets,
  },
  lagrange_hedged_reads_total: {
    type: 'counter',
    labels: [...group, 'result'],
    values: { result: ['asked', 'won', 'late'] },
    help: 'Reads that were asked of a second replica; whose answer counted (won) or came too late.',
  },
  lagrange_replica_ejections_total: {
    type: 'counter',
    labels: [...group, 'node'],
    help: 'How often a replica was left alone for a while because it answered much later than the others.',
  },
  lagrange_commands_in_flight: { type: 'gauge', labels: group, help: 'Commands waiting for a reply.' },
  lagrange_read_routing_total: {
    type: 'counter',
    labels: [...group, 'decision', 'because'],
    help: 'Where reads went, and why.',
  },
  lagrange_reads_refused_total: {
    type: 'counter',
    labels: [...group, 'because'],
    help: 'Reads that no replica qualified for, answered with NOREPLICA as the master is spared by consistency.noReplica.',
  },
  lagrange_mark_collisions_total: {
    type: 'counter',
    labels: group,
    help: 'Reads that went to the master for a write to another key of the same slot of the table of marks.',
  },
  lagrange_read_staleness_seconds: {
    type: 'histogram',
    labels: group,
    help: 'Upper bound of the lag of the replica at the moment it was chosen.',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
  },
  lagrange_rescues_total: {
    type: 'counter',
    labels: [...group, 'result'],
    values: { result: ['stream', 'snapshot', 'nothing', 'failed'] },
    help: 'Old masters that were looked at before they were demoted, by what could be had of what they alone had.',
  },
  lagrange_rescued_writes_total: { type: 'counter', labels: group, help: 'Writes that only an old master had.' },
  lagrange_witness_streaming: { type: 'gauge', labels: group, help: "Whether the witness reads the master's stream." },
  lagrange_witness_bytes: { type: 'gauge', labels: group, help: "Bytes of the master's stream that the witness has." },
  lagrange_witness_memory_bytes: { type: 'gauge', labels: group, help: 'Memory they take.' },
  lagrange_witness_fed_bytes_total: {
    type: 'counter',
    labels: group,
    help: 'Bytes that replicas had from the witness because their master died before it had sent them.',
  },
  lagrange_witness_replayed_writes_total: {
    type: 'counter',
    labels: group,
    help: 'Writes that a new master was given by a client, as the witness could not be reached by it.',
  },
  lagrange_stream_followed: {
    type: 'gauge',
    labels: group,
    help: 'Workers that read the stream of the master, so that causal sees writes that did not come through them.',
  },
  lagrange_read_staleness_bytes: {
    type: 'histogram',
    labels: group,
    help: 'Upper bound of what the replica had not applied of the master, as far as we had heard, at the moment it was chosen.',
    buckets: [0, 100, 1000, 10_000, 100_000, 1e6, 1e7, 1e8],
  },
  lagrange_verified_reads_total: {
    type: 'counter',
    labels: [...groupNode, 'result'],
    help: 'Reads asked again of master and replica and compared: equal, different (the replica has diverged), incomparable (they were not at the same offset).',
  },
  lagrange_lost_write_sessions_total: {
    type: 'counter',
    labels: group,
    help: 'Connections that were acknowledged, or shown, what the master after a failover may not have; each is told LOSTWRITE.',
  },
  lagrange_acks_total: {
    type: 'counter',
    labels: [...group, 'result'],
    values: { result: ['confirmed', 'unconfirmed', 'degraded', 'refused'] },
    help: 'Writes that a rule has confirmed by replicas or the witness: confirmed, unconfirmed in time (answered with UNKNOWNRESULT), degraded (answered without), refused (NOREPLICAS: not executed).',
  },
  lagrange_acks_wait_seconds: {
    type: 'histogram',
    labels: group,
    help: 'From the sending of a write to its confirmation, where a rule asks for one.',
    buckets: latencyBuckets,
  },
  lagrange_acks_waiting: { type: 'gauge', labels: group, help: 'Writes that are executed and not confirmed yet.' },
  lagrange_stream_marks_total: {
    type: 'counter',
    labels: [...group, 'kind'],
    values: { kind: ['key', 'barrier'] },
    help: 'Keys that the stream of the master named as written, and writes of it whose keys nobody could name.',
  },
  lagrange_stream_window_seconds: {
    type: 'histogram',
    labels: group,
    help: 'From the acknowledgement of a write to its coming by the stream: how long causal may miss a write that did not come through this worker.',
    buckets: [0, ...latencyBuckets],
  },
  lagrange_held_commands: { type: 'gauge', labels: group, help: 'Commands held back until a master is writable.' },
  lagrange_healed_commands_total: {
    type: 'counter',
    labels: [...group, 'code'],
    help: 'Commands answered with an error that means "not executed" and sent again, by code.',
  },
  lagrange_upstream_connections: {
    type: 'gauge',
    labels: [...groupNode, 'state'],
    help: 'Connections to instances by state: shared, pinned, idle.',
  },
  lagrange_upstream_connects_total: {
    type: 'counter',
    labels: [...groupNode, 'result'],
    values: { result: ['ok', 'refused', 'failed'] },
    help: 'Attempts to connect to instances: ok, refused, failed.',
  },
  lagrange_upstream_disconnects_total: {
    type: 'counter',
    labels: [...groupNode, 'reason'],
    help: 'Connections to instances that ended, by what was wrong with them; network: they were lost.',
  },
  lagrange_upstream_request_duration_seconds: {
    type: 'histogram',
    labels: groupNode,
    help: 'Round trip to the instance of commands of clients, one sample per batch of replies read: that of the first of them.',
    buckets: latencyBuckets,
  },
  lagrange_upstream_queue_commands: {
    type: 'gauge',
    labels: groupNode,
    help: 'Commands sent to the instance and not yet answered.',
  },

  lagrange_workers: { type: 'gauge', labels: [], help: 'Workers that are serving.' },
  lagrange_worker_restarts_total: { type: 'counter', labels: [], help: 'Workers started again after they died.' },
  lagrange_worker_view_age_seconds: {
    type: 'gauge',
    labels: ['worker'],
    help: 'Since when the worker has not heard from its supervisor.',
  },
  lagrange_event_loop_delay_seconds: {
    type: 'gauge',
    labels: ['process', 'stat'],
    help: 'How late the event loop ran over the last scrape interval: p50, p99, max.',
    values: { stat: ['p50', 'p99', 'max'] },
  },
  lagrange_config_last_reload_successful: {
    type: 'gauge',
    labels: [],
    help: 'Whether the last reload of the configuration succeeded.',
  },
  lagrange_config_last_reload_success_timestamp_seconds: {
    type: 'gauge',
    labels: [],
    help: 'When the configuration was last loaded.',
  },
  lagrange_admin_requests_total: {
    type: 'counter',
    labels: ['method', 'route', 'code'],
    help: 'Requests to the admin API, by route template.',
  },
  lagrange_events_total: {
    type: 'counter',
    labels: ['level'],
    help: 'Events on the bus, by level.',
    values: { level: ['debug', 'info', 'warn', 'error'] },
  },
} as const satisfies Record<string, MetricRow>

export type MetricName = keyof typeof catalog
