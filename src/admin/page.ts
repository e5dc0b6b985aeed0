/**
 * The page at `/`: the topology as a table that follows the events. One static document without any asset from
 * elsewhere; its policy allows exactly this script and this style.
 */
import { createHash } from 'node:crypto'

const style = `
  :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
  body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
  h1 { font-size: 1.3rem; } h2 { font-size: 1rem; margin-top: 2rem; }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
  th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; }
  .bad { color: #c33; font-weight: 600; } .master { font-weight: 600; } .quiet { opacity: .65; }
  ol { list-style: none; padding: 0; font-family: ui-monospace, monospace; font-size: .85rem; }
`

const script = `
  'use strict'
  const byId = id => document.getElementById(id)
  let token = sessionStorage.getItem('token')

  async function get(path) {
    const response = await fetch(path, { headers: token ? { authorization: 'Bearer ' + token } : {} })
    if (response.status === 401) {
      token = prompt('Token of the admin API')
      if (token) { sessionStorage.setItem('token', token); return get(path) }
    }
    if (!response.ok) throw new Error(path + ': ' + response.status)
    return response.json()
  }

  function cell(row, text, className) {
    const td = row.insertCell()
    td.textContent = text
    if (className) td.className = className
  }

  const number = value => value === null ? '–' : Math.round(value).toLocaleString('en')

  function showGroup(group) {
    const section = document.createElement('section')
    const title = document.createElement('h2')
    title.textContent = group.name + ': ' + group.diagnosis + (group.writesPaused ? ', writes held' : '')
    if (group.diagnosis !== 'ok') title.className = 'bad'
    const table = document.createElement('table')
    const head = table.createTHead().insertRow()
    for (const name of ['Instance', 'Role', 'State', 'Offset', 'Lag bytes', 'Lag ms', 'Link', 'Reads']) {
      const th = document.createElement('th')
      th.textContent = name
      th.scope = 'col'
      head.append(th)
    }
    const body = table.createTBody()
    for (const member of group.members) {
      const row = body.insertRow()
      const isMaster = member.id === group.master
      cell(row, member.id, isMaster ? 'master' : '')
      cell(row, member.role, isMaster ? 'master' : '')
      cell(row, member.health, member.health === 'up' ? '' : 'bad')
      cell(row, number(member.offset))
      cell(row, number(member.lagBytes))
      cell(row, number(member.lagMs))
      cell(row, member.linkUp === null ? '–' : member.linkUp ? 'up' : 'down', member.linkUp === false ? 'bad' : '')
      cell(row, member.excluded === null ? 'yes' : member.excluded, member.excluded === null ? '' : 'quiet')
    }
    section.append(title, table)
    return section
  }

  async function refresh() {
    try {
      const topology = await get('/api/v1/topology')
      byId('groups').replaceChildren(...topology.groups.map(showGroup))
      const { events } = await get('/api/v1/events?limit=20')
      byId('events').replaceChildren(...events.reverse().map(event => {
        const item = document.createElement('li')
        item.textContent = new Date(event.at).toISOString() + '  ' + event.name + '  ' + JSON.stringify(event.fields)
        return item
      }))
      byId('state').textContent = 'epoch ' + topology.epoch + ', ' + topology.workers + ' worker(s)'
      byId('state').className = 'quiet'
    } catch (error) {
      byId('state').textContent = 'not reachable: ' + error.message
      byId('state').className = 'bad'
    }
    setTimeout(refresh, 1000)
  }
  refresh()
`

export const consolePage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lagrange</title>
<style>${style}</style>
</head>
<body>
<h1>Lagrange <small id="state" class="quiet" role="status">…</small></h1>
<main id="groups"></main>
<h2>Events</h2>
<ol id="events" aria-label="Events, newest first"></ol>
<p class="quiet"><a href="/metrics">metrics</a> · <a href="/openapi.json">API</a></p>
<script>${script}</script>
</body>
</html>
`

/** The Content-Security-Policy of the page. */
export const consolePagePolicy = [
  "default-src 'none'",
  `script-src ${sourceHash(script)}`,
  `style-src ${sourceHash(style)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

function sourceHash(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}
