/**
 * The kinds of panels we use. Each has a title, a description and a unit; what is alike is said once, here.
 */
import * as common from '@grafana/grafana-foundation-sdk/common'
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import * as heatmaps from '@grafana/grafana-foundation-sdk/heatmap'
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus'
import * as stats from '@grafana/grafana-foundation-sdk/stat'
import * as timelines from '@grafana/grafana-foundation-sdk/statetimeline'
import * as tables from '@grafana/grafana-foundation-sdk/table'
import * as series from '@grafana/grafana-foundation-sdk/timeseries'

export interface PanelSpec {
  readonly title: string
  readonly description: string
  readonly unit: string
  /** Columns of 24. */
  readonly span: number
  readonly height?: number
  /** Legend and expression of each query. */
  readonly queries: readonly (readonly [legend: string, expression: string])[]
}

export interface ColourSpec {
  /** From which value on which colour; the first has no value. */
  readonly steps?: readonly (readonly [value: number | null, colour: string])[]
  /** What a value is called: `{ 0: ['down', 'red'] }`. */
  readonly names?: Readonly<Record<string, readonly [text: string, colour: string]>>
}

export type Panel = Parameters<dashboard.DashboardBuilder['withPanel']>[0]

/** Grafana replaces the variable. Written in two parts, or it would look like a template of ours. */
export const datasource = { type: 'prometheus', uid: '$' + '{datasource}' }
const letters = 'ABCDEFGHIJ'

export function stat(spec: PanelSpec & ColourSpec): Panel {
  const panel = new stats.PanelBuilder()
    .colorMode(common.BigValueColorMode.Background)
    .graphMode(common.BigValueGraphMode.None)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']))
  return colours(describe(panel, spec, 4), spec)
}

export function lines(spec: PanelSpec & ColourSpec & { readonly stacked?: boolean; readonly max?: number }): Panel {
  const panel = new series.PanelBuilder()
    .min(0)
    .lineWidth(1)
    .fillOpacity(spec.stacked ? 30 : 8)
    .showPoints(common.VisibilityMode.Never)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending),
    )
  if (spec.stacked) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal))
  if (spec.max !== undefined) panel.max(spec.max)
  return colours(describe(panel, spec, 8), spec)
}

export function timeline(spec: PanelSpec & ColourSpec): Panel {
  const panel = new timelines.PanelBuilder().mergeValues(true).showValue(common.VisibilityMode.Auto).rowHeight(0.8)
  return colours(describe(panel, spec, 6), spec)
}

export function heatmap(spec: PanelSpec): Panel {
  const panel = new heatmaps.PanelBuilder().calculate(false).yAxis(new heatmaps.YAxisConfigBuilder().unit(spec.unit))
  return describe(panel, spec, 8, prometheus.PromQueryFormat.Heatmap)
}

/** One row per value of `by`, one column per query, named by its legend. */
export function table(spec: PanelSpec & { readonly by: string; readonly hidden: readonly string[] }): Panel {
  const hidden = Object.fromEntries(['Time', ...spec.hidden].map(name => [name, true]))
  const renamed = Object.fromEntries(spec.queries.map(([legend], index) => [`Value #${letters[index]}`, legend]))
  const panel = new tables.PanelBuilder()
    .withTransformation({ id: 'joinByField', options: { byField: spec.by, mode: 'outer' } })
    .withTransformation({ id: 'organize', options: { excludeByName: hidden, renameByName: renamed } })
  return describe(panel, spec, 6, prometheus.PromQueryFormat.Table)
}

/** What the builders of all panels have. */
interface AnyPanel<Self> extends Panel {
  title(title: string): Self
  description(description: string): Self
  unit(unit: string): Self
  span(span: number): Self
  height(height: number): Self
  datasource(datasource: common.DataSourceRef): Self
  withTarget(target: prometheus.DataqueryBuilder): Self
  thresholds(thresholds: dashboard.ThresholdsConfigBuilder): Self
  mappings(mappings: dashboard.ValueMapping[]): Self
}

function describe<Self extends AnyPanel<Self>>(
  panel: Self,
  spec: PanelSpec,
  height: number,
  format = prometheus.PromQueryFormat.TimeSeries,
): Self {
  panel.title(spec.title).description(spec.description).unit(spec.unit).span(spec.span)
  panel.height(spec.height ?? height).datasource(datasource)
  for (const [index, [legend, expression]] of spec.queries.entries()) {
    const query = new prometheus.DataqueryBuilder().expr(expression).legendFormat(legend).format(format)
    query.refId(letters[index] as string)
    if (format === prometheus.PromQueryFormat.Table) query.instant()
    panel.withTarget(query)
  }
  return panel
}

function colours<Self extends AnyPanel<Self>>(panel: Self, { steps, names }: ColourSpec): Self {
  const list = steps ?? [[null, 'green']]
  panel.thresholds(
    new dashboard.ThresholdsConfigBuilder()
      .mode(dashboard.ThresholdsMode.Absolute)
      .steps(list.map(([value, color]) => ({ value, color }))),
  )
  if (names === undefined) return panel
  const options = Object.entries(names).map(([value, [text, color]], index) => [value, { text, color, index }] as const)
  return panel.mappings([{ type: dashboard.MappingType.ValueToText, options: Object.fromEntries(options) }])
}
