import { expect, test } from 'vitest'
import { asked, died, forgive, heard, judge, type Liveness, unheard } from '../../../src/topology/detector.js'

type Happening = readonly [at: number, what: keyof typeof acts]
const acts = {
  asked,
  heard,
  forgive,
  reset: (liveness: Liveness, now: number) => died(liveness, 'reset', now),
  refused: (liveness: Liveness, now: number) => died(liveness, 'refused', now),
}

for (const [name, happenings, now, expected] of [
  ['nobody was asked', [], 0, 'unknown'],
  ['asked a moment ago, never heard', [[0, 'asked']], 100, 'unknown'],
  [
    'answered',
    [
      [0, 'asked'],
      [1, 'heard'],
    ],
    5000,
    'up',
  ],
  [
    'one reset may be an operator',
    [
      [0, 'asked'],
      [1, 'heard'],
      [10, 'reset'],
    ],
    10,
    'suspect reset',
  ],
  [
    'reset, then refused',
    [
      [1, 'heard'],
      [10, 'reset'],
      [11, 'refused'],
    ],
    11,
    'down dead',
  ],
  [
    'a network that breaks connections',
    [
      [1, 'heard'],
      [10, 'reset'],
      [11, 'reset'],
      [12, 'reset'],
    ],
    12,
    'suspect reset',
  ],
  [
    'a relay in front of a dead process',
    [
      [1, 'heard'],
      [10, 'reset'],
      [11, 'reset'],
      [12, 'reset'],
      [60, 'reset'],
    ],
    60,
    'down dead',
  ],
  [
    'a network that breaks whatever stands, in one moment',
    [
      [1, 'heard'],
      [10, 'reset'],
      [11, 'reset'],
      [12, 'reset'],
      [13, 'reset'],
      [14, 'reset'],
    ],
    14,
    'suspect reset',
  ],
  [
    'refused twice from the start',
    [
      [0, 'asked'],
      [1, 'refused'],
      [2, 'refused'],
    ],
    3,
    'down dead',
  ],
  [
    'reset, then an answer on a new connection',
    [
      [1, 'heard'],
      [10, 'reset'],
      [11, 'heard'],
    ],
    12,
    'up',
  ],
  [
    'reset, answer, reset: never two in a row',
    [
      [9, 'reset'],
      [10, 'heard'],
      [11, 'reset'],
    ],
    12,
    'suspect reset',
  ],
  [
    'silence begins with the first question',
    [
      [0, 'heard'],
      [100, 'asked'],
      [200, 'asked'],
    ],
    1000,
    'suspect silent',
  ],
  [
    'half of the time is suspicious',
    [
      [0, 'heard'],
      [100, 'asked'],
    ],
    601,
    'suspect silent',
  ],
  [
    'less than half is not',
    [
      [0, 'heard'],
      [100, 'asked'],
    ],
    600,
    'up',
  ],
  [
    'exactly the time is not over it',
    [
      [0, 'heard'],
      [100, 'asked'],
    ],
    1100,
    'suspect silent',
  ],
  [
    'silence counts after down-after',
    [
      [0, 'heard'],
      [100, 'asked'],
    ],
    1101,
    'down silent',
  ],
  ['silence without a question is none', [[0, 'heard']], 60_000, 'up'],
  [
    'we were away: counted anew',
    [
      [0, 'heard'],
      [100, 'asked'],
      [5000, 'forgive'],
    ],
    5400,
    'up',
  ],
  [
    'a reset, then silence',
    [
      [0, 'heard'],
      [10, 'reset'],
      [20, 'asked'],
    ],
    1011,
    'down silent',
  ],
] as const) {
  test(`liveness: ${name}`, () => {
    let liveness: Liveness = unheard
    for (const [at, what] of happenings as readonly Happening[]) liveness = acts[what](liveness, at)
    const verdict = judge(liveness, { downAfterMs: 1000 }, now)
    expect('because' in verdict ? `${verdict.health} ${verdict.because}` : verdict.health).toBe(expected)
  })
}
