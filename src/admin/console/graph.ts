/** The topology as a picture: endpoint, master, replicas in the columns of their distance from the master. */
export const graph = String.raw`
const CARD = { width: 250, height: 104, gap: 20, column: 330, left: 10, endpoint: 180 }

/** Who hangs on whom: [{ member, depth, row }], the master first, children beside their parents. */
function layout(group) {
  const byMaster = new Map()
  const known = new Set(group.members.map(member => member.id))
  const roots = []
  for (const member of group.members) {
    const parent = member.id !== group.master && known.has(member.masterId) ? member.masterId : undefined
    if (parent === undefined || parent === member.id) roots.push(member)
    else byMaster.set(parent, (byMaster.get(parent) || []).concat(member))
  }
  roots.sort((a, b) => (b.id === group.master) - (a.id === group.master) || a.id.localeCompare(b.id))
  const placed = []
  const seen = new Set()
  let row = 0
  const place = (member, depth) => {
    if (seen.has(member.id)) return undefined
    seen.add(member.id)
    const children = (byMaster.get(member.id) || []).sort((a, b) => a.id.localeCompare(b.id)).map(child => place(child, depth + 1)).filter(Boolean)
    // A parent stands in the middle of its children.
    const at = children.length === 0 ? row++ : (children[0].row + children[children.length - 1].row) / 2
    const spot = { member, depth, row: at }
    placed.push(spot)
    return spot
  }
  // Whoever follows nobody we know stands in the column of the replicas, unless it is the master.
  for (const root of roots) place(root, root.id === group.master ? 0 : 1)
  for (const member of group.members) place(member, 1)
  return placed
}

function drawGraph(group) {
  const spots = layout(group)
  const rows = Math.max(1, ...spots.map(spot => spot.row + 1))
  const columns = 1 + Math.max(1, ...spots.map(spot => spot.depth))
  const first = CARD.left + CARD.endpoint + 90
  const width = first + (columns - 1) * CARD.column + CARD.width + CARD.left
  const height = rows * (CARD.height + CARD.gap) + 6
  const x = spot => first + spot.depth * CARD.column
  const y = spot => 4 + spot.row * (CARD.height + CARD.gap)
  const middle = spot => y(spot) + CARD.height / 2
  const byName = new Map(spots.map(spot => [spot.member.id, spot]))
  const master = byName.get(group.master)

  const links = []
  for (const spot of spots) {
    const { member } = spot
    const from = byName.get(member.masterId)
    if (from === undefined || from === spot || member.id === group.master) continue
    const [x1, y1, x2, y2] = [x(from) + CARD.width, middle(from), x(spot), middle(spot)]
    const bend = (x2 - x1) / 2
    const kind = member.linkUp !== true ? 'down' : member.syncInProgress ? 'sync flow' : 'flow'
    links.push(svg('path', { class: 'link ' + kind, d: 'M' + x1 + ' ' + y1 + 'C' + (x1 + bend) + ' ' + y1 + ' ' + (x2 - bend) + ' ' + y2 + ' ' + x2 + ' ' + y2 }))
    const text = member.linkUp !== true ? 'link down' : member.syncInProgress ? 'full resync' : member.lagBytes ? bytes(member.lagBytes) + ' behind' : ''
    if (text) links.push(svg('text', { class: 'linktext', x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 6 }, text))
  }
  const middleRow = master === undefined ? height / 2 : middle(master)
  if (master !== undefined) {
    links.push(svg('path', { class: 'link write' + (group.writesPaused ? ' down' : ' flow'), d: 'M' + (CARD.left + CARD.endpoint) + ' ' + middleRow + 'L' + x(master) + ' ' + middleRow }))
    links.push(svg('text', { class: 'linktext', x: (CARD.left + CARD.endpoint + x(master)) / 2, y: middleRow - 8 }, group.writesPaused ? 'held' : 'writes'))
  }
  return svg('svg', { viewBox: '0 0 ' + width + ' ' + height, width, height, role: 'group', 'aria-label': 'Instances and the links between them' },
    links, endpointCard(middleRow), spots.map(spot => instanceCard(group, spot.member, x(spot), y(spot))))
}

function endpointCard(middle) {
  const top = middle - 36
  return svg('g', { class: 'node' },
    svg('rect', { class: 'box', x: CARD.left, y: top, width: CARD.endpoint, height: 72, rx: 12 }),
    svg('text', { class: 'role sub', x: CARD.left + 14, y: top + 22 }, 'ENDPOINT'),
    svg('text', { class: 'id', x: CARD.left + 14, y: top + 42 }, view.traffic ? whole(view.traffic.clients) + ' clients' : '–'),
    svg('text', { class: 'sub', x: CARD.left + 14, y: top + 60 }, view.topology.workers + (view.topology.workers === 1 ? ' worker' : ' workers')))
}

function stateOf(group, member) {
  if (member.health === 'down') return 'down'
  if (member.drained) return 'drained'
  if (member.id === group.master) return group.writesPaused ? 'writes held' : 'writable'
  if (member.syncInProgress) return 'full resync'
  return member.excluded === null ? 'serves reads' : member.excluded
}

function instanceCard(group, member, x, y) {
  const isMaster = member.id === group.master
  const isDown = member.health === 'down'
  const warned = !isDown && !isMaster && member.excluded !== null
  const state = stateOf(group, member)
  const kind = ['node', isMaster ? 'master' : 'replica', isDown && 'down', warned && 'warned', member.drained && 'drained'].filter(Boolean).join(' ')
  const lag = rings.get('lag ' + member.id) || []
  const details = isMaster ? 'offset ' + whole(member.offset) : member.lagMs === null ? 'lag unknown' : 'lag ' + millis(member.lagMs) + (member.lagBytes ? ' · ' + bytes(member.lagBytes) : '')
  const label = member.id + ', ' + (isMaster ? 'master' : member.role) + ', ' + state + ', ' + details
  const open = () => openInstance(member.id)
  return svg('g', { class: kind, tabindex: 0, role: 'button', 'aria-label': label, 'data-id': member.id, transform: 'translate(' + x + ' ' + y + ')', onclick: open,
    onkeydown: event => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); open() } } },
    svg('rect', { class: 'box', width: CARD.width, height: CARD.height, rx: 12 }),
    svg('path', { class: 'band', d: 'M1 13a12 12 0 0 1 12 -12H' + (CARD.width - 13) + 'a12 12 0 0 1 12 12V30H1Z' }),
    svg('text', { class: 'role', x: 14, y: 20 }, isMaster ? 'MASTER' : member.role === 'master' ? 'NOT OUR MASTER' : member.role.toUpperCase()),
    svg('text', { class: 'sub', x: CARD.width - 14, y: 20, 'text-anchor': 'end' }, state),
    svg('text', { class: 'id mono', x: 14, y: 50 }, member.id),
    svg('text', { class: 'sub', x: 14, y: 68 }, details),
    svg('g', { class: member.lagMs > 100 ? 'lagging' : '', transform: 'translate(14 74)' }, isMaster ? rateLine(member) : sparkline(lag, CARD.width - 28, 24, 5)))
}

/** What the master produces, in bytes per second. */
function rateLine(member) {
  return sparkline(rings.get('rate ' + member.id) || [], CARD.width - 28, 24, 1)
}
`
