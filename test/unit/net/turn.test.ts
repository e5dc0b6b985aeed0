import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type Flushable, Turn } from '../../../src/net/turn.js'

function world(): { turn: Turn; said: string[]; add(name: string, kind: 'early' | 'late' | 'patient'): void } {
  const turn = new Turn()
  const said: string[] = []
  const add = (name: string, kind: 'early' | 'late' | 'patient'): void => {
    const flushable: Flushable = {
      early: kind === 'early',
      patient: kind === 'patient',
      flush: () => said.push(name),
    }
    turn.add(flushable)
  }
  return { turn, said, add }
}

test('at the end of a turn replicas come first, then clients', async () => {
  const { said, add } = world()
  add('client', 'late')
  add('replica', 'early')
  expect(said).toEqual([])
  await nextTurn()
  expect(said).toEqual(['replica', 'client'])
})

test('who is patient goes at once when nobody was sent anything', async () => {
  const { said, add } = world()
  add('instance', 'patient')
  add('replica', 'early')
  await nextTurn()
  expect(said).toEqual(['replica', 'instance'])
})

test('behind replies the patient wait for one look at the sockets, and not for another', async () => {
  const { said, add } = world()
  add('instance', 'patient')
  add('client', 'late')
  await nextTurn()
  expect(said).toEqual(['client'])
  // What the look has brought: more for an instance, more replies.
  add('another instance', 'patient')
  add('another client', 'late')
  await nextTurn()
  expect(said).toEqual(['client', 'instance', 'another instance', 'another client'])
  add('instance', 'patient')
  await nextTurn()
  expect(said.at(-1)).toBe('instance')
})

test('who is added while others are flushed has its turn, too', async () => {
  const { turn, said, add } = world()
  turn.add({ early: false, flush: () => add('instance', 'patient') })
  await nextTurn()
  await nextTurn()
  expect(said).toEqual(['instance'])
})
