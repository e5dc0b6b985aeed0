/**
 * A master that is busy with a script refuses SELECT. A command behind it, on a connection of its own, that was read a moment
 * later was executed in a database that its client had not selected; the client heard that nobody knows what became of it.
 */
import { expect, test } from 'vitest'
import { inFrontOfFake, openClient } from '../support/in-front.js'
import { until } from '../support/redis-group.js'

const BUSY = '-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n'

test('a command of its own is not sent before its database is selected', async () => {
  const heard: string[] = []
  let [scripting, busy] = [false, true]
  const { proxy } = await inFrontOfFake(args => {
    scripting ||= args[0] === 'EVAL'
    // Neither the script nor what stands behind it is answered while it runs.
    if (scripting && busy && (args[0] === 'EVAL' || args[0] === 'ROLE')) return ''
    if (args[0] === 'SELECT') return busy ? BUSY : '+OK\r\n'
    if (args[0] !== 'BLPOP') return undefined
    heard.push(args.join(' '))
    return '*2\r\n$4\r\nlist\r\n$1\r\nx\r\n'
  })
  const [other, client] = [await openClient(proxy), await openClient(proxy)]
  // There is a connection that may be lent, with another database selected.
  expect(await client.call('BLPOP', 'first', '1')).toEqual(['list', 'x'])
  other.send(['EVAL', 'while true do end', '0'])
  await until('the script keeps it', async () => proxy.worker.group?.master?.isBusy(performance.now()) === true)
  expect(await client.call('SELECT', '3')).toBe('OK')
  expect(await client.call('BLPOP', 'list', '1')).toMatch(/^.*BUSY Redis is busy/)
  expect(heard).toEqual(['BLPOP first 1'])
  busy = false
  expect(await client.call('BLPOP', 'list', '1')).toEqual(['list', 'x'])
  expect(heard).toEqual(['BLPOP first 1', 'BLPOP list 1'])
})
