/**
 * Reads whose replica was lost go to the master. Where a script kept its connection, each was to have one of its own, one after
 * the other; but a session remembered only the last of those that waited, and never answered the others, nor anything after.
 */
import { expect } from 'vitest'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.test('reads that are sent again behind a script are all answered, and so is what comes after', async () => {
  const { proxy, master, replica } = await inFrontOfLinks(redis.path, {})
  await master.call('CONFIG', 'SET', 'busy-reply-threshold', '50')
  const [scripting, reading] = [await openClient(proxy), await openClient(proxy)]
  await reading.call('LAGRANGE', 'CONSISTENCY', 'eventual')
  await until('the replica serves', async () => {
    await reading.call('GET', 'a')
    return String(await reading.call('LAGRANGE', 'WHY')).includes(replica.id)
  })
  replica.signal('SIGSTOP')
  reading.send(['GET', 'a'], ['GET', 'b'], ['GET', 'c'], ['GET', 'd'], ['ECHO', 'end'])
  await until('the replica is asked', () => proxy.worker.group?.replicas[0]?.pending === 4)
  scripting.send(['EVAL', 'while true do end', '0'])
  const replies = [await reading.next(), await reading.next(), await reading.next(), await reading.next()]
  for (const reply of replies) expect(reply).toMatchObject({ type: 'error', value: expect.stringMatching(/^BUSY/) })
  expect(await reading.next()).toMatchObject({ value: 'end' })
  expect(await master.call('SCRIPT', 'KILL')).toMatchObject({ value: 'OK' })
  // It looks at whether it is to end only now and then.
  await until('the script is over', () =>
    master.call('PING').then(
      () => true,
      () => false,
    ),
  )
  expect(await reading.pipeline(['SET', 'a', '1'], ['GET', 'a'])).toEqual(['OK', '1'])
  replica.signal('SIGCONT')
})
