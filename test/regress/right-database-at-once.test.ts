/**
 * Of the idle connections the one that was given back last was lent, whatever database it had selected; a command that waits
 * was then sent a SELECT later than it came, and another client's write could overtake it.
 */
import { expect, test } from 'vitest'
import { inFrontOfFake, openClient } from '../support/in-front.js'

test('a connection of its own is one that has its database selected, where there is such a one', async () => {
  const selects: string[] = []
  const { proxy } = await inFrontOfFake(args => {
    if (args[0] === 'SELECT') {
      selects.push(args[1] as string)
      return '+OK\r\n'
    }
    return args[0] === 'BLPOP' ? '*2\r\n$4\r\nlist\r\n$1\r\nx\r\n' : undefined
  })
  const [first, second] = [await openClient(proxy), await openClient(proxy)]
  await first.call('SELECT', '3')
  await second.call('SELECT', '4')
  // Both are lent one at the same time, and give it back.
  await Promise.all([first.call('BLPOP', 'list', '1'), second.call('BLPOP', 'list', '1')])
  expect(selects.toSorted()).toEqual(['3', '4'])
  for (const client of [first, second, first, second])
    expect(await client.call('BLPOP', 'list', '1')).toEqual(['list', 'x'])
  expect(selects).toHaveLength(2)
})
