/** Questions and their answers: one instance, the switch with its preview and progress, the keys. */
export const dialogs = String.raw`
function openDialog(content) {
  const dialog = byId('dialog')
  dialog.replaceChildren(...content)
  if (!dialog.open) dialog.showModal()
  return dialog
}
const closeDialog = () => byId('dialog').close()
const closeButton = text => el('button', { type: 'button', onclick: closeDialog }, text || 'Close')
const problemText = error => (error.problem ? (error.problem.title + ': ' + error.problem.detail) : error.message)

function openInstance(id) {
  const group = view.topology.groups.find(one => one.members.some(member => member.id === id))
  const member = group.members.find(one => one.id === id)
  const isMaster = id === group.master
  const error = el('p', { class: 'bad', role: 'alert' })
  const act = async (path, done) => {
    try { await post('/api/v1/instances/' + encodeURIComponent(id) + path); closeDialog(); if (done) done() }
    catch (caught) { error.textContent = problemText(caught) }
  }
  const facts = [
    ['Role', isMaster ? 'master' : member.role], ['State', stateOf(group, member)], ['Health', member.health],
    ['Offset', whole(member.offset)], ['Lag', isMaster ? '–' : millis(member.lagMs) + ', ' + bytes(member.lagBytes)],
    ['Link', member.linkUp === null ? '–' : member.linkUp ? 'up, heard ' + millis(member.lastIoMs) + ' ago' : 'down'],
    ['Follows', member.masterId || '–'], ['Version', member.version || '–'], ['Zone', member.zone || '–'],
    ['Priority', whole(member.priority)], ['Run id', member.runId || '–'], ['History', member.replid || '–'],
  ]
  openDialog([
    el('div', { class: 'body' }, el('h2', { id: 'dialog-title', class: 'mono' }, id),
      el('dl', { class: 'facts' }, facts.flatMap(([name, value]) => [el('dt', {}, name), el('dd', { class: 'mono' }, value)])), error),
    el('div', { class: 'foot' },
      !isMaster && el('button', { type: 'button', onclick: () => openSwitch(id) }, 'Make it the master…'),
      !isMaster && (member.drained
        ? el('button', { type: 'button', onclick: () => act('/ready') }, 'Take back into reading')
        : el('button', { type: 'button', onclick: () => act('/drain') }, 'Drain')),
      closeButton()),
  ])
}

// ── The switch ──

const stepNames = {
  approach: 'come close', hold: 'hold writes', pause: 'pause others', catch_up: 'catch up', demote: 'demote', final_offset: 'last byte', feed_slaves: 'feed', replay_client: 'replay',
  send_slaveof_noone: 'promote', reconf_slaves: 're-point', wait_promotion: 'promotion', update_config: 'publish', rollback: 'roll back',
}
const stepName = step => stepNames[step] || step.replaceAll('_', ' ')

async function openSwitch(to) {
  const group = view.topology.groups[0]
  const others = group.members.filter(member => member.id !== group.master)
  const select = el('select', { id: 'switch-to', 'aria-label': 'New master', onchange: () => preview() },
    el('option', { value: '' }, 'the best candidate'),
    others.map(member => el('option', { value: member.id, selected: member.id === to }, member.id + (member.excluded ? ' (' + member.excluded + ')' : ''))))
  const plan = el('div', { class: 'plan', 'aria-live': 'polite' }, 'Asking …')
  const go = el('button', { type: 'button', class: 'primary', disabled: true, id: 'switch-go' }, 'Switch')
  const cancel = closeButton('Cancel')
  const wish = () => (select.value === '' ? {} : { to: select.value })
  let planned
  let asked = 0
  openDialog([
    el('div', { class: 'body' }, el('h2', { id: 'dialog-title' }, 'Switch the master'),
      el('div', { class: 'row' }, el('label', { for: 'switch-to' }, 'New master'), select), plan,
      el('p', { class: 'muted hint' }, 'Writes wait for some milliseconds; none is lost. If a step fails before the promotion, everything stays as it is.')),
    el('div', { class: 'foot' }, cancel, go),
  ])
  go.addEventListener('click', () => perform())
  await preview()

  async function preview() {
    const mine = ++asked
    go.disabled = true
    try {
      const answer = await post('/api/v1/switchover', Object.assign(wish(), { dryRun: true }))
      if (mine !== asked) return
      planned = answer.plan.to
      showPlan(answer.plan)
      go.disabled = false
      go.focus()
    } catch (error) {
      if (mine !== asked) return
      // What stands in the way may pass: a replica catches up, a switch ends.
      setTimeout(() => { if (mine === asked && plan.isConnected && byId('dialog').open) preview() }, 1000)
      plan.replaceChildren(el('p', { class: 'bad' }, 'Not possible now. ' + problemText(error)),
        ...(error.problem && error.problem.passedOver || []).map(({ id, reason }) => el('p', { class: 'muted' }, id + ': ' + reason)))
    }
  }

  function showPlan(answer) {
    plan.replaceChildren(el('div', { class: 'swap mono' }, el('span', {}, answer.from || 'nobody'), '→', el('span', { class: 'to' }, answer.to)),
      el('p', { class: 'muted' }, 'Because: ' + answer.because + '.'),
      ...forecast(answer).map(line => el('p', {}, line)),
      el('ol', { class: 'steps' }, answer.steps.map(step => stepItem(step))),
      ...answer.passedOver.map(({ id, reason }) => el('p', { class: 'muted' }, 'Passed over: ' + id + ' (' + reason + ')')))
  }

  function forecast({ lagBytes, lagMs, keysAtRisk, expectedStallMs, stallMaxMs, clients }) {
    const lines = []
    if (lagBytes !== null) lines.push('It is ' + whole(lagBytes) + ' bytes' + (lagMs === null ? '' : ' and ' + millis(lagMs)) + ' behind (' + (keysAtRisk === null ? 'nobody can tell which keys' : whole(keysAtRisk) + ' keys') + ').')
    if (stallMaxMs !== null) lines.push((expectedStallMs === null ? '' : 'Writes waited ' + millis(expectedStallMs) + ' last time. ') + 'It is rolled back if they would wait ' + millis(stallMaxMs) + '.')
    if (clients === null) return lines.concat('No worker could say what its clients are doing.')
    const said = [[clients.writesInFlight, 'writes in flight'], [clients.held, 'commands held'], [clients.transactions, 'clients in MULTI'], [clients.watching, 'in WATCH (their EXEC will answer nil)'], [clients.blocked, 'blocked'], [clients.subscribed, 'subscribed'], [clients.monitoring, 'monitoring']]
      .filter(([count]) => count > 0).map(([count, what]) => whole(count) + ' ' + what)
    return lines.concat('In the middle of something: ' + (said.length ? said.join(', ') : 'nobody') + '.')
  }

  async function perform() {
    go.disabled = cancel.disabled = select.disabled = true
    const items = new Map([...plan.querySelectorAll('li')].map(item => [item.dataset.step, item]))
    const stop = onEvent(event => {
      const step = /^\+switchover-state-(.*)$/.exec(event.name)
      if (!step) return
      for (const item of items.values()) if (item.classList.contains('now')) item.className = 'done'
      const item = items.get(step[1].replaceAll('-', '_'))
      if (item) item.className = 'now'
    })
    try {
      // Whoever was shown, even if another is the best by now.
      const { report } = await post('/api/v1/switchover', { to: planned })
      showReport(report)
    } catch (error) {
      plan.replaceChildren(el('p', { class: 'bad', role: 'alert' }, problemText(error)))
      go.textContent = 'Try again'
      go.disabled = cancel.disabled = select.disabled = false
    }
    stop()
  }

  function showReport(report) {
    byId('dialog').querySelector('.hint').remove()
    const longest = Math.max(0.01, ...report.steps.map(step => step.ms))
    plan.replaceChildren(
      el('p', { role: 'status' }, el('b', { class: 'ok' }, 'Done. '), report.to + ' is the master. Writes waited ' + millis(report.stallMs) + ' at most (' + whole(report.heldCommands) + ' commands); '
        + (report.lostBytes === 0 ? 'nothing was lost.' : report.lostBytes === null ? 'nobody could ask what was lost.' : whole(report.lostBytes) + ' bytes are lost.')),
      el('ol', { class: 'steps' }, report.steps.map(({ step, ms }) => stepItem(step, ms, longest))))
    byId('dialog').querySelector('.foot').replaceChildren(closeButton())
    byId('dialog').querySelector('.foot button').focus()
  }
}

function stepItem(step, ms, longest) {
  const bar = el('i', { class: 'bar2' })
  if (ms === undefined) bar.hidden = true
  else bar.style.width = Math.max(1, (100 * ms) / longest) + '%'
  return el('li', { 'data-step': step, class: ms === undefined ? '' : 'done' }, el('span', {}, ms === undefined ? '·' : '✓'), el('span', {}, stepName(step)), bar, el('span', { class: 'ms' }, ms === undefined ? '' : millis(ms)))
}

// ── What was rescued ──

async function openRescue(id) {
  const path = '/api/v1/rescue/' + encodeURIComponent(id)
  const said = el('p', { role: 'status' })
  const apply = async dryRun => {
    try {
      const report = await post(path + '/apply', { skipChanged: true, dryRun })
      said.className = report.failed ? 'bad' : 'ok'
      said.textContent = (dryRun ? 'Would apply ' : 'Applied ') + whole(report.applied) + ', leaves out ' + whole(report.skipped) + ' whose keys were written since' + (report.failed ? ', ' + whole(report.failed) + ' failed: ' + report.firstError : '') + '.'
      go.disabled = !dryRun
    } catch (error) { said.className = 'bad'; said.textContent = problemText(error) }
  }
  const go = el('button', { type: 'button', class: 'primary', disabled: true, onclick: () => apply(false) }, 'Apply')
  try {
    const one = await get(path)
    openDialog([
      el('div', { class: 'body' }, el('h2', { id: 'dialog-title' }, 'Rescued from ' + one.node),
        el('p', { class: 'muted' }, whole(one.writes) + ' writes to ' + whole(one.keyCount) + ' keys, ' + new Date(one.at).toLocaleString() + (one.missing ? '. Missing: ' + one.missing : '')),
        el('div', { class: 'plan scroll' }, table([column('Key', row => el('span', { class: 'mono' }, row.key), 'wrap'), column('Db', row => row.db, 'num'), column('Writes', row => whole(row.writes), 'num')], one.keys.slice(0, 12), 'No keys are known.')),
        el('div', { class: 'plan scroll mono' }, one.commands.slice(0, 8).map(words => el('div', {}, words.join(' ')))), said),
      el('div', { class: 'foot' }, closeButton(), el('button', { type: 'button', disabled: one.file === null, onclick: () => apply(true) }, 'Preview'), go),
    ])
  } catch (error) { notify(problemText(error)) }
}

async function togglePause() {
  const paused = view.topology.groups[0].failover === 'paused'
  try { await post(paused ? '/api/v1/resume' : '/api/v1/pause') } catch (error) { notify(problemText(error)) }
}

function openHelp() {
  const keys = [['s', 'Switch the master, with preview'], ['p', 'Pause failover, or go on'], ['1 – 9', 'Choose a table'], ['← →', 'The table beside (on a tab)'],
    ['Tab, Enter', 'Walk the instances, open one'], ['/', 'Filter'], ['d', 'Light or dark'], ['Esc', 'Close'], ['?', 'This']]
  openDialog([el('div', { class: 'body' }, el('h2', { id: 'dialog-title' }, 'Keyboard'), el('div', { class: 'keys' }, keys.map(([key, what]) => [el('kbd', {}, key), el('span', {}, what)]))), el('div', { class: 'foot' }, closeButton())])
}
`
