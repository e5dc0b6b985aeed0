/** Changes of master: how many, why, how long writes waited, and is the next one going to be as good? */
import { frame } from './frame.js'
import { heatmap, lines, stat, timeline } from './panels.js'
import { increase, orZero, rate, select, sumBy } from './query.js'

const unavailable = 'lagrange_failover_write_unavailability_seconds'

const past = {
  title: 'What happened',
  panels: [
    stat({
      title: 'Planned switches',
      description: 'Planned changes of master that succeeded, since the proxy was started.',
      unit: 'none',
      span: 4,
      queries: [['switchovers', sumBy('', select('lagrange_failovers_total', 'cause="switchover",result="ok"'))]],
    }),
    stat({
      title: 'Failovers',
      description: 'Unplanned changes of master that succeeded, since the proxy was started.',
      unit: 'none',
      span: 4,
      queries: [['failovers', sumBy('', select('lagrange_failovers_total', 'cause="failover",result="ok"'))]],
    }),
    stat({
      title: 'Without success',
      description: 'Changes of master that were rolled back or failed.',
      unit: 'none',
      span: 4,
      queries: [['without success', sumBy('', select('lagrange_failovers_total', 'result!="ok"'))]],
      steps: [
        [null, 'green'],
        [1, 'red'],
      ],
    }),
    stat({
      title: 'Writes waited, in the mean',
      description: 'How long writes waited per change of master, over the time that is shown.',
      unit: 's',
      span: 4,
      queries: [
        [
          'mean',
          `(${orZero(sumBy('', `increase(${select(`${unavailable}_sum`)}[$__range])`))}) / clamp_min(${orZero(sumBy('', `increase(${select(`${unavailable}_count`)}[$__range])`))}, 1)`,
        ],
      ],
      steps: [
        [null, 'green'],
        [0.5, 'orange'],
        [2, 'red'],
      ],
    }),
    stat({
      title: 'Since the last change',
      description: 'When the master last changed.',
      unit: 'dateTimeFromNow',
      span: 4,
      queries: [['last', `max(${select('lagrange_failover_last_timestamp_seconds')}) * 1000`]],
      names: { 0: ['never', 'green'] },
    }),
    stat({
      title: 'Proxies that disagree',
      description: 'Distance between the highest and the lowest epoch of all proxies of a group; 0 is agreement.',
      unit: 'none',
      span: 4,
      queries: [
        [
          '{{group}}',
          `max by (group) (${select('lagrange_topology_epoch')}) - min by (group) (${select('lagrange_topology_epoch')})`,
        ],
      ],
      steps: [
        [null, 'green'],
        [1, 'orange'],
      ],
    }),
    heatmap({
      title: 'Stall per change',
      description: 'How many changes of master made writes wait for how long.',
      unit: 's',
      span: 12,
      queries: [['{{le}}', sumBy('le', increase(`${unavailable}_bucket`))]],
    }),
    lines({
      title: 'Changes by cause and result',
      description: 'Counted since the proxy was started.',
      unit: 'none',
      span: 12,
      queries: [['{{cause}} {{result}}', sumBy('cause, result', select('lagrange_failovers_total'))]],
    }),
    timeline({
      title: 'Master over time',
      description: 'Which instance was the master when.',
      unit: 'none',
      span: 24,
      queries: [['{{node}}', `max by (node) (${select('lagrange_node_role', 'role="master"')})`]],
      names: { 0: ['replica', 'blue'], 1: ['master', 'green'] },
    }),
    timeline({
      title: 'Diagnosis over time',
      description: 'What was wrong with the group, by the name that the log, the API and the console give it.',
      unit: 'none',
      span: 24,
      queries: [['{{group}} {{diagnosis}}', `max by (group, diagnosis) (${select('lagrange_diagnosis')}) > 0`]],
      names: { 1: ['so it was', 'orange'] },
    }),
  ],
}

const clients = {
  title: 'What clients noticed',
  panels: [
    lines({
      title: 'Held commands',
      description: 'Commands that wait for a writable master.',
      unit: 'none',
      span: 8,
      queries: [['{{group}}', sumBy('group', select('lagrange_held_commands'))]],
    }),
    lines({
      title: 'Healed in silence',
      description: 'Errors that mean "not executed", which the proxy took back and sent again, by code.',
      unit: 'ops',
      span: 8,
      queries: [['{{code}}', orZero(sumBy('code', rate('lagrange_healed_commands_total')))]],
    }),
    lines({
      title: 'Errors of a failover',
      description: 'What could not be healed: answers in doubt, and commands that waited for too long.',
      unit: 'ops',
      span: 8,
      queries: [
        ['{{code}}', orZero(sumBy('code', rate('lagrange_command_errors_total', 'code=~"UNKNOWNRESULT|MASTERDOWN"')))],
      ],
    }),
  ],
}

const next = {
  title: 'Would the next one be good?',
  panels: [
    lines({
      title: 'Bytes the best replica is behind',
      description: 'What a failover at this moment would lose at least, if nothing else had it.',
      unit: 'bytes',
      span: 8,
      queries: [['{{group}}', `min by (group) (${select('lagrange_replica_lag_bytes')})`]],
    }),
    lines({
      title: 'Replicas that are linked',
      description: 'Candidates for the next master.',
      unit: 'none',
      span: 8,
      queries: [['{{group}}', `count by (group) (${select('lagrange_replica_link_up')} == 1) or on() vector(0)`]],
    }),
    lines({
      title: 'Masters',
      description: 'Reachable instances that say they are master; 1 is healthy.',
      unit: 'none',
      span: 8,
      queries: [['{{group}}', `max by (group) (${select('lagrange_masters')})`]],
    }),
  ],
}

const kept = {
  title: 'What is kept from being lost',
  panels: [
    lines({
      title: 'Witness',
      description: "Bytes of the master's stream that the witness has, to feed replicas that missed them.",
      unit: 'bytes',
      span: 8,
      queries: [['{{group}}', orZero(sumBy('group', select('lagrange_witness_bytes')))]],
    }),
    lines({
      title: 'Fed by the witness',
      description:
        'Bytes that replicas had from the witness because their master died before it had sent them; where they could not reach it, the writes that the new master was given by a client.',
      unit: 'short',
      span: 8,
      queries: [
        ['bytes {{group}}', orZero(sumBy('group', select('lagrange_witness_fed_bytes_total')))],
        ['writes {{group}}', orZero(sumBy('group', select('lagrange_witness_replayed_writes_total')))],
      ],
    }),
    lines({
      title: 'Rescued',
      description:
        'Old masters that were asked what they alone had, by what came of it, and the writes that were saved.',
      unit: 'none',
      span: 8,
      queries: [
        ['{{result}}', orZero(sumBy('result', select('lagrange_rescues_total')))],
        ['writes', orZero(sumBy('', select('lagrange_rescued_writes_total')))],
      ],
    }),
    lines({
      title: 'Sessions that were told of lost writes',
      description: 'Connections that had seen writes which the new master does not have, per second.',
      unit: 'ops',
      span: 12,
      queries: [['sessions', orZero(sumBy('', rate('lagrange_lost_write_sessions_total')))]],
    }),
    lines({
      title: 'Connections to instances that ended',
      description: 'Per second, by reason.',
      unit: 'cps',
      span: 12,
      queries: [['{{node}} {{reason}}', orZero(sumBy('node, reason', rate('lagrange_upstream_disconnects_total')))]],
    }),
  ],
}

export const switches = frame('lagrange-switches', 'Lagrange / Switches', 'Planned and unplanned changes of master.', [
  past,
  clients,
  kept,
  next,
])
