/**
 * The time for a replay is over in the middle of a portion: what had been sent already was heard by nobody when the connection
 * was closed, and an unheard rejection ends the process.
 */
import { expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.js'
import type { Line } from '../../src/observer/line.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import type { Orders } from '../../src/sentinel/orders.js'
import { replayFromWitness } from '../../src/sentinel/replay.js'
import type { Witness } from '../../src/sentinel/witness.js'

test('says so, and nothing else happens', async () => {
  let looks = 0
  const clock = { ...systemClock, now: () => (looks++ < 4 ? 0 : 1000) }
  const pending: ((error: Error) => void)[] = []
  const line: Line = {
    closed: false,
    send: () => new Promise((_, reject) => pending.push(reject)),
    close: () => {
      for (const reject of pending) reject(new Error('closed'))
    },
  }
  const writes = ['a', 'b', 'c', 'd', 'e', 'f'].map(key => encodeCommand(['SET', key, '1']))
  const witness = { read: () => writes, databaseAt: () => 0 } as unknown as Witness
  const orders = { connect: () => line } as unknown as Orders
  const lineage = { replid: 'new', replid2: 'old', secondOffset: 1 }
  // All in one piece, so that they are one portion.
  writes.splice(0, writes.length, Buffer.concat(writes))
  const outcome = await replayFromWitness(clock, orders, witness, 'h:1', lineage, 100)
  expect(outcome).toEqual({ applied: 0, failed: 0, because: 'timeout' })
  expect(pending.length).toBeGreaterThan(0)
  await new Promise(setImmediate)
})
