/** The tables below the picture. Each answers rows from the API; the instances and the events are live anyway. */
export const panels = String.raw`
const column = (title, read, kind) => ({ title, read, kind })
const lostOf = ({ lost, unread }) => [
  unread.length ? 'may be: ' + unread.join(', ') + ' could not be asked' : '',
  lost && lost.sessions ? whole(lost.sessions) + ' clients: ' + lost.clients.slice(0, 3).join(', ') + (lost.sessions > 3 ? ' …' : '') : '',
  lost && lost.rescues.length ? whole(lost.writes) + ' writes to ' + whole(lost.keys) + ' keys, saved' : '',
].filter(Boolean).join('; ')
let filterText = ''

function table(columns, rows, empty) {
  if (rows.length === 0) return el('p', { class: 'empty' }, empty)
  return el('div', { class: 'scroll' }, el('table', {},
    el('thead', {}, el('tr', {}, columns.map(({ title, kind }) => el('th', { scope: 'col', class: kind || '' }, title)))),
    el('tbody', {}, rows.map(row => el('tr', {}, columns.map(({ read, kind }) => el('td', { class: kind || '' }, read(row))))))))
}
const matches = row => filterText === '' || JSON.stringify(row).toLowerCase().includes(filterText.toLowerCase())
const button = (text, act, kind) => el('button', { type: 'button', class: 'quiet ' + (kind || ''), onclick: async event => {
  event.target.disabled = true
  try { await act() } catch (error) { notify(problemText(error)) }
  refreshPanel()
} }, text)
const meter = share => { const bar = el('i'); bar.style.width = Math.min(100, share * 100) + '%'; return el('span', { class: 'meter' }, bar) }

const panels = {
  Instances: {
    live: true,
    show() {
      const group = view.topology.groups[0]
      const path = member => '/api/v1/instances/' + encodeURIComponent(member.id)
      return table([
        column('Instance', member => el('span', { class: 'mono' }, member.id)),
        column('Role', member => (member.id === group.master ? el('b', { class: 'ok' }, 'master') : member.role)),
        column('State', member => { const state = stateOf(group, member); return el('span', { class: member.health === 'down' ? 'bad' : member.excluded && member.id !== group.master ? 'warn' : '' }, state) }),
        column('Offset', member => whole(member.offset), 'num'),
        column('Behind', member => (member.id === group.master ? '' : bytes(member.lagBytes)), 'num'),
        column('Lag', member => (member.id === group.master ? '' : millis(member.lagMs)), 'num'),
        column('Link', member => (member.linkUp === null ? '' : member.linkUp ? 'up' : el('span', { class: 'bad' }, 'down'))),
        column('Version', member => member.version || ''),
        column('', member => [
          member.id !== group.master && el('button', { type: 'button', class: 'quiet', onclick: () => openSwitch(member.id) }, 'Make master…'),
          member.id !== group.master && button(member.drained ? 'Ready' : 'Drain', () => post(path(member) + (member.drained ? '/ready' : '/drain'))),
        ].filter(Boolean), 'act'),
      ], group.members.filter(matches), 'No instance is known yet.')
    },
  },
  Events: {
    show() {
      return el('ol', { id: 'feed', 'aria-label': 'Events, newest first' }, view.events.filter(matches).slice(0, 300).map(eventItem))
    },
  },
  Sessions: {
    every: 2000,
    async load() { return get('/api/v1/sessions?limit=200') },
    show({ sessions, total }) {
      return [el('p', { class: 'muted' }, whole(total) + ' connected' + (total > sessions.length ? ', the ' + sessions.length + ' most active are shown' : '')), table([
        column('Client', one => [el('span', { class: 'mono' }, one.address), one.name && ' ' + one.name].filter(Boolean)),
        column('Library', one => one.library), column('User', one => one.user), column('Level', one => one.level), column('Db', one => one.db, 'num'),
        column('Last', one => el('span', { class: 'mono' }, one.lastCommand)), column('Went to', one => el('span', { class: 'mono' }, one.lastTo)), column('Because', one => one.lastBecause),
        column('Own', one => one.pinned || ''), column('Idle', one => one.idleSeconds + ' s', 'num'),
        column('', one => button('Close', () => remove('/api/v1/sessions/' + one.id), 'danger'), 'act'),
      ], sessions.filter(matches), 'Nobody is connected.')]
    },
  },
  Keys: {
    every: 2000,
    async load() { return get('/api/v1/keys?limit=30') },
    show({ hot, big, sampledPer }) {
      return [el('p', { class: 'muted' }, 'One in ' + sampledPer + ' commands is looked at.'), table([
        column('Hot key', one => el('span', { class: 'mono' }, one.key), 'wrap'), column('Share', one => [meter(one.share), ' ' + (100 * one.share).toFixed(1) + ' %']), column('Per second', one => perSecond(one.perSecond), 'num'),
      ], hot.filter(matches), 'Nothing was sampled in the last minute.'), el('h2', {}, 'Big values'), table([
        column('Key', one => el('span', { class: 'mono' }, one.key), 'wrap'), column('Command', one => one.command), column('Size', one => bytes(one.bytes), 'num'),
      ], big.filter(matches), 'None over 16 KB was seen.')]
    },
  },
  'Slow log': {
    every: 3000,
    async load() { return get('/api/v1/slowlog') },
    show({ entries }) {
      return table([
        column('Time', one => clock(one.at)), column('Took', one => millis(one.ms), 'num'), column('Held', one => (one.heldMs ? millis(one.heldMs) : ''), 'num'),
        column('Command', one => el('span', { class: 'mono' }, one.command.join(' ')), 'wrap'), column('Instance', one => el('span', { class: 'mono' }, one.node)), column('Client', one => el('span', { class: 'mono' }, one.client)),
      ], entries.filter(matches), 'No command was slow.')
    },
  },
  History: {
    every: 5000,
    async load() { return get('/api/v1/history') },
    show({ changes }) {
      return table([
        column('Time', one => new Date(one.at).toLocaleString()), column('What', one => one.kind), column('Because', one => one.cause),
        column('Result', one => el('b', { class: one.result === 'ok' ? 'ok' : 'bad' }, one.result + (one.reason ? ': ' + one.reason : ''))),
        column('From', one => el('span', { class: 'mono' }, one.from || '–')), column('To', one => el('span', { class: 'mono' }, one.to || '–')),
        column('Writes waited', one => millis(one.stallMs), 'num'), column('Took', one => millis(one.durationMs), 'num'), column('Epoch', one => one.masterEpoch, 'num'),
        column('Lost', one => lostOf(one), 'wrap'),
      ], changes.filter(matches), 'The master has not changed since this proxy was started.')
    },
  },
  Rescue: {
    path: '/api/v1/rescue',
    every: 5000,
    async load() { return get('/api/v1/rescue') },
    show({ rescues }) {
      return [el('p', { class: 'muted' }, 'Writes that only a former master had, kept before it was demoted.'), table([
        column('Time', one => new Date(one.at).toLocaleString()), column('Old master', one => el('span', { class: 'mono' }, one.node)),
        column('Writes', one => whole(one.writes), 'num'), column('Keys', one => whole(one.keyCount), 'num'), column('Size', one => bytes(one.bytes), 'num'),
        column('State', one => (one.missing ? el('span', { class: 'warn' }, one.missing) : one.appliedAt ? 'applied ' + ago(one.appliedAt) : el('b', { class: 'warn' }, 'not applied'))),
        column('', one => el('button', { type: 'button', class: 'quiet', onclick: () => openRescue(one.id) }, 'Show…'), 'act'),
      ], rescues.filter(matches), 'Nothing had to be rescued.')]
    },
  },
  Rules: {
    every: 5000,
    async load() { return get('/api/v1/rules') },
    show({ rules, waitMs }) {
      return [el('p', { class: 'muted' }, 'The first that says something decides it. A read waits up to ' + millis(waitMs) + ' for a replica that is about to be fresh.'), table([
        column('For', one => one.appliesTo, 'wrap'), column('Level', one => one.level || ''), column('Bound', one => (one.boundMs === null ? '' : millis(one.boundMs)), 'num'),
        column('Reads from', one => one.readFrom || ''), column('Writes wait for', one => one.acks || ''), column('Denied', one => (one.denied ? el('b', { class: 'bad' }, 'denied') : '')),
      ], rules.filter(matches), '')]
    },
  },
  Configuration: {
    async load() { return get('/api/v1/config') },
    show({ values, origins }) {
      const rows = Object.entries(values).map(([path, value]) => ({ path, value, origin: origins[path] || 'default' }))
      return table([
        column('Option', one => el('span', { class: 'mono' }, one.path)), column('Value', one => el('span', { class: 'mono' }, typeof one.value === 'string' ? one.value : JSON.stringify(one.value)), 'wrap'),
        column('From', one => el('span', { class: one.origin === 'default' ? 'muted' : '' }, one.origin)),
      ], rows.filter(matches), '')
    },
  },
}

function eventItem(event) {
  const fields = Object.entries(event.fields).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => name + '=' + value).join('  ')
  const kind = event.level === 'error' ? 'bad' : event.level === 'warn' ? 'warn' : event.level === 'info' ? 'ok' : 'muted'
  return el('li', { class: 'mono' }, el('span', { class: 'muted' }, clock(event.at)), el('span', { class: kind }, event.level), el('span', { class: 'name' }, event.name), el('span', { class: 'fields' }, fields))
}

// ── Which one is shown ──

let shown = 'Instances'
let timer
const tabNames = () => Object.keys(panels).filter(name => !panels[name].path || view.paths.has(panels[name].path))

function showTabs() {
  const names = tabNames()
  byId('tabs').replaceChildren(...names.map((name, at) => el('button', {
    type: 'button', role: 'tab', id: 'tab-' + at, 'aria-selected': String(name === shown), 'aria-controls': 'panel', tabindex: name === shown ? 0 : -1,
    onclick: () => choose(name),
    onkeydown: event => {
      const by = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
      if (by === 0) return
      choose(names[(at + by + names.length) % names.length])
      byId('tabs').querySelector('[aria-selected="true"]').focus()
    },
  }, name)))
}

function choose(name) {
  if (name === undefined) return
  shown = name
  showTabs()
  const filter = el('input', { type: 'search', id: 'filter', placeholder: 'Filter  /', 'aria-label': 'Filter', value: filterText, oninput: () => { filterText = filter.value; refreshPanel() } })
  byId('panel').replaceChildren(el('div', { class: 'tools' }, filter, el('span', { class: 'space' })), el('div', { id: 'rows' }))
  byId('panel').setAttribute('aria-labelledby', 'tab-' + tabNames().indexOf(name))
  refreshPanel()
}

/** A table that somebody works in is not replaced under their hands: the focus is taken along. */
async function refreshPanel() {
  clearTimeout(timer)
  const panel = panels[shown]
  const name = shown
  try {
    const data = panel.load ? await panel.load() : undefined
    if (name !== shown || !view.topology) return
    place([panel.show(data)].flat())
  } catch (error) {
    if (name === shown) place([el('p', { class: 'empty' }, problemText(error))])
  }
  if (panel.every) timer = setTimeout(refreshPanel, panel.every)
}

function place(content) {
  const rows = byId('rows')
  const buttons = () => [...rows.querySelectorAll('button')]
  const focused = buttons().indexOf(document.activeElement)
  rows.replaceChildren(...content)
  if (focused >= 0 && buttons()[focused]) buttons()[focused].focus()
}
`
