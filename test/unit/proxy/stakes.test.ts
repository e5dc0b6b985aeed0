/** What a switch would meet, of all workers. */
import { expect, test } from 'vitest'
import { type Stakes, sumOfStakes } from '../../../src/proxy/stakes.js'

const one: Stakes = {
  transactions: 1,
  watching: 2,
  subscribed: 3,
  blocked: 4,
  monitoring: 5,
  writesInFlight: 6,
  held: 7,
  keys: 8,
  ofEverybody: false,
}

for (const [name, all, keys] of [
  ['each knows its own keys', [one, { ...one, keys: 3 }], 11],
  ["each knows everybody's", [one, { ...one, keys: 3 }].map(stakes => ({ ...stakes, ofEverybody: true })), 8],
  ['one cannot tell', [one, { ...one, keys: null }], null],
  ['nobody was asked', [], null],
] as const) {
  test(`keys: ${name}`, () => expect(sumOfStakes(all).keys).toBe(keys))
}

test('clients are added up', () => {
  expect(sumOfStakes([one, one])).toMatchObject({
    transactions: 2,
    watching: 4,
    subscribed: 6,
    blocked: 8,
    monitoring: 10,
    writesInFlight: 12,
    held: 14,
  })
})
