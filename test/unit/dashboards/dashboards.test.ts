import { readFileSync, writeFileSync } from 'node:fs'
import { parser } from '@prometheus-io/lezer-promql'
import { describe, expect, test } from 'vitest'
import { dashboards, toJson } from '../../../dashboards/src/index.js'
import { annotationsOf, type PanelQuery, queriesOf, substitute } from '../../../dashboards/src/queries.js'
import { catalog, type MetricName, type MetricRow } from '../../../src/metrics/catalog.js'
import { makeProcessMetrics } from '../../../src/metrics/render.js'

const all = Object.values(dashboards).flatMap(dashboard => [...queriesOf(dashboard), ...annotationsOf(dashboard)])

for (const [name, dashboard] of Object.entries(dashboards)) {
  describe(`dashboards/${name}.json`, () => {
    test('is what the source says (UPDATE=1 rewrites it, as `npm run dashboards` does)', () => {
      const path = new URL(`../../../dashboards/${name}.json`, import.meta.url)
      if (process.env.UPDATE === '1') writeFileSync(path, toJson(dashboard))
      expect(readFileSync(path, 'utf8')).toBe(toJson(dashboard))
    })

    test('every panel has a title of its own, a description and a unit', () => {
      const titles: string[] = []
      for (const panel of dashboard.panels ?? []) {
        if (!('targets' in panel) || panel.type === 'row') continue
        titles.push(panel.title ?? '')
        expect(panel.description, panel.title).toMatch(/\.$/)
        expect(panel.fieldConfig?.defaults.unit ?? panel.options?.yAxis?.unit, panel.title).toBeTruthy()
        expect(panel.datasource?.uid).toBe('$' + '{datasource}')
      }
      expect(new Set(titles).size).toBe(titles.length)
    })

    test('has a stable uid, cannot be edited, and its variables choose all', () => {
      expect(dashboard).toMatchObject({ uid: `lagrange-${name}`, editable: false, graphTooltip: 1 })
      const names = dashboard.templating?.list?.map(variable => variable.name)
      expect(names?.slice(0, 4)).toEqual(['datasource', 'job', 'instance', 'group'])
      expect(names?.slice(4)).toEqual(name === 'node' ? ['node'] : [])
    })
  })
}

test('there are queries enough to be worth a dashboard', () => {
  expect(all.length).toBeGreaterThanOrEqual(40)
})

for (const query of all) {
  test(`${query.dashboard}: ${query.panel} ${query.refId}`, () => {
    const { errors, metrics } = readQuery(query)
    expect(errors).toEqual([])
    expect(metrics.length).toBeGreaterThan(0)
    for (const { name, labels } of metrics) {
      const row = rowOf(name)
      expect(row, `${name} is in the catalog`).toBeDefined()
      for (const label of labels)
        expect(
          [...(row?.labels ?? []), 'job', 'instance', ...(name.endsWith('_bucket') ? ['le'] : [])],
          `${name}{${label}}`,
        ).toContain(label)
      expect(labels, name).toEqual(expect.arrayContaining(['job', 'instance']))
    }
  })
}

test('a name that is not in the catalog would be found', () => {
  const bad = { dashboard: '', panel: '', refId: '', expression: 'sum(lagrange_nothing{foo="1"}' }
  const { errors, metrics } = readQuery(bad)
  expect(errors.length).toBeGreaterThan(0)
  expect(metrics).toEqual([{ name: 'lagrange_nothing', labels: ['foo'] }])
  expect(rowOf('lagrange_nothing')).toBeUndefined()
})

const processNames = new Set(
  makeProcessMetrics()
    .getMetricsAsArray()
    .map(metric => metric.name),
)

function rowOf(series: string): MetricRow | undefined {
  if (processNames.has(series)) return { type: 'gauge', labels: [], help: '' }
  const exact: MetricRow | undefined = catalog[series as MetricName]
  if (exact !== undefined) return exact.type === 'histogram' ? undefined : exact
  const histogram: MetricRow | undefined = catalog[series.replace(/_(bucket|sum|count)$/, '') as MetricName]
  return histogram?.type === 'histogram' ? histogram : undefined
}

interface Selector {
  readonly name: string
  readonly labels: string[]
}

function readQuery({ expression }: PanelQuery): { errors: readonly string[]; metrics: readonly Selector[] } {
  const text = substitute(expression, '5m')
  const errors: string[] = []
  const metrics: Selector[] = []
  parser.parse(text).iterate({
    enter(node) {
      if (node.type.isError) errors.push(`${node.from}: ${text.slice(node.from, node.from + 20)}`)
      if (node.name === 'VectorSelector') metrics.push({ name: '', labels: [] })
      const current = metrics.at(-1)
      if (current === undefined) return
      if (node.name === 'Identifier' && current.name === '') {
        metrics[metrics.length - 1] = { ...current, name: text.slice(node.from, node.to) }
      }
      if (node.name === 'LabelName' && node.node.parent?.name.includes('Matcher')) {
        current.labels.push(text.slice(node.from, node.to))
      }
    },
  })
  return { errors, metrics }
}
