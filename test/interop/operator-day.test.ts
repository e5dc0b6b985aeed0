/**
 * What an operator does with the parts that are shipped, together: the console in a browser, a Prometheus that scrapes the
 * admin port and nothing else, the rules of `config/`, the annotations of the dashboards, and `lagrange status`.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { parse, stringify } from 'yaml'
import { dashboards } from '../../dashboards/src/index.js'
import { substitute } from '../../dashboards/src/queries.js'
import { openPage } from '../support/browser.js'
import { lagrange, startUp } from '../support/lagrange.js'
import { startPrometheus, untilScraped } from '../support/prometheus.js'
import { requireReal } from '../support/real.js'

const chromium = requireReal('chromium')
const prometheus = requireReal('prometheus')
const rulesFile = fileURLToPath(new URL('../../config/lagrange.rules.yml', import.meta.url))

prometheus.describe('with a Prometheus', () => {
  chromium.test(
    'a switch in the browser is an annotation; a replica that stands still is an alert, and status says so',
    async () => {
      const up = await startUp()
      const metrics = await startPrometheus(prometheus.path, [`127.0.0.1:${up.adminPort}`], impatient(rulesFile))
      onTestFinished(() => metrics.stop())
      await untilScraped(metrics)
      const alerts = async () =>
        (await metrics.query('ALERTS{alertstate="firing",severity!="info"}')).map(({ metric }) => metric.alertname)
      expect(await alerts()).toEqual([])

      // ── By mouse: the button, the preview, the report.
      const page = await openPage(chromium.path)
      await page.goto(`http://127.0.0.1:${up.adminPort}/`)
      await page.until('document.querySelectorAll("#graph [data-id]").length === 3')
      await page.evaluate(
        '[...document.querySelectorAll("button")].find(b => /Switch master/.test(b.textContent)).click()',
      )
      await page.until('document.querySelector("#switch-go") && !document.querySelector("#switch-go").disabled')
      const target = await page.evaluate<string>('document.querySelector(".swap .to").textContent')
      await page.evaluate('document.querySelector("#switch-go").click()')
      // A machine with too much to do may refuse at first, by its own rule about stalled processes: the button stays.
      await page.until(
        'document.querySelector("#dialog .plan").textContent.includes("Done.") || document.querySelector("#switch-go:not([disabled])")?.click()',
      )

      // ── The line that Grafana draws over every dashboard.
      for (const { annotations, title } of Object.values(dashboards)) {
        const changes = annotations?.list?.find(one => one.name === 'Changes of master')
        const expression = (changes as { expr?: string } | undefined)?.expr
        expect(expression, title).toBeDefined()
        await expect
          .poll(async () => (await metrics.query(substitute(expression as string, '15s'))).length, { timeout: 10_000 })
          .toBe(1)
      }

      // ── A replica that stands still, neither dead nor alive.
      const still = up.nodePorts.find(port => `127.0.0.1:${port}` !== target) as number
      const pid = Number(new RegExp(`"\\+node","node":"127.0.0.1:${still}","pid":(\\d+)`).exec(up.output())?.[1])
      process.kill(pid, 'SIGSTOP')
      onTestFinished(() => void process.kill(pid, 'SIGCONT'))
      await expect.poll(alerts, { timeout: 30_000 }).toContain('LagrangeInstanceDown')
      const admin = ['--admin', `127.0.0.1:${up.adminPort}`]
      const status = await lagrange(['status', ...admin])
      expect(status.out).toMatch(new RegExp(`127.0.0.1:${still} \\| replica \\| down`))
      expect(status.out).toContain(`replica-down (127.0.0.1:${still})`)
      process.kill(pid, 'SIGCONT')
      await expect.poll(alerts, { timeout: 30_000 }).toEqual([])
    },
    120_000,
  )
})

/** The rules as they are shipped, but for how long something must last before it is told. */
function impatient(path: string): string {
  const { groups } = parse(readFileSync(path, 'utf8')) as { groups: { interval?: string; rules: { for?: string }[] }[] }
  for (const group of groups) {
    delete group.interval
    for (const rule of group.rules) if (rule.for !== undefined) rule.for = '1s'
  }
  return stringify({ groups })
}
