/**
 * What clients saw, and whether a single Redis could have shown it to them.
 *
 * Each key is a register that one client writes 1, 2, 3 … to, so the order of its versions is known without inference.
 * Times are those of one process: `from` before the command left, `to` after its reply was there.
 */
export interface Operation {
  readonly client: number
  readonly key: string
  readonly does: 'write' | 'read'
  /** 0: the key was not there. */
  readonly version: number
  readonly from: number
  readonly to: number
}

export interface Violation {
  readonly rule: 'unknown-version' | 'stale' | 'went-back' | 'own-write-missed' | 'not-linearizable' | 'beyond-bound'
  readonly operation: Operation
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
    const writes = operations.filter(({ does }) => does === 'write').sort((a, b) => a.version - b.version)
    for (const operation of operations) {
      if (operation.does === 'write') continue
      // Versions are 1, 2, 3 …: the one after the version that was read stands at its index.
      const next = writes[operation.version]
      if (next !== undefined && next.to < operation.from - boundMs) {
        violations.push({ rule, operation, expected: next.version })
      }
    }
  }
  return violations
}

/** A connection sees its own writes, and never goes back. */
export const session: Rule = history => {
  const violations: Violation[] = []
  const seen = new Map<string, { version: number; own: boolean }>()
  for (const operation of [...history].sort((a, b) => a.from - b.from)) {
    const { client, key, version, does } = operation
    const place = `${client} ${key}`
    const before = seen.get(place) ?? { version: 0, own: false }
    if (does === 'read' && version < before.version) {
      const rule = before.own ? 'own-write-missed' : 'went-back'
      violations.push({ rule, operation, expected: before.version })
    } else seen.set(place, { version, own: does === 'write' })
  }
  return violations
}

/**
 * Zones (Gibbons and Korach): a version's zone spans from the first end of an operation on it to the last start. One that
 * runs forward (somebody had finished before somebody else began) is a time in which the key must have had that version: no
 * two of them may overlap, and none may contain the whole of a version that came and went.
 */
export const linearizable: Rule = history => {
  const violations: Violation[] = []
  for (const operations of byKey(history)) {
    const zones = zonesOf(operations, violations)
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

function zonesOf(operations: readonly Operation[], violations: Violation[]): readonly Zone[] {
  const zones = new Map<number, Zone>()
  const first = operations[0] as Operation
  // The key was not there from the beginning of time.
  zones.set(0, { version: 0, operation: first, low: Number.NEGATIVE_INFINITY, high: Number.NEGATIVE_INFINITY })
  for (const operation of operations) {
    const { version, from, to, does } = operation
    if (does === 'write') zones.set(version, { version, operation, low: to, high: from })
  }
  for (const operation of operations) {
    if (operation.does === 'write') continue
    const zone = zones.get(operation.version)
    if (zone === undefined) {
      // Its write may not have been answered by the end of the run.
      if (operation.version > zones.size) violations.push({ rule: 'unknown-version', operation, expected: 0 })
      continue
    }
    zone.low = Math.min(zone.low, operation.to)
    zone.high = Math.max(zone.high, operation.from)
  }
  return [...zones.values()]
}

function byKey(history: readonly Operation[]): Iterable<readonly Operation[]> {
  const keys = new Map<string, Operation[]>()
  for (const operation of history) {
    const operations = keys.get(operation.key)
    if (operations === undefined) keys.set(operation.key, [operation])
    else operations.push(operation)
  }
  return keys.values()
}
