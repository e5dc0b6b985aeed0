/**
 * The console in a real browser, in front of a group that runs: what an operator does, by mouse and by keyboard. With
 * `SCREENSHOTS=1` the pictures of the documentation are taken on the way.
 */
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { startAdmin } from '../../src/admin/server.js'
import { systemClock } from '../../src/base/clock.js'
import { FakeBackend } from '../support/admin.js'
import { openPage } from '../support/browser.js'
import { clientOf, startUp } from '../support/lagrange.js'
import { requireReal } from '../support/real.js'

const chromium = requireReal('chromium')

const picture = (name: string): string => fileURLToPath(new URL(`../../docs/pictures/${name}.png`, import.meta.url))
const wantsPictures = process.env.SCREENSHOTS === '1'
const text = (selector: string) => `document.querySelector(${JSON.stringify(selector)})?.textContent ?? ''`
const click = (selector: string) => `document.querySelector(${JSON.stringify(selector)}).click()`

chromium.test(
  'an operator looks around, switches the master, drains a replica and reads what happened',
  async () => {
    const up = await startUp(wantsPictures ? { args: ['--slow-ms', '1'] } : {})
    const [first] = up.nodePorts
    let working = true
    const work = async (index: number) => {
      const client = clientOf(up.port)
      await client.call('CLIENT', 'SETNAME', `shop-${index}`)
      for (let n = 0; working; n++) {
        const key = n % 3 === 0 ? 'product:42' : `cart:${(n * 7 + index) % 400}`
        await client.call('GET', key)
        if (n % 5 === 0) await client.call('SET', key, `value ${n}`)
        if (n % 50 === 0) await client.call('SET', 'catalogue', 'x'.repeat(40_000))
      }
    }
    // A client that is closed with the test is no fault of its own.
    const load = Array.from({ length: 6 }, (_, index) => work(index).catch(() => undefined))
    onTestFinished(() => void (working = false))
    const page = await openPage(chromium.path)
    await page.setSize(1280, 860)
    await page.setScheme('light')
    await page.goto(`http://127.0.0.1:${up.adminPort}/`)

    // ── What is there: a picture and the same as a table, both live.
    await page.until('document.querySelectorAll("#graph [data-id]").length === 3')
    await page.until('document.querySelectorAll("#panel tbody tr").length === 3')
    expect(await page.evaluate(text('.node.master .id'))).toBe(`127.0.0.1:${first}`)
    expect(await page.evaluate(text('#diagnosis'))).toBe('all is well')
    expect(await page.evaluate(text('#live + span'))).toBe('live')
    await page.until('document.querySelectorAll("#tiles .tile").length === 6')
    await page.until('Number(document.querySelector("#tiles dd").textContent.replace(/[^0-9.]/g, "")) > 0')
    if (wantsPictures) {
      await new Promise(resolve => setTimeout(resolve, 14_000))
      await page.screenshot(picture('console-light'))
      await page.setScheme('dark')
      await page.until('document.documentElement.dataset.theme === "dark"')
      await page.screenshot(picture('console-dark'))
      await page.setScheme('light')
    } else {
      await page.setScheme('dark')
      await page.until('document.documentElement.dataset.theme === "dark"')
    }

    // ── Switch, from the keyboard: preview, Enter, the report.
    await page.press('s')
    await page.until('!document.querySelector("#switch-go").disabled')
    const target = await page.evaluate<string>(text('.swap .to'))
    expect(up.nodePorts.slice(1).map(port => `127.0.0.1:${port}`)).toContain(target)
    expect(await page.evaluate(text('#dialog'))).not.toMatch(/\[object|undefined|NaN/)
    if (wantsPictures) await page.screenshot(picture('console-switch-preview'))
    await page.press('Enter')
    await page.until('document.querySelector("#dialog .plan").textContent.includes("Done.")')
    const report = await page.evaluate<string>(text('#dialog .plan'))
    expect(report).toContain(`${target} is the master`)
    expect(report).toContain('nothing was lost')
    expect(await page.evaluate('document.querySelectorAll("#dialog .steps li").length')).toBeGreaterThan(4)
    if (wantsPictures) await page.screenshot(picture('console-switch-report'))
    await page.press('Escape')
    await page.until(`${text('.node.master .id')} === ${JSON.stringify(target)}`)

    // ── Drain the other replica by its card, and take it back in the table.
    // Not the new master, whose own word for its role may come a moment later.
    await page.evaluate(`document.querySelector('.node.replica:not([data-id="${target}"])').focus()`)
    const drained = await page.evaluate<string>('document.activeElement.dataset.id')
    await page.press('Enter')
    await page.until('document.querySelector("#dialog").open')
    await page.until('[...document.querySelectorAll("#dialog button")].some(b => b.textContent === "Drain")')
    expect(await page.evaluate(text('#dialog'))).not.toMatch(/\[object|undefined|NaN/)
    await page.evaluate('[...document.querySelectorAll("#dialog button")].find(b => b.textContent === "Drain").click()')
    await page.until('document.querySelector(".node.drained")')
    const client = clientOf(up.port)
    await expect
      .poll(async () => JSON.stringify(await client.call('LAGRANGE', 'NODES')), { timeout: 20_000 })
      .toContain('drain')
    await page.until('[...document.querySelectorAll("#panel button")].some(b => b.textContent === "Ready")')
    await page.evaluate('[...document.querySelectorAll("#panel button")].find(b => b.textContent === "Ready").click()')
    await page.until('!document.querySelector(".node.drained")')

    // ── The tables: each by its number, filled.
    for (const [tab, expected] of [
      ['Events', '+switch-master'],
      ['Sessions', 'shop-'],
      ['Keys', 'product:42'],
      ['Slow log', ''],
      ['History', target],
      ['Configuration', 'nodePort'],
    ] as const) {
      const names = await page.evaluate<string[]>(
        '[...document.querySelectorAll("[role=tab]")].map(t => t.textContent)',
      )
      await page.press(String(names.indexOf(tab) + 1))
      await page.until(`${text('[aria-selected=true]')} === ${JSON.stringify(tab)}`)
      await page.until(`${text('#panel')}.includes(${JSON.stringify(expected)})`)
      expect(await page.evaluate(text('main')), tab).not.toMatch(/\[object|undefined|NaN/)
      if (wantsPictures && tab !== 'Configuration') {
        await page.evaluate('document.querySelector("#tabs").scrollIntoView()')
        await page.screenshot(picture(`console-${tab.toLowerCase().replace(' ', '-')}`))
        await page.evaluate('scrollTo(0, 0)')
      }
    }
    await page.press('/')
    for (const letter of 'hold.') await page.press(letter)
    await page.until('document.querySelectorAll("#panel tbody tr").length === 2')
    await page.press('Escape')

    // ── A replica dies: the page says so, and says when it is well again.
    await page.evaluate(click('#pause'))
    await page.until(`${text('#failover')} === "failover paused"`)
    await clientOf(Number(drained.split(':')[1]))
      .call('SHUTDOWN', 'NOSAVE')
      .catch(() => undefined)
    await page.until(`${text('#diagnosis')} !== "all is well"`)
    await page.until(`${text('#diagnosis')} === "all is well"`)
    await page.evaluate(click('#pause'))
    await page.until(`${text('#failover')} === "failover on"`)

    // ── Nothing from elsewhere, nothing refused by the policy, nothing thrown.
    expect(page.complaints).toEqual([])
    const own = `http://127.0.0.1:${up.adminPort}/`
    expect(page.requests.filter(url => !url.startsWith(own) && !url.startsWith('data:'))).toEqual([])
    working = false
    await Promise.all(load)
  },
  180_000,
)

chromium.test(
  'a token is asked for once, kept for the tab, and a role that may not switch is told so',
  async () => {
    const backend = new FakeBackend()
    const token = 'read-read-read-read-read-read'
    const options = { host: '127.0.0.1', port: 0, allowedHosts: [], version: '0.1.0' }
    const grants = [{ name: 'grafana', role: 'read', token }] as const
    const admin = await startAdmin(systemClock, backend.bus, backend.store, backend, { ...options, grants })
    onTestFinished(() => admin.close())
    const page = await openPage(chromium.path)
    await page.goto(`http://127.0.0.1:${admin.port}/`)
    await page.until('document.querySelector("#dialog input[type=password]")')
    for (const letter of token) await page.press(letter)
    await page.press('Enter')
    await page.until('document.querySelectorAll("#graph [data-id]").length === 3')
    await page.press('s')
    await page.until(`${text('#dialog .plan')}.includes("needs operate")`)
    expect(backend.asked).toEqual([])
    await page.goto(`http://127.0.0.1:${admin.port}/`)
    await page.until('document.querySelectorAll("#graph [data-id]").length === 3')
    expect(page.complaints.filter(text => !/40[13]/.test(text))).toEqual([])
  },
  60_000,
)
