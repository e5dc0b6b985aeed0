/**
 * What clients saw, and whether a single Redis could have shown it to them.
 *
 * Each key is a register that one client writes 1, 2, 3 … to, so the order of its versions is known without inference.
 * Times are those of one process: `from` before the command left, `to` after its reply was there.
 *
 * A write whose answer was lost may have been done at any time, or never: `to` is infinite. What a failover lost is
 * excused only where somebody was told (`told`), only around a death of a master, and only for who wrote it.
 */
export interface Operation {
  readonly client: number
  readonly key: string
  /** `heard`: a message told that this version had been written. `told`: -LOSTWRITE; it has no key. */
  readonly does: 'write' | 'read' | 'heard' | 'told'
  /** 0: the key was not there. */
  readonly version: number
  readonly from: number
  readonly to: number
  /** How it was asked, for who looks into a violation. */
  readonly by?: string
}

export interface Violation {
  readonly rule:
    | 'unknown-version'
    | 'stale'
    | 'went-back'
    | 'own-write-missed'
    | 'not-linearizable'
    | 'beyond-bound'
    | 'impossible-value'
  readonly operation: Operation | Sight
  readonly expected: number
}

type Rule = (history: readonly Operation[]) => Violation[]

/** Every read sees what was acknowledged before it came, on whichever connection. */
export const causal: Rule = history => [...staleness(history, 0, 'stale'), ...session(history)]

/** Nothing older than `boundMs`: the next version was acknowledged less than that before the read came. */
export function bounded(boundMs: number): Rule {
  return history => staleness(history, boundMs, 'beyond-bound')
}

function staleness(history: readonly Operation[], boundMs: number, rule: 'stale' | 'beyond-bound'): Violation[] {
  const violations: Violation[] = []
  for (const operations of byKey(history)) {
    const acknowledged = operations
      .filter(({ does, to }) => does === 'write' && to !== Number.POSITIVE_INFINITY)
      .sort((a, b) => a.to - b.to)
    // With these behind a read, it must show at least the highest version among them.
    const highest: number[] = []
    for (const { version } of acknowledged) highest.push(Math.max(version, highest.at(-1) ?? 0))
    for (const operation of operations) {
      if (operation.does !== 'read') continue
      const expected = highest[countBefore(acknowledged, operation.from - boundMs) - 1] ?? 0
      if (operation.version < expected) violations.push({ rule, operation, expected })
    }
  }
  return violations
}

/** How many, in the order of their ends, had ended before `time`. */
function countBefore(operations: readonly { readonly to: number }[], time: number): number {
  let [low, high] = [0, operations.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((operations[middle] as { to: number }).to < time) low = middle + 1
    else high = middle
  }
  return low
}

/** How much older than promised by `causal` each read was, in milliseconds: what a window of some milliseconds is judged by. */
export function ages(history: readonly Operation[]): number[] {
  const found: number[] = []
  for (const operations of byKey(history)) {
    const writes = operations
      .filter(({ does, to }) => does === 'write' && to !== Number.POSITIVE_INFINITY)
      .sort((a, b) => a.version - b.version)
    for (const { does, version, from } of operations) {
      if (does !== 'read') continue
      const next = firstAbove(writes, version)
      if (next !== undefined && next.to < from) found.push(from - next.to)
    }
  }
  return found
}

function firstAbove(writes: readonly Operation[], version: number): Operation | undefined {
  let [low, high] = [0, writes.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((writes[middle] as Operation).version > version) high = middle
    else low = middle + 1
  }
  return writes[low]
}

/** A connection sees its own writes, and never goes back; unless it was told that something may be lost. */
export const session: Rule = history => {
  const violations: Violation[] = []
  const seen = new Map<string, { version: number; own: boolean }>()
  const told = new Map<number, number>()
  for (const operation of [...history].sort((a, b) => a.from - b.from)) {
    const { client, key, version, does, to } = operation
    if (does === 'told') {
      told.set(client, (told.get(client) ?? 0) + 1)
      continue
    }
    if (does === 'write' && to === Number.POSITIVE_INFINITY) continue
    const place = `${client} ${told.get(client) ?? 0} ${key}`
    const before = seen.get(place) ?? { version: 0, own: false }
    if (does === 'read' && version < before.version) {
      const rule = before.own ? 'own-write-missed' : 'went-back'
      violations.push({ rule, operation, expected: before.version })
    } else if (version >= before.version) seen.set(place, { version, own: does === 'write' })
  }
  return violations
}

/**
 * Zones (Gibbons and Korach): a version's zone spans from the first end of an operation on it to the last start. One that
 * runs forward (somebody had finished before somebody else began) is a time in which the key must have had that version: no
 * two of them may overlap, and none may contain the whole of a version that came and went.
 */
export const linearizable: Rule = history => {
  const violations: Violation[] = unknownVersions(history)
  for (const operations of byKey(history)) {
    const zones = zonesOf(operations)
    const forward = zones.filter(zone => zone.low < zone.high).sort((a, b) => a.low - b.low)
    for (const [index, zone] of forward.entries()) {
      const next = forward[index + 1]
      if (next !== undefined && next.low < zone.high) violations.push(notLinearizable(zone, next.version))
    }
    for (const { low, high, version } of zones.filter(zone => zone.low >= zone.high)) {
      const around = forward.find(zone => zone.low < high && low < zone.high)
      if (around !== undefined) violations.push(notLinearizable(around, version))
    }
  }
  return violations
}

interface Zone {
  readonly version: number
  readonly operation: Operation
  /** The first end. */
  low: number
  /** The last start. */
  high: number
}

function notLinearizable({ operation }: Zone, expected: number): Violation {
  return { rule: 'not-linearizable', operation, expected }
}

function zonesOf(operations: readonly Operation[]): readonly Zone[] {
  const zones = new Map<number, Zone>()
  const first = operations[0] as Operation
  // The key was not there from the beginning of time.
  zones.set(0, { version: 0, operation: first, low: Number.NEGATIVE_INFINITY, high: Number.NEGATIVE_INFINITY })
  for (const operation of operations) {
    const { version, from, to, does } = operation
    if (does === 'write') zones.set(version, { version, operation, low: to, high: from })
  }
  for (const operation of operations) {
    const zone = operation.does === 'read' ? zones.get(operation.version) : undefined
    if (zone === undefined) continue
    zone.low = Math.min(zone.low, operation.to)
    zone.high = Math.max(zone.high, operation.from)
  }
  return [...zones.values()]
}

/** Nobody may be shown what nobody has sent, or before it was. */
export function unknownVersions(history: readonly Operation[]): Violation[] {
  const violations: Violation[] = []
  for (const operations of byKey(history)) {
    const sent = new Map<number, number>([[0, Number.NEGATIVE_INFINITY]])
    for (const { does, version, from } of operations) {
      if (does === 'write') sent.set(version, Math.min(from, sent.get(version) ?? Number.POSITIVE_INFINITY))
    }
    for (const operation of operations) {
      if (operation.does !== 'read') continue
      const since = sent.get(operation.version)
      if (since === undefined || since > operation.to) {
        violations.push({ rule: 'unknown-version', operation, expected: 0 })
      }
    }
  }
  return violations
}

// ── What a failover may lose ────────────────────────────────────────────────────────────────────────────────────────

/** What is acknowledged so long before a master dies is with a replica by then, whatever its link. */
const LOSABLE_MS = 3000
/** Whoever is told anything is told by his next commands. */
const TOLD_MS = 15_000

/** The history without the versions that deaths of the master excuse: acknowledged shortly before one, their writer told. */
export function withoutLost(history: readonly Operation[], deaths: readonly number[]): readonly Operation[] {
  if (deaths.length === 0) return history
  const told = history.filter(({ does }) => does === 'told')
  const lost = new Set<string>()
  for (const { does, client, key, version, to } of history) {
    if (does !== 'write') continue
    const isLost = deaths.some(
      death =>
        to > death - LOSABLE_MS &&
        told.some(one => one.client === client && one.to > to && one.to > death && one.to < death + TOLD_MS),
    )
    if (isLost) lost.add(`${key} ${version}`)
  }
  return history.filter(({ does, key, version }) => does === 'told' || !lost.has(`${key} ${version}`))
}

// ── Keys whose values come again ────────────────────────────────────────────────────────────────────────────────────

/** A key that is deleted, expires, or is exchanged: which version a value is of is not in the value. */
export interface Sight {
  readonly client: number
  readonly key: string
  readonly does: 'step' | 'sight'
  /** null: the key was not there. */
  readonly value: string | null
  readonly from: number
  readonly to: number
  /** Its time to live ended: each instance goes by its own look at the clock, so meanwhile one has it and another has not. */
  readonly byClock?: boolean
}

/**
 * Each sight must be explained by a step that had begun, and that no later one had ended `boundMs` before it came; and,
 * where a client never goes back, its sights by steps in their order. `never`: any step that had begun explains it.
 */
export function explained(history: readonly Sight[], boundMs: number | 'never', inOrder: boolean): Violation[] {
  const violations: Violation[] = []
  for (const [key, sights] of grouped(history)) {
    const start: Sight = { client: -1, key, does: 'step', value: null, from: -1e300, to: -1e300 }
    const steps = [start, ...sights.filter(({ does }) => does === 'step').sort((a, b) => a.from - b.from)]
    const seen = new Map<number, number>()
    for (const sight of sights.filter(({ does }) => does === 'sight').sort((a, b) => a.from - b.from)) {
      let oldest = seen.get(sight.client) ?? 0
      if (boundMs !== 'never') {
        for (let at = steps.length - 1; at > oldest; at--) {
          if ((steps[at] as Sight).to < sight.from - boundMs) oldest = at
        }
      }
      let found = oldest
      while (found < steps.length && (steps[found] as Sight).value !== sight.value) found++
      const step = steps[found]
      if (step === undefined || step.from > sight.to) {
        violations.push({ rule: 'impossible-value', operation: sight, expected: oldest })
      } else if (inOrder) seen.set(sight.client, step.byClock === true && sight.from < step.to ? found - 1 : found)
    }
  }
  return violations
}

function byKey(history: readonly Operation[]): Iterable<readonly Operation[]> {
  return grouped(history.filter(({ does }) => does !== 'told')).values()
}

function grouped<One extends { readonly key: string }>(all: readonly One[]): ReadonlyMap<string, readonly One[]> {
  const keys = new Map<string, One[]>()
  for (const one of all) {
    const those = keys.get(one.key)
    if (those === undefined) keys.set(one.key, [one])
    else those.push(one)
  }
  return keys
}
