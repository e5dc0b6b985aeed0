/**
 * A master was told, while it was stopped, to follow a member that has come back empty meanwhile. When it went on, it did:
 * nobody had anything of the old history any more, and the empty one, whom all followed, was a stranger for ever.
 */
import { expect, test } from 'vitest'
import { chooseMaster } from '../../src/topology/adopt.js'
import { C, group, link, master, NOW, options, replica } from '../unit/topology/fixtures.js'

const rules = { ...options, prefer: undefined, acting: true }
const following = { replid: C, master: link(true, { address: { host: 'h', port: 2 } }) }

test('whom everybody follows is the master, when nothing of our history is left', () => {
  const facts = group(replica(1, following), master(2, { replid: C, offset: 7 }), replica(3, following))
  expect(chooseMaster(facts, rules, NOW)).toEqual({ adopt: 'h:2', because: 'follows-it' })
})

test('a stranger is not, as long as anybody has what we had, nor one that nobody named', () => {
  const stranger = master(2, { replid: C, offset: 7 })
  expect(chooseMaster(group(replica(1, following), stranger, replica(3)), rules, NOW).adopt).toBeUndefined()
  const found = { ...stranger, seed: false }
  expect(chooseMaster(group(replica(1, following), found, replica(3, following)), rules, NOW).adopt).toBeUndefined()
})
