/**
 * BITFIELD … OVERFLOW SAT SET of a number next to -2⁶³ stored the least number that fits; redis-server stores the greatest, as
 * its subtraction overflows. The command is replicated as it came: master and replica of different kinds parted there.
 * Found by SEED=2004 FROM=142000 of the differential test.
 */
import { expect } from 'vitest'
import { requireReal } from '../support/real.js'
import { startNode, startRedisServer } from '../support/servers.js'

const redis = requireReal('redis-server')

redis.test('what saturates where is what redis-server says', async () => {
  const [ours, theirs] = [await startNode(), await startRedisServer(redis.path)]
  const least = -(2n ** 63n)
  const numbers = [least, least + 7n, least + 8n, least + 2n ** 32n, -(2n ** 40n), -17n, 15n, 16n, 2n ** 63n - 1n].map(
    String,
  )
  for (const type of ['i1', 'i4', 'i5', 'i33', 'i63', 'i64', 'u1', 'u5', 'u63']) {
    for (const number of numbers) {
      const command = ['BITFIELD', 'k', 'OVERFLOW', 'SAT', 'SET', type, '0', number, 'GET', type, '0']
      expect([type, number, await ours.call(...command)]).toEqual([type, number, await theirs.call(...command)])
    }
  }
})
