/**
 * A client that went while CLIENT TRACKING OFF (or ON) was on its way returned the same request twice. Two commands of others then
 * shared it: answers were mixed up, or never came.
 */
import { expect, test } from 'vitest'
import { inFrontOfFake, openClient } from '../support/in-front.js'
import { until } from '../support/redis-group.js'

for (const word of ['ON', 'OFF']) {
  test(`a client that goes while CLIENT TRACKING ${word} is not answered takes nothing from others`, async () => {
    let asked = 0
    const { proxy } = await inFrontOfFake(args => {
      if (args[1] === 'TRACKING' && args[2] === word) {
        asked++
        return ''
      }
      return args[0] === 'GET' ? `$1\r\n${args[1]}\r\n` : undefined
    })
    const [going, staying] = [await openClient(proxy), await openClient(proxy)]
    await going.call('HELLO', '3')
    if (word === 'OFF') expect(await going.call('CLIENT', 'TRACKING', 'ON')).toBe('OK')
    going.send(['CLIENT', 'TRACKING', word])
    await until('the instance is asked', () => asked > 0)
    going.close()
    await until('it is gone', () => proxy.worker.sessions.size === 1)
    for (let round = 0; round < 3; round++) {
      expect(await staying.pipeline(['GET', 'a'], ['GET', 'b'], ['GET', 'c'], ['GET', 'd'])).toEqual([
        'a',
        'b',
        'c',
        'd',
      ])
    }
  })
}
