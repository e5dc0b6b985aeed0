/** What all dashboards have in common: variables, annotations, links, manners. */
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import { datasource, type Panel } from './panels.js'
import { select } from './query.js'

export interface Row {
  readonly title: string
  readonly panels: readonly Panel[]
}

export function frame(
  uid: string,
  title: string,
  description: string,
  rows: readonly Row[],
  ...more: readonly dashboard.QueryVariableBuilder[]
): dashboard.Dashboard {
  const builder = new dashboard.DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(['lagrange', 'redis'])
    .refresh('10s')
    .time({ from: 'now-30m', to: 'now' })
    .timezone('browser')
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .readonly()
    .withVariable(new dashboard.DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'))
    .withVariable(variable('job', 'Job', 'label_values(lagrange_build_info, job)'))
    .withVariable(variable('instance', 'Proxy', 'label_values(lagrange_build_info{job=~"$job"}, instance)'))
    .withVariable(
      variable('group', 'Group', 'label_values(lagrange_masters{job=~"$job",instance=~"$instance"}, group)'),
    )
    .annotation(
      annotation('Changes of master', 'red', `changes(${select('lagrange_topology_epoch')}[$__interval]) > 0`),
    )
    .annotation(
      annotation(
        'Configuration loaded',
        'blue',
        `changes(${select('lagrange_config_last_reload_success_timestamp_seconds')}[$__interval]) > 0`,
      ),
    )
    .link(
      new dashboard.DashboardLinkBuilder('Lagrange')
        .type(dashboard.DashboardLinkType.Dashboards)
        .tags(['lagrange'])
        .asDropdown(true)
        .keepTime(true)
        .includeVars(true),
    )
  for (const one of more) builder.withVariable(one)
  for (const { title: name, panels } of rows) {
    builder.withRow(new dashboard.RowBuilder(name))
    for (const panel of panels) builder.withPanel(panel)
  }
  return builder.build()
}

/** For a dashboard about single instances. */
export function nodeVariable(): dashboard.QueryVariableBuilder {
  return variable('node', 'Instance', `label_values(${select('lagrange_node_up')}, node)`)
}

function variable(name: string, label: string, query: string): dashboard.QueryVariableBuilder {
  return new dashboard.QueryVariableBuilder(name)
    .label(label)
    .datasource(datasource)
    .query(query)
    .multi(true)
    .includeAll(true)
    .allValue('.+')
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.AlphabeticalAsc)
}

function annotation(name: string, colour: string, expression: string): dashboard.AnnotationQueryBuilder {
  return new dashboard.AnnotationQueryBuilder()
    .name(name)
    .datasource(datasource)
    .enable(true)
    .iconColor(colour)
    .expr(expression)
}
