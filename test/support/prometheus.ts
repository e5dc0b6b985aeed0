/** A real Prometheus that scrapes what a test runs, on a free port and with a folder of its own. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dashboards } from '../../dashboards/src/index.js'
import { queriesOf, substitute } from '../../dashboards/src/queries.js'
import { freePort } from './ports.js'

export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [at: number, value: string]
}

export interface Prometheus {
  /** An instant query; throws with Prometheus' own words when it is wrong. */
  query(expression: string): Promise<readonly Sample[]>
  stop(): Promise<void>
}

/**
 * Scrapes `targets` (`host:port`) every 200 ms, and answers queries when this resolves. `rules` is the text of a file of
 * rules, which are evaluated as often.
 */
export async function startPrometheus(
  program: string,
  targets: readonly string[],
  rules?: string,
): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'lagrange-prometheus-'))
  const port = await freePort()
  const config = {
    global: { scrape_interval: '200ms', scrape_timeout: '200ms', evaluation_interval: '200ms' },
    rule_files: rules === undefined ? [] : ['rules.yml'],
    scrape_configs: [{ job_name: 'lagrange', static_configs: [{ targets }] }],
  }
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(config))
  if (rules !== undefined) writeFileSync(join(folder, 'rules.yml'), rules)
  const child = spawn(
    program,
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.on('data', chunk => (said = (said + String(chunk)).slice(-4000)))
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const url = `http://127.0.0.1:${port}`
  while ((await fetch(`${url}/-/ready`).catch(() => undefined))?.ok !== true) {
    if (child.exitCode !== null) throw new Error(`prometheus ended: ${said}`)
    await pause(50)
  }
  return {
    async query(expression) {
      const response = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query: expression })}`)
      const body = (await response.json()) as { status: string; error?: string; data?: { result: readonly Sample[] } }
      if (body.status !== 'success') throw new Error(body.error)
      return body.data?.result ?? []
    },
    async stop() {
      child.kill('SIGTERM')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export interface Evaluation {
  readonly evaluated: number
  /** `dashboard / panel A: reason`: an error, or nothing where there should be a number. */
  readonly failures: readonly string[]
}

/** Evaluates every query of every panel as Grafana would send it, with windows of `window`. */
export async function evaluateDashboards(prometheus: Prometheus, window = '15s'): Promise<Evaluation> {
  const queries = Object.values(dashboards).flatMap(queriesOf)
  const failures: string[] = []
  for (const { dashboard, panel, refId, expression } of queries) {
    const place = `${dashboard} / ${panel} ${refId}`
    try {
      const result = await prometheus.query(substitute(expression, window))
      if (result.length === 0) failures.push(`${place}: empty: ${expression}`)
    } catch (error) {
      failures.push(`${place}: ${(error as Error).message}`)
    }
  }
  return { evaluated: queries.length, failures }
}

/** Waits until the target was scraped often enough for rates. */
export async function untilScraped(prometheus: Prometheus, metric = 'lagrange_masters'): Promise<void> {
  while (Number((await prometheus.query(`count_over_time(${metric}[15s])`))[0]?.value[1] ?? 0) < 4) await pause(50)
}

/** Waits until Prometheus has seen the counter grow. */
export async function untilCounted(prometheus: Prometheus, counter: string): Promise<void> {
  while (!(Number((await prometheus.query(`sum(${counter})`))[0]?.value[1] ?? 0) > 0)) await pause(50)
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
