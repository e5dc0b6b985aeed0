/** The script's tools: elements, numbers, the API and its streams, lines of the last minutes. */
export const core = String.raw`
'use strict'
const byId = id => document.getElementById(id)
const SVG = 'http://www.w3.org/2000/svg'

/** el('td', { class: 'num', onclick: f }, 'text', child …) */
function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children)
}
function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children)
}
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (value === true) element.setAttribute(name, '')
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value)
  }
  element.append(...children.flat().filter(child => child !== undefined && child !== null && child !== false))
  return element
}

const whole = value => (value === null || value === undefined ? '–' : Math.round(value).toLocaleString('en'))
const clock = at => new Date(at).toTimeString().slice(0, 8) + '.' + String(new Date(at).getMilliseconds()).padStart(3, '0')
function millis(value) {
  if (value === null || value === undefined) return '–'
  if (value >= 10000) return (value / 1000).toFixed(1) + ' s'
  return (value < 10 ? Number(value.toFixed(2)) : value < 100 ? Number(value.toFixed(1)) : Math.round(value)) + ' ms'
}
function bytes(value) {
  if (value === null || value === undefined) return '–'
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let at = 0
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at++ }
  return (at === 0 ? value : value.toFixed(value < 10 ? 2 : 1)) + ' ' + units[at]
}
function perSecond(value) {
  if (value === null || value === undefined) return '–'
  return value >= 100000 ? Math.round(value / 1000) + 'k' : value >= 10000 ? (value / 1000).toFixed(1) + 'k' : whole(value)
}
function ago(at) {
  const seconds = Math.max(0, Math.round((Date.now() - at) / 1000))
  if (seconds < 90) return seconds + ' s ago'
  return seconds < 5400 ? Math.round(seconds / 60) + ' min ago' : Math.round(seconds / 3600) + ' h ago'
}

// ── The API ──

let token = sessionStorage.getItem('token')
let asking
const headers = more => Object.assign(token ? { authorization: 'Bearer ' + token } : {}, more)

class Refused extends Error {
  constructor(problem) { super(problem.detail || problem.title); this.problem = problem }
}

async function call(path, init) {
  const response = await fetch(path, Object.assign({}, init, { headers: headers(init && init.headers) }))
  if (response.status === 401) {
    await askToken()
    return call(path, init)
  }
  const body = await response.json().catch(() => ({ detail: response.status + ' ' + response.statusText }))
  if (!response.ok) throw new Refused(body)
  return body
}
const get = path => call(path)
const post = (path, body) =>
  call(path, { method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': newKey() }, body: JSON.stringify(body || {}) })
const remove = path => call(path, { method: 'DELETE' })
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), one => one.toString(16).padStart(2, '0')).join('')

/** One question at a time, however many requests wait for the answer. */
function askToken() {
  return (asking ||= new Promise(resolve => {
    const input = el('input', { type: 'password', autocomplete: 'current-password', 'aria-label': 'Token', size: 44, required: true })
    const form = el('form', { method: 'dialog', onsubmit: () => {
      token = input.value.trim()
      sessionStorage.setItem('token', token)
      asking = undefined
      resolve()
    } },
      el('h2', { id: 'dialog-title' }, 'Token of the admin API'),
      el('p', { class: 'muted' }, 'It stays in this tab and is forgotten with it.'),
      input, el('div', { class: 'row' }, el('button', { class: 'primary' }, 'Continue')))
    openDialog([form])
    input.focus()
  }))
}

/** Server-Sent Events by fetch, as EventSource cannot send a token. Goes on after a break, from the last id. */
async function follow(path, onData, onState) {
  let lastId
  for (;;) {
    try {
      const more = { accept: 'text/event-stream' }
      if (lastId !== undefined) more['last-event-id'] = lastId
      const response = await fetch(path, { headers: headers(more) })
      if (response.status === 401) { await askToken(); continue }
      if (!response.ok) throw new Error(String(response.status))
      onState(true)
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      let rest = ''
      for (;;) {
        const { value, done } = await reader.read()
        if (done) break
        const blocks = (rest + value).split('\n\n')
        rest = blocks.pop()
        for (const block of blocks) {
          const id = /^id: (\d+)$/m.exec(block)
          if (id) lastId = id[1]
          const data = /^data: (.*)$/m.exec(block)
          if (data) onData(JSON.parse(data[1]))
        }
      }
    } catch { /* the network, or the server: try again */ }
    onState(false)
    await new Promise(resolve => setTimeout(resolve, 700))
  }
}

// ── Lines ──

const POINTS = 120
const rings = new Map()
function remember(name, value) {
  let ring = rings.get(name)
  if (!ring) rings.set(name, (ring = []))
  ring.push(value === null || value === undefined ? 0 : value)
  if (ring.length > POINTS) ring.shift()
  return ring
}

/** Two paths in a box of width × height: the area and its upper edge. The top is the largest value, or "least". */
function sparkline(values, width, height, least) {
  const top = Math.max(least || 1e-9, ...values)
  // A young line fills the box, too.
  const span = Math.max(24, values.length)
  const x = at => (width * (at + span - values.length)) / (span - 1)
  const y = value => height - 1 - (height - 3) * Math.min(1, value / top)
  const line = values.map((value, at) => (at ? 'L' : 'M') + x(at).toFixed(1) + ' ' + y(value).toFixed(1)).join('')
  if (values.length < 2) return []
  const area = line + 'L' + width + ' ' + height + 'L' + x(0).toFixed(1) + ' ' + height + 'Z'
  return [svg('path', { class: 'sparkfill', d: area }), svg('path', { class: 'spark', d: line })]
}
`
