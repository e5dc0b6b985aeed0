import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Freshness } from '../../../src/observer/freshness.js'
import type { FreshnessUpdate } from '../../../src/topology/view.js'
import { VirtualClock } from '../../support/sim-group.js'

function world() {
  const clock = new VirtualClock()
  const start = clock.now()
  const at = (): number => clock.now() - start
  const said: string[] = []
  const calm = { value: true }
  let reads = true
  const freshness = new Freshness(clock, {
    update: moved => ({ samples: [...moved].map(id => ({ id, replid: 'r', offset: 1, runId: undefined })), lagMs: [] }),
    isCalm: () => calm.value,
    pause: () => {
      reads = false
      return said.push(`pause ${at()}`) > 0
    },
    resume: () => {
      if (!reads) said.push(`resume ${at()}`)
      reads = true
    },
    nap: () => said.push(`nap ${at()}`),
  })
  const tell = ({ samples }: FreshnessUpdate): number => said.push(`${samples.map(({ id }) => id).join('+')} ${at()}`)
  freshness.listen(tell)
  /** A tap moves every half millisecond, as busy ones do. */
  const stream = async (ms: number): Promise<void> => {
    for (let half = 0; half < ms * 2; half++) {
      if (reads) freshness.noteTap('a')
      // The nap comes behind what listeners send at the end of the next turn.
      for (let turn = 0; turn < 2; turn++) await nextTurn()
      await clock.run(clock.now() + 0.5)
    }
  }
  return { clock, freshness, said, calm, stream }
}

test('quick: the first of a stream is told at once, the rest once in a millisecond, and in between it naps', async () => {
  const { said, stream } = world()
  await stream(3)
  expect(said).toEqual(['a 0', 'nap 0', 'a 1', 'nap 1', 'a 2', 'nap 2', 'a 3'])
})

test('calm: once in five milliseconds, and taps are not read in between', async () => {
  const { freshness, said, stream } = world()
  freshness.pace = 'calm'
  await stream(11)
  expect(said).toEqual(['a 0', 'pause 0', 'resume 5', 'a 5', 'pause 5', 'resume 10', 'a 10', 'pause 10'])
})

test('calm: what is heard of others meanwhile is told with what the taps bring, and keeps nobody from reading them', async () => {
  const { clock, freshness, said, stream } = world()
  freshness.pace = 'calm'
  await stream(1)
  for (let round = 0; round < 3; round++) {
    freshness.note('master')
    await stream(5)
  }
  expect(said.filter(line => line.startsWith('a') || line.startsWith('master'))).toEqual([
    'a 0',
    'master+a 5',
    'master+a 10',
    'master+a 15',
  ])
  // The taps have fallen silent.
  said.length = 0
  await clock.run(clock.now() + 20)
  freshness.note('master')
  await clock.run(clock.now() + 20)
  expect(said).toEqual(['resume 20', 'master 41', 'pause 41', 'resume 46'])
})

test('who becomes quick does not wait for the end of the gap', async () => {
  const { freshness, said, stream } = world()
  freshness.pace = 'calm'
  await stream(2)
  said.length = 0
  freshness.pace = 'quick'
  // Nothing has been read meanwhile; what waits is, at once.
  expect(said).toEqual(['resume 2'])
  await stream(1)
  expect(said).toEqual(['resume 2', 'a 2', 'nap 2', 'a 3'])
})

test('in trouble, and during a switch, it is quick whatever the workers ask for, and awake', async () => {
  const { calm, freshness, said, stream } = world()
  calm.value = false
  freshness.pace = 'calm'
  await stream(3)
  expect(said).toEqual(['a 0', 'a 1', 'a 2', 'a 3'])
})

test('nothing is told, and nothing is read again, once it is closed', async () => {
  const { clock, freshness, said, stream } = world()
  freshness.pace = 'calm'
  await stream(1)
  said.length = 0
  freshness.close()
  freshness.note('b')
  freshness.noteTap('b')
  await nextTurn()
  await clock.run(clock.now() + 20)
  expect(said).toEqual([])
})
