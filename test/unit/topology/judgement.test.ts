/** Diagnosis, candidate, adoption, repairs, lineage and view: which answer for which facts. */
import { describe, expect, test } from 'vitest'
import { chooseMaster } from '../../../src/topology/adopt.js'
import { type CandidateRules, selectCandidate, worthWaitingFor } from '../../../src/topology/candidate.js'
import { diagnose } from '../../../src/topology/diagnose.js'
import { emptyGroup, type Group } from '../../../src/topology/group.js'
import { addToPast, kinship } from '../../../src/topology/lineage.js'
import { makeView } from '../../../src/topology/make-view.js'
import { planRepairs } from '../../../src/topology/repair.js'
import { emptyView } from '../../../src/topology/view.js'
import { A, B, C, group, instance, link, master, NOW, options, replica, seen } from './fixtures.js'

describe('diagnosis', () => {
  const ended = { master: link(false, { since: NOW - 5 }) }
  for (const [expected, evidence, given] of [
    ['ok', undefined, group(master(1), replica(2), replica(3))],
    ['ok', undefined, group(master(1))],
    ['master-suspect', undefined, group(master(1, seen.reset), replica(2))],
    ['master-unreachable-replicas-linked', undefined, group(master(1, seen.dead), replica(2), replica(3))],
    ['master-unreachable-replicas-linked', undefined, group(master(1, seen.dead), replica(2, ended), replica(3))],
    // A link that stands speaks for it only as long as a living master may be silent to its replicas, or while bytes come.
    ['master-silent', 'death', group(master(1, seen.deadForLong), replica(2, ended), replica(3))],
    [
      'master-unreachable-replicas-linked',
      undefined,
      group(master(1, seen.deadForLong), replica(2, ended), replica(3, { lastByteAt: NOW - 900 })),
    ],
    ['master-down', 'death', group(master(1, seen.dead), replica(2, ended), replica(3, ended))],
    ['master-down', 'death', group(master(1, seen.dead), replica(2, ended), replica(3, seen.dead))],
    // Replicas whose own line broke a moment ago have not been asked yet.
    [
      'master-suspect',
      undefined,
      group(master(1, seen.dead), replica(2, seen.reset), replica(3, { ...seen.reset, ...ended })),
    ],
    [
      'master-unreachable-replicas-linked',
      undefined,
      group(master(1, seen.dead), replica(2, seen.reset), replica(3, ended)),
    ],
    ['master-down', 'silence', group(master(1, seen.silent), replica(2, ended), replica(3, ended))],
    ['master-silent', 'silence', group(master(1, seen.silent), replica(2), replica(3))],
    // The veto: a byte after the silence began, beyond what was on its way.
    [
      'master-unreachable-replicas-linked',
      undefined,
      group(master(1, seen.silent), replica(2, { lastByteAt: NOW - 900 })),
    ],
    ['master-silent', 'silence', group(master(1, seen.silent), replica(2, { lastByteAt: NOW - 1480 }))],
    ['master-silent', 'silence', group(master(1, seen.silent), replica(2, { lastByteAt: NOW - 1600 }))],
    ['all-down', undefined, group(master(1, seen.dead), replica(2, seen.dead), replica(3, seen.silent))],
    ['all-down', undefined, group(master(1, seen.silent))],
    // A replica behind another replica is no witness.
    [
      'master-down',
      'death',
      group(
        master(1, seen.dead),
        replica(2, ended),
        replica(3, { master: link(true, { address: { host: 'h', port: 2 } }) }),
      ),
    ],
    // One behind a relay (an address we do not know) is.
    [
      'master-unreachable-replicas-linked',
      undefined,
      group(master(1, seen.dead), replica(2, { master: link(true, { address: { host: 'relay', port: 9 } }) })),
    ],
    ['no-master', 'no-master', group(replica(1, { master: link(false) }), replica(2))],
    ['two-masters', undefined, group(master(1), master(2, { replid: C, replid2: A, secondOffset: 900 }))],
    ['replica-foreign', undefined, group(master(1), master(2, { replid: C, offset: 77 }))],
    ['master-loading', undefined, group(master(1, { loading: true }), replica(2))],
    ['master-denied', undefined, group(master(1, { denied: true }), replica(2))],
    ['master-lost-history', 'lost-history', group(master(1, { runId: 'new', replid: C, offset: 0 }), replica(2))],
    [
      'master-lost-history',
      'lost-history',
      group(master(1, { runId: 'new', replid: C, replid2: A, offset: 900 }), replica(2)),
    ],
    ['ok', undefined, group(master(1, { runId: 'new', replid: C, replid2: A, offset: 1000 }), replica(2))],
    ['replica-link-down', undefined, group(master(1), replica(2, ended), replica(3))],
    ['replica-down', undefined, group(master(1), replica(2, seen.dead), replica(3))],
    ['replication-stalled', undefined, group(master(1), replica(2, { offset: 900, movedAt: NOW - 6000 }))],
    ['ok', undefined, group(master(1), replica(2, { offset: 900, movedAt: NOW - 4000 }))],
    ['starting', undefined, { ...emptyGroup('main'), instances: [instance(1, seen.never)] }],
    ['two-masters', undefined, { ...emptyGroup('main'), instances: [master(1), master(2)] }],
    ['no-master', undefined, { ...emptyGroup('main'), instances: [replica(1), replica(2)] }],
    ['all-down', undefined, { ...emptyGroup('main'), instances: [instance(1, seen.dead)] }],
  ] as const satisfies readonly (readonly [string, string | undefined, Group])[]) {
    const about = given.instances
      .map(({ role, liveness, master: to }) => `${role}${liveness.deaths}${to?.up}`)
      .join(' ')
    test(`${expected}: ${about}`, () => {
      expect(diagnose(given, options, NOW)).toMatchObject({ name: expected, evidence })
    })
  }
})

describe('candidate', () => {
  const crash: CandidateRules = { planned: false, lagBytesMax: Number.POSITIVE_INFINITY }
  const planned: CandidateRules = { planned: true, lagBytesMax: 100 }
  const gone = master(1, seen.dead)
  for (const [name, rules, given, candidate, because] of [
    ['more data wins over priority', crash, [replica(2, { offset: 900, priority: 1 }), replica(3)], 'h:3', 'most-data'],
    ['priority breaks ties', crash, [replica(2, { priority: 50 }), replica(3)], 'h:2', 'priority'],
    ['then the run id', crash, [replica(3), replica(2)], 'h:2', 'run-id'],
    ['priority 0 never', crash, [replica(2, { priority: 0, offset: 2000 }), replica(3)], 'h:3', 'only-one'],
    ['an ancestor before the fork will do', crash, [replica(2, { replid: B, offset: 400 })], 'h:2', 'only-one'],
    ['requested', { ...crash, to: 'h:2' }, [replica(2, { offset: 1 }), replica(3)], 'h:2', 'requested'],
    ['a link that is down is normal after a crash', crash, [replica(2, { master: link(false) })], 'h:2', 'only-one'],
  ] as const) {
    test(name, () => {
      expect(selectCandidate(group(gone, ...given), rules, options, NOW)).toMatchObject({ candidate, because })
    })
  }
  for (const [reason, rules, given] of [
    ['priority-zero', crash, replica(2, { priority: 0 })],
    ['unreachable', crash, replica(2, seen.dead)],
    ['unreachable', crash, replica(2, seen.reset)],
    ['not-a-replica', crash, master(2)],
    ['loading', crash, replica(2, { loading: true })],
    ['syncing', crash, replica(2, { master: link(false, { syncing: true }) })],
    ['never-synced', crash, replica(2, { replid: C, offset: 0 })],
    ['wrong-lineage', crash, replica(2, { replid: C })],
    ['wrong-lineage', crash, replica(2, { replid: B, offset: 500 })],
    ['no-fresh-facts', { ...crash, since: NOW - 5 }, replica(2)],
    ['unknown-node', { ...planned, to: 'h:9' }, replica(2)],
    ['link-down', planned, replica(2, { master: link(false) })],
    ['lagging', planned, replica(2, { offset: 899 })],
  ] as const) {
    test(`refused: ${reason}`, () => {
      const selection = selectCandidate(group(master(1), given), rules, options, NOW)
      expect(selection.candidate).toBeUndefined()
      expect(selection.refused.map(refusal => refusal.reason)).toEqual([reason])
    })
  }
})

test('a late replica is worth waiting for when it is known to have more', () => {
  const rules = { planned: false, lagBytesMax: Number.POSITIVE_INFINITY, since: NOW - 20 }
  for (const [offset, expected] of [
    [2000, ['h:3']],
    [900, []],
  ] as const) {
    const given = group(master(1, seen.dead), replica(2), replica(3, { offset, infoAt: NOW - 500 }))
    const selection = selectCandidate(given, rules, options, NOW)
    expect(selection.candidate).toBe('h:2')
    expect(worthWaitingFor(selection, given)).toEqual(expected)
  }
})

describe('kinship', () => {
  const lineage = { replid: A, replid2: B, secondOffset: 500 }
  for (const [expected, replid, replid2, offset] of [
    ['same', A, B, 900],
    ['same', A, undefined, 0],
    ['ancestor', B, undefined, 499],
    ['diverged', B, undefined, 500],
    ['descendant', C, A, 900],
    ['past', C, B, 900],
    ['past', 'p', undefined, 9],
    ['unsynced', C, undefined, 0],
    ['unsynced', undefined, undefined, 9],
    ['foreign', C, 'd', 9],
  ] as const) {
    test(`${expected} ${replid?.slice(0, 1)}/${replid2?.slice(0, 1)} ${offset}`, () => {
      expect(kinship({ replid, replid2, secondOffset: 1, offset }, lineage, ['p'])).toBe(expected)
    })
  }
  test('the past is kept without repetition, and bounded', () => {
    expect(addToPast(['p'], lineage, { replid: C, replid2: A, secondOffset: 900 })).toEqual([B, 'p'])
    const many = Array.from({ length: 40 }, (_, index) => `p${index}`)
    expect(addToPast(many, lineage, { replid: C, replid2: A, secondOffset: 900 })).toHaveLength(16)
  })
})

describe('adoption', () => {
  const first = (...instances: Group['instances']): Group => ({ ...emptyGroup('main'), instances })
  const adopt = { ...options, prefer: undefined, acting: true }
  const promoted = (port: number) => master(port, { replid: C, replid2: A, secondOffset: 1001 })
  for (const [name, given, change, expected] of [
    ['waits until everybody was heard', first(master(1), instance(2, seen.never)), {}, 'waiting'],
    ['the only one', first(master(1), replica(2)), {}, 'h:1 only-master'],
    ['a dead seed does not keep it waiting', first(master(1), instance(2, seen.dead)), {}, 'h:1 only-master'],
    ['two: the one with replicas', first(master(1, { replid: C }), master(2), replica(3)), {}, 'h:2 most-replicas'],
    ['two, nothing between them', first(master(1), master(2, { replid: C })), {}, 'several-masters'],
    ['two, one was the last known', first(master(1), master(2, { replid: C })), { prefer: 'h:2' }, 'h:2 preferred'],
    ['settled', group(master(1), replica(2)), {}, 'settled'],
    ['an impostor beside a living master', group(master(1), promoted(2)), {}, 'settled'],
    ['promoted elsewhere, the old one is dead', group(master(1, seen.dead), promoted(2)), {}, 'h:2 promoted-elsewhere'],
    ['promoted elsewhere, the old one follows', group(replica(1), promoted(2)), {}, 'h:2 promoted-elsewhere'],
    ['not while the old one is only suspect', group(master(1, seen.reset), promoted(2)), {}, 'settled'],
    ['two promoted at once', group(master(1, seen.dead), promoted(2), promoted(3)), {}, 'several-masters'],
    ['a stranger is not adopted', group(master(1, seen.dead), master(2, { replid: C })), {}, 'none'],
    [
      'restarted with its data',
      group(master(1, { runId: 'n', replid: C, replid2: A }), replica(2)),
      {},
      'h:1 restarted',
    ],
    [
      'restarted empty: the agent answers that',
      group(master(1, { runId: 'n', replid: C, offset: 0 }), replica(2)),
      {},
      'waiting',
    ],
    [
      'restarted empty, nobody acts',
      group(master(1, { runId: 'n', replid: C, offset: 0 }), replica(2)),
      { acting: false },
      'h:1 restarted',
    ],
    [
      'its first replica gave it a new history',
      group(master(1, { replid: C, replid2: undefined })),
      {},
      'h:1 new-history',
    ],
  ] as const) {
    test(name, () => {
      const { adopt: id, because } = chooseMaster(given, { ...adopt, ...change }, NOW)
      expect(id === undefined ? because : `${id} ${because}`).toBe(expected)
    })
  }
})

describe('repairs', () => {
  const repair = { ...options, graceMs: 1000, demoteRestartedSeeds: true }
  const on = (port: number, up: boolean, since = NOW - 2000) => link(up, { address: { host: 'h', port }, since })
  for (const [name, given, change, expected] of [
    ['nothing to do', group(master(1), replica(2)), {}, []],
    [
      'an old master came back',
      group(master(1), master(2, { replid: B, offset: 900 })),
      {},
      ['demote returned-master'],
    ],
    [
      'it restarted empty',
      group(master(1), master(2, { replid: C, offset: 0, keys: 0, seed: false })),
      {},
      ['demote empty-restart'],
    ],
    [
      'a seed restarted from its AOF',
      group(master(1), master(2, { replid: C, offset: 0 })),
      {},
      ['demote seed-restarted'],
    ],
    [
      'a seed that we knew restarted with another history',
      group(master(1), master(2, { replid: C }), master(3, { replid: C })),
      { demoteRestartedSeeds: false, members: new Set([master(2).id]) },
      ['demote seed-restarted'],
    ],
    ['the same, not allowed', group(master(1), master(2, { replid: C })), { demoteRestartedSeeds: false }, []],
    ['a stranger at an address that was ours', group(master(1), master(2, { replid: C, seed: false })), {}, []],
    ['a role that is younger than its history', group(master(1), master(2, { replid: B, roleSince: NOW - 5 })), {}, []],
    [
      'on the wrong master',
      group(master(1), master(2, { replid: C, replid2: A }), replica(3, { replid: C, master: on(2, true) })),
      {},
      ['demote returned-master', 'point wrong-master'],
    ],
    [
      'a group of its own, which our addresses reach',
      group(
        master(1),
        master(2, { replid: C, seed: false }),
        replica(3, { replid: C, seed: false, master: on(2, true) }),
      ),
      {},
      [],
    ],
    [
      'a group of its own, all named by an operator who does not let us empty any',
      group(master(1), master(2, { replid: C }), replica(3, { replid: C, master: on(2, true) })),
      { demoteRestartedSeeds: false },
      [],
    ],
    ['on its way', group(master(1), replica(2, { master: on(1, false) })), {}, []],
    [
      'a relay is left where it is',
      group(master(1), replica(2, { master: link(false, { address: { host: 'relay', port: 1 } }) })),
      {},
      [],
    ],
    ['chained behind a good replica', group(master(1), replica(2), replica(3, { master: on(2, false) })), {}, []],
    [
      'behind a dead old master',
      group(master(1), instance(2, seen.dead), replica(3, { master: on(2, false) })),
      {},
      ['point wrong-master'],
    ],
    ['only just', group(master(1), instance(2, seen.dead), replica(3, { master: on(2, false, NOW - 500) })), {}, []],
    ['our master is in doubt', group(master(1, seen.reset), master(2, { replid: B })), {}, []],
  ] as const) {
    test(name, () => {
      const wishes = planRepairs(given, { ...repair, ...change }, NOW)
      expect(wishes.map(wish => `${wish.do} ${wish.because}`)).toEqual(expected)
    })
  }
})

describe('view', () => {
  test('the same facts give the same object; a change gives the next epoch', () => {
    const given = group(master(1), replica(2), replica(3))
    const first = makeView(emptyView, [given], options, NOW)
    expect(first).toMatchObject({ epoch: 1, groups: [{ masterEpoch: 3, master: { id: 'h:1' } }] })
    const later = group(master(1, { offset: 5000 }), replica(2, { offset: 4000 }), replica(3))
    expect(makeView(first, [later], options, NOW)).toBe(first)
    const changed = makeView(first, [group(master(1), replica(2, seen.dead), replica(3))], options, NOW)
    expect(changed.epoch).toBe(2)
    expect(changed.groups[0]?.replicas.map(each => each.excluded)).toEqual(['down', undefined])
  })

  for (const [expected, facts] of [
    [undefined, replica(2)],
    ['down', replica(2, seen.silent)],
    ['drain', replica(2, { drained: true })],
    ['loading', replica(2, { loading: true })],
    ['link-down', replica(2, { master: link(false) })],
    ['link-down', replica(2, { master: link(true, { syncing: true }) })],
    ['foreign-history', replica(2, { replid: C })],
    ['foreign-history', master(2, { replid: C, replid2: A })],
    ['unknown-role', instance(2)],
  ] as const) {
    test(`a replica is ${expected ?? 'served'}`, () => {
      const view = makeView(emptyView, [group(master(1), facts)], options, NOW)
      expect(view.groups[0]?.replicas[0]?.excluded).toBe(expected)
    })
  }

  for (const [name, given] of [
    ['down', group(master(1, seen.dead), replica(2))],
    ['given up', { ...group(master(1), replica(2)), disowned: true }],
    ['demoted', group(replica(1), replica(2))],
    ['another process', group(master(1, { runId: 'new' }), replica(2))],
  ] as const) {
    test(`no master when it is ${name}`, () => {
      const [viewed] = makeView(emptyView, [given], options, NOW).groups
      expect(viewed?.master).toBeUndefined()
      expect(viewed?.replicas.map(each => each.id)).toEqual(['h:1', 'h:2'])
    })
  }

  test('suspicion alone takes no master away', () => {
    const [viewed] = makeView(emptyView, [group(master(1, seen.reset), replica(2))], options, NOW).groups
    expect(viewed?.master?.id).toBe('h:1')
  })

  test('a rumour is no member', () => {
    const rumour = instance(9, { ...seen.never, seed: false })
    const [viewed] = makeView(emptyView, [group(master(1), rumour)], options, NOW).groups
    expect(viewed?.replicas).toEqual([])
  })
})

test('a silent replica is worth waiting for when the one that was chosen lacks what its master had', () => {
  const rules = { planned: false, lagBytesMax: Number.POSITIVE_INFINITY, since: NOW - 20 }
  for (const [masterOffset, silent, expected] of [
    [5000, replica(3, { ...seen.silent, offset: 10 }), ['h:3']],
    [5000, replica(3, { ...seen.silent, offset: 10, replid: C }), []],
    [1, replica(3, { ...seen.silent, offset: 10 }), []],
  ] as const) {
    const given = group(master(1, { ...seen.dead, offset: masterOffset }), replica(2), silent)
    const selection = selectCandidate(given, rules, options, NOW)
    expect(selection.candidate).toBe('h:2')
    expect(worthWaitingFor(selection, given)).toEqual(expected)
  }
})
