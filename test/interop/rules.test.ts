/** Every rule with promtool: each alert fires where it should and is silent where it should, each record has its value. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { catalog } from '../../src/metrics/catalog.js'
import { requireReal } from '../support/real.js'

const promtool = requireReal('promtool')
const file = (name: string): string => fileURLToPath(new URL(`../../config/${name}`, import.meta.url))
const text = readFileSync(file('lagrange.rules.yml'), 'utf8')

interface Rule {
  readonly alert?: string
  readonly record?: string
  readonly expr: string
  readonly labels?: { readonly severity: string }
  readonly annotations?: Readonly<Record<string, string>>
}
const rules = (parse(text) as { groups: { rules: Rule[] }[] }).groups.flatMap(group => group.rules)

/** Series of a quarter of an hour, a sample every 15 s. */
type Series = Readonly<Record<string, string>>
const per15s = (step: number): string => `0+${step}x60`
const g = 'group="main",instance="p"'
const node = (name: string): string => `${g},node="${name}"`

/** The alert, what makes it fire, what does not (yet). */
const cases: readonly (readonly [alert: string, fires: Series, silent: Series])[] = [
  ['NoMaster', { [`lagrange_masters{${g}}`]: '1x3 0x60' }, { [`lagrange_masters{${g}}`]: '1x60' }],
  ['TwoMasters', { [`lagrange_masters{${g}}`]: '2x60' }, { [`lagrange_masters{${g}}`]: '1x60' }],
  ['InstanceDown', { [`lagrange_node_up{${node('a')}}`]: '0x60' }, { [`lagrange_node_up{${node('a')}}`]: '1x60' }],
  ['TargetAbsent', { 'lagrange_other{}': '0x60' }, { [`lagrange_masters{${g}}`]: '1x60' }],
  ['WorkersMissing', { 'lagrange_workers{instance="p"}': '4x4 3x60' }, { 'lagrange_workers{instance="p"}': '4x60' }],
  [
    'ReplicaLinkDown',
    { [`lagrange_replica_link_up{${node('a')}}`]: '0x60' },
    { [`lagrange_replica_link_up{${node('a')}}`]: '0x2 1x60' },
  ],
  [
    'NoReplicaLinked',
    { [`lagrange_replica_link_up{${node('a')}}`]: '0x60', [`lagrange_replica_link_up{${node('b')}}`]: '0x60' },
    { [`lagrange_replica_link_up{${node('a')}}`]: '0x60', [`lagrange_replica_link_up{${node('b')}}`]: '1x60' },
  ],
  [
    'ReplicaLagging',
    { [`lagrange_replica_lag_seconds{${node('a')}}`]: '6x60' },
    { [`lagrange_replica_lag_seconds{${node('a')}}`]: '0.4x60' },
  ],
  [
    'LagNearBacklog',
    {
      [`lagrange_replica_lag_bytes{${node('a')}}`]: '900x60',
      [`lagrange_repl_backlog_size_bytes{${node('m')}}`]: '1000x60',
    },
    {
      [`lagrange_replica_lag_bytes{${node('a')}}`]: '700x60',
      [`lagrange_repl_backlog_size_bytes{${node('m')}}`]: '1000x60',
    },
  ],
  [
    'FullResyncs',
    { [`lagrange_replica_resyncs_total{${node('m')},type="full"}`]: '0 1 2 3 4 5 6x60' },
    {
      [`lagrange_replica_resyncs_total{${node('m')},type="full"}`]: '1x60',
      [`lagrange_replica_resyncs_total{${node('m')},type="partial"}`]: per15s(1),
    },
  ],
  [
    'Failover',
    { [`lagrange_failovers_total{${g},cause="failover",result="ok"}`]: '0x40 1x20' },
    { [`lagrange_failovers_total{${g},cause="switchover",result="ok"}`]: '0x40 1x20' },
  ],
  [
    'SwitchFailed',
    { [`lagrange_failovers_total{${g},cause="switchover",result="aborted"}`]: '0x45 1x20' },
    { [`lagrange_failovers_total{${g},cause="switchover",result="ok"}`]: '0x45 1x20' },
  ],
  [
    'Flapping',
    { [`lagrange_failovers_total{${g},cause="failover",result="ok"}`]: '0x5 1x5 2x5 3x5 4x5 5x40' },
    { [`lagrange_failovers_total{${g},cause="failover",result="ok"}`]: '0x5 1x60' },
  ],
  [
    'WritesHeld',
    { [`lagrange_writes_paused{${g}}`]: '1x60' },
    { [`lagrange_writes_paused{${g}}`]: '0x60', [`lagrange_held_commands{${g}}`]: '0x60' },
  ],
  [
    'ReadsOnMaster',
    {
      [`lagrange_read_routing_total{${g},decision="master",because="write-in-flight"}`]: per15s(9000),
      [`lagrange_read_routing_total{${g},decision="replica",because="fresh-replica"}`]: per15s(1000),
      [`lagrange_commands_total{${g},command="get",target="master"}`]: per15s(10_000),
    },
    {
      [`lagrange_read_routing_total{${g},decision="master",because="write-in-flight"}`]: per15s(1000),
      [`lagrange_read_routing_total{${g},decision="replica",because="fresh-replica"}`]: per15s(9000),
      [`lagrange_commands_total{${g},command="get",target="replica"}`]: per15s(10_000),
    },
  ],
  [
    'Errors',
    {
      [`lagrange_command_errors_total{${g},code="ERR",target="master"}`]: per15s(100),
      [`lagrange_commands_total{${g},command="get",target="master"}`]: per15s(1000),
    },
    {
      [`lagrange_command_errors_total{${g},code="ERR",target="master"}`]: per15s(1),
      [`lagrange_commands_total{${g},command="get",target="master"}`]: per15s(1000),
    },
  ],
  ['Slow', durations({ '0.1': 90, '0.5': 100, '+Inf': 100 }), durations({ '0.1': 100, '0.5': 100, '+Inf': 100 })],
  [
    'ConnectErrors',
    { [`lagrange_upstream_connects_total{${node('a')},result="refused"}`]: per15s(15) },
    { [`lagrange_upstream_connects_total{${node('a')},result="ok"}`]: per15s(15) },
  ],
  [
    'EventLoopBlocked',
    { 'lagrange_event_loop_delay_seconds{instance="p",process="worker-0",stat="p99"}': '0.3x60' },
    { 'lagrange_event_loop_delay_seconds{instance="p",process="worker-0",stat="max"}': '0.3x60' },
  ],
  [
    'ConfigReloadFailed',
    { 'lagrange_config_last_reload_successful{instance="p"}': '0x60' },
    { 'lagrange_config_last_reload_successful{instance="p"}': '1x60' },
  ],
]

/** Per quarter of a minute, cumulative, by upper bound. */
function durations(counts: Readonly<Record<string, number>>): Series {
  return Object.fromEntries(
    Object.entries(counts).map(([le, count]) => [
      `lagrange_command_duration_seconds_bucket{${g},kind="read",target="replica",le="${le}"}`,
      per15s(count),
    ]),
  )
}

const records: readonly (readonly [record: string, series: Series, value: number])[] = [
  [
    'group_node:lagrange_replica_lag_seconds:max1m',
    { [`lagrange_replica_lag_seconds{${node('a')}}`]: '1x50 7 1x9' },
    7,
  ],
  [
    'group:lagrange_commands:rate5m',
    {
      [`lagrange_commands_total{${g},command="get",target="replica"}`]: per15s(150),
      [`lagrange_commands_total{${g},command="set",target="master"}`]: per15s(30),
    },
    12,
  ],
  [
    'group:lagrange_command_errors:rate5m',
    { [`lagrange_command_errors_total{${g},code="OOM",target="master"}`]: per15s(30) },
    2,
  ],
  [
    'group:lagrange_reads_on_master:ratio5m',
    {
      [`lagrange_read_routing_total{${g},decision="master",because="strong"}`]: per15s(1),
      [`lagrange_read_routing_total{${g},decision="replica",because="fresh-replica"}`]: per15s(3),
      [`lagrange_read_routing_total{${g},decision="wait",because="replica-about-to-qualify"}`]: per15s(9),
    },
    0.25,
  ],
  ['group_kind:lagrange_command_duration_seconds:p99_5m', durations({ '0.1': 98, '0.2': 100, '+Inf': 100 }), 0.15],
]

describe('rules', () => {
  test('every alert has a case, every record a value', () => {
    const alerts = rules.flatMap(rule => rule.alert ?? [])
    expect(cases.map(([alert]) => `Lagrange${alert}`).toSorted()).toEqual(alerts.toSorted())
    expect(records.map(([record]) => record).toSorted()).toEqual(rules.flatMap(rule => rule.record ?? []).toSorted())
  })

  test('every alert says how bad it is, what it is, and which runbook helps', () => {
    const runbooks = readFileSync(fileURLToPath(new URL('../../docs/runbooks.md', import.meta.url)), 'utf8')
    const sections = [...runbooks.matchAll(/^## (\w+)$/gm)].map(match => match[1])
    for (const { alert, labels, annotations } of rules.filter(rule => rule.alert !== undefined)) {
      expect(['critical', 'warning', 'info'], alert).toContain(labels?.severity)
      expect(annotations?.summary, alert).toMatch(/\.$/)
      expect(annotations?.description, alert).toMatch(/\.$/)
      expect(annotations?.runbook_url, alert).toBe(`docs/runbooks.md#${alert?.toLowerCase()}`)
      expect(sections, alert).toContain(alert)
    }
    expect(sections.toSorted()).toEqual(rules.flatMap(rule => rule.alert ?? []).toSorted())
  })

  test('they use only names of the catalog', () => {
    const names = rules.flatMap(rule => rule.expr.match(/(?<![:\w])lagrange_\w+/g) ?? [])
    expect(names.length).toBeGreaterThan(20)
    for (const name of names) expect(Object.keys(catalog), name).toContain(name.replace(/_bucket$/, ''))
  })
})

promtool.test('promtool finds nothing to say about the rules and the configuration', () => {
  const run = (...args: string[]) => execFileSync(promtool.path, args, { encoding: 'utf8' })
  expect(run('check', 'rules', '--lint=all', '--lint-fatal', file('lagrange.rules.yml'))).toContain('SUCCESS')
  expect(run('check', 'config', file('prometheus.yml'))).toContain('SUCCESS')
})

promtool.test(
  'every alert fires where it should, and only there; every record has its value',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'lagrange-rules-'))
    try {
      // One set of series for all alerts, each under its own group and instance: promtool begins anew for every test.
      const together = (which: 1 | 2, value: number) => {
        const chosen = cases.filter(([alert]) => alert !== 'TargetAbsent')
        return {
          name: value === 1 ? 'all fire' : 'all are silent',
          interval: '15s',
          input_series: chosen.flatMap(one => inputs(one[which], one[0])),
          promql_expr_test: chosen.map(([alert]) => expectFiring(alert, value)),
        }
      }
      const absent = cases.filter(([alert]) => alert === 'TargetAbsent')
      const tests = [
        together(1, 1),
        together(2, 0),
        ...absent.flatMap(([alert, fires, silent]) =>
          (
            [
              [fires, 1],
              [silent, 0],
            ] as const
          ).map(([series, value]) => ({
            interval: '15s',
            input_series: inputs(series, alert),
            promql_expr_test: [expectFiring(alert, value)],
          })),
        ),
        {
          interval: '15s',
          input_series: records.flatMap(([record, series]) => inputs(series, record)),
          promql_expr_test: records.map(([record, , value]) => ({
            expr: `round(sum(${record}{group="${record}"}), 0.0001)`,
            eval_time: '13m',
            exp_samples: [{ labels: '{}', value }],
          })),
        },
      ]
      const written = join(folder, 'rules.test.yml')
      writeFileSync(written, stringify({ rule_files: [file('lagrange.rules.yml')], evaluation_interval: '15s', tests }))
      expect(execFileSync(promtool.path, ['test', 'rules', written], { encoding: 'utf8' })).toContain('SUCCESS')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
  120_000,
)

function expectFiring(alert: string, value: number) {
  const firing = `ALERTS{alertname="Lagrange${alert}",alertstate="firing"`
  const own = alert === 'TargetAbsent' ? `${firing}}` : `${firing},group="${alert}"} or ${firing},instance="${alert}"}`
  return { expr: `max(${own}) or vector(0)`, eval_time: '14m', exp_samples: [{ labels: '{}', value }] }
}

function inputs(series: Series, name: string): readonly { series: string; values: string }[] {
  return Object.entries(series).map(([one, values]) => ({
    series: one.replace('group="main"', `group="${name}"`).replace('instance="p"', `instance="${name}"`),
    values,
  }))
}
