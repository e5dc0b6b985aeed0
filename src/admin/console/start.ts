/** What is known, how it comes in, and what is drawn when. */
export const start = String.raw`
const view = { topology: undefined, traffic: undefined, before: undefined, events: [], paths: new Set() }
const EVENTS = 500
const listeners = new Set()
const onEvent = listener => { listeners.add(listener); return () => listeners.delete(listener) }

function notify(text) {
  const notice = byId('notice')
  notice.textContent = text
  notice.hidden = text === ''
  clearTimeout(notify.timer)
  if (text !== '') notify.timer = setTimeout(() => notify(''), 8000)
}

// ── The topology, several times a second ──

let offsets = new Map()
function onTopology(topology) {
  const before = view.topology
  view.topology = topology
  for (const group of topology.groups) {
    for (const member of group.members) {
      if (member.id !== group.master) remember('lag ' + member.id, member.lagMs)
      const last = offsets.get(member.id)
      if (last && topology.at > last.at) remember('rate ' + member.id, Math.max(0, (1000 * (member.offset - last.offset)) / (topology.at - last.at)))
      offsets.set(member.id, { at: topology.at, offset: member.offset })
    }
  }
  if (!before) choose(shown)
  draw()
}

/** Drawn with the screen, not with the messages; not at all while nobody looks. */
let due = false
function draw() {
  if (due || document.hidden) return
  due = true
  requestAnimationFrame(() => { due = false; drawNow() })
}

function drawNow() {
  const { topology } = view
  const group = topology && topology.groups[0]
  if (!group) return
  byId('group').textContent = group.name
  const diagnosis = byId('diagnosis')
  const text = group.running ? group.running.kind + ': ' + stepName(group.running.step) : group.diagnosis === 'ok' ? 'all is well' : group.diagnosis.replaceAll('-', ' ')
  const kind = group.running ? 'warn' : group.diagnosis === 'ok' ? 'ok' : /^(replica|starting|master-suspect|replication)/.test(group.diagnosis) ? 'warn' : 'bad'
  if (diagnosis.textContent !== text) diagnosis.textContent = text
  diagnosis.className = 'pill ' + kind
  diagnosis.title = group.about.join(', ')
  byId('failover').textContent = 'failover ' + group.failover
  byId('failover').className = 'pill' + (group.failover === 'paused' ? ' warn' : '')
  byId('pause').hidden = group.failover === 'off'
  byId('pause').textContent = group.failover === 'paused' ? 'Resume failover' : 'Pause failover'
  byId('epoch').textContent = 'epoch ' + group.masterEpoch
  const last = group.lastSwitch
  byId('last').textContent = last ? 'last ' + last.cause + ' ' + ago(last.at) + ': writes waited ' + millis(last.stallMs) : ''
  document.title = (group.diagnosis === 'ok' ? '' : '! ') + 'Lagrange · ' + (group.master || 'no master')
  const graph = byId('graph')
  const focused = graph.contains(document.activeElement) ? document.activeElement.dataset.id : undefined
  graph.replaceChildren(drawGraph(group))
  if (focused) { const again = [...graph.querySelectorAll('[data-id]')].find(node => node.dataset.id === focused); if (again) again.focus() }
  if (panels[shown].live && Date.now() - (drawNow.tableAt || 0) > 450) { drawNow.tableAt = Date.now(); refreshPanel() }
}

// ── The traffic, once a second ──

function quantile(bounds, before, after, q) {
  const counts = after.map((count, at) => count - before[at])
  const total = counts.reduce((sum, one) => sum + one, 0)
  if (total <= 0) return null
  let seen = 0
  for (let at = 0; at < counts.length; at++) {
    seen += counts[at]
    if (seen >= q * total) return 1000 * (bounds[at] ?? bounds[bounds.length - 1])
  }
  return null
}

async function pollTraffic() {
  try {
    const traffic = await get('/api/v1/traffic')
    view.before = view.traffic
    view.traffic = traffic
    if (view.before && !document.hidden) drawTiles(view.before, traffic)
  } catch { /* the streams tell that nobody answers */ }
  setTimeout(pollTraffic, 1000)
}

function drawTiles(before, now) {
  const seconds = Math.max(0.001, (now.at - before.at) / 1000)
  const rate = read => Math.max(0, (read(now) - read(before)) / seconds)
  const master = rate(one => one.commands.master)
  const replica = rate(one => one.commands.replica)
  const reads = now.durations.read.reduce((sum, count, at) => sum + count - before.durations.read[at], 0) / seconds
  const share = reads > 0 ? Math.min(1, replica / reads) : null
  const p99 = kind => quantile(now.durations.bounds, before.durations[kind], now.durations[kind], 0.99)
  const tiles = [
    ['Commands per second', perSecond(master + replica), 'ops', master + replica],
    ['Reads on replicas', share === null ? '–' : Math.round(100 * share) + ' %', 'share', share === null ? 0 : 100 * share],
    ['Reads, p99 at most', millis(p99('read')), 'p99r', p99('read')],
    ['Writes, p99 at most', millis(p99('write')), 'p99w', p99('write')],
    ['Errors per second', perSecond(rate(one => one.errors)), 'errors', rate(one => one.errors)],
    ['Clients', whole(now.clients), 'clients', now.clients, whole(now.inFlight) + ' in flight' + (now.held ? ', ' + whole(now.held) + ' held' : '')],
  ]
  byId('tiles').replaceChildren(...tiles.map(([title, value, ring, number, more]) => el('div', { class: 'tile card' }, el('dt', {}, title),
    el('dd', {}, value, more ? el('small', {}, '  ' + more) : ''),
    svg('svg', { viewBox: '0 0 200 26', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, sparkline(remember('tile ' + ring, number), 200, 26)))))
}

// ── Events ──

function onFeed(event) {
  view.events.unshift(event)
  if (view.events.length > EVENTS) view.events.pop()
  for (const listener of listeners) listener(event)
  if (shown === 'Events' && view.topology) {
    const feed = byId('feed')
    if (!feed) refreshPanel()
    else if (matches(event)) { feed.prepend(eventItem(event)); while (feed.children.length > 300) feed.lastChild.remove() }
  }
}

// ── Keys, light and dark ──

const dark = matchMedia('(prefers-color-scheme: dark)')
let theme = localStorage.getItem('theme')
function showTheme() { document.documentElement.dataset.theme = theme || (dark.matches ? 'dark' : 'light') }
function toggleTheme() {
  theme = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'
  localStorage.setItem('theme', theme)
  showTheme()
}
dark.addEventListener('change', showTheme)
showTheme()

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId('dialog').open || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return
  const act = { s: () => openSwitch(), p: togglePause, d: toggleTheme, '?': openHelp, '/': () => byId('filter').focus() }[event.key]
  const tab = /^[1-9]$/.test(event.key) ? tabNames()[Number(event.key) - 1] : undefined
  if (act) { event.preventDefault(); act() } else choose(tab)
})
byId('switch').addEventListener('click', () => openSwitch())
byId('pause').addEventListener('click', togglePause)
byId('theme').addEventListener('click', toggleTheme)
byId('help').addEventListener('click', openHelp)
document.addEventListener('visibilitychange', draw)

// ── Begin ──

function onState(up) {
  byId('live').className = up ? 'dot' : 'dot bad'
  byId('state').textContent = up ? 'live' : 'not reachable, trying again'
}
const wanted = Number(new URLSearchParams(location.search).get('intervalMs'))
get('/openapi.json').then(({ paths }) => { for (const path of Object.keys(paths)) view.paths.add(path); showTabs() }, () => {})
showTabs()
get('/api/v1/events?limit=200').then(({ events }) => { for (const event of events) onFeed(event) }, () => {}).then(() => {
  const last = view.events[0] ? view.events[0].id : 0
  follow('/api/v1/events?after=' + last, onFeed, () => {})
})
follow('/api/v1/topology?intervalMs=' + (wanted >= 50 ? wanted : 250), onTopology, onState)
pollTraffic()
`
