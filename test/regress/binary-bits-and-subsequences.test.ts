/**
 * BITOP and LCS of values with zeros and high bytes, of texts and of values changed in place, beside redis-server: replies,
 * order of the matches and what is stored.
 */
import { expect, onTestFinished } from 'vitest'
import { type Frame, itemsOf } from '../../src/resp/protocol.js'
import { EngineDouble, seededRandom } from '../support/engine-double.js'
import { requireReal } from '../support/real.js'
import { startRedis } from '../support/redis-process.js'

const redis = requireReal('redis-server')

redis.test('BITOP and LCS of binary values are those of redis-server', async () => {
  const server = await startRedis()
  onTestFinished(() => server.stop())
  const ours = new EngineDouble()
  const random = seededRandom(41)
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
  const keys = ['bin\0\xff', 'b', 'c']
  const text = () =>
    Array.from({ length: Math.floor(random() * 40) }, () => pick(['\0', '\xff', '\x80', 'a', 'b'])).join('')
  const make = (): string[] => {
    const [key, other] = [pick(keys), pick(keys)]
    return pick([
      ['SET', key, pick(['bin\0\xff', text()])],
      ['SETBIT', key, String(Math.floor(random() * 200)), pick(['0', '1'])],
      ['APPEND', key, text()],
      ['BITOP', 'NOT', key, other],
      ['BITOP', pick(['AND', 'OR', 'XOR']), key, other, pick(keys)],
      ['GET', key],
      ['LCS', key, other],
      ['LCS', key, other, 'LEN'],
      ['LCS', key, other, 'IDX', 'MINMATCHLEN', pick(['0', '2', '4']), 'WITHMATCHLEN'],
    ])
  }
  const commands = Array.from({ length: 6000 }, make)
  const expected = await server.call(commands)
  for (const [index, command] of commands.entries())
    expect(show(ours.run(...command) as Frame), JSON.stringify(command)).toEqual(show(expected[index] as Frame))
})

function show(frame: Frame): unknown {
  if ('items' in frame) return itemsOf(frame).map(show)
  return 'value' in frame ? String(frame.value) : frame.type
}
