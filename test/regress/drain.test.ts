/** A peer whose last bytes wait in a stream below its mark said nothing when they had left: who waited, waited for ever. */
import { Duplex } from 'node:stream'
import { expect, test } from 'vitest'
import { plain } from '../../src/net/peer.js'

test('a peer tells that everything has left, however little it was', async () => {
  const taken: (() => void)[] = []
  const socket = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, done) => void taken.push(done),
  })
  let drained = 0
  const peer = plain(socket, { onData: () => undefined, onClose: () => undefined, onDrain: () => void drained++ })
  peer.out.simple('a few bytes')
  peer.flush()
  peer.out.simple('and a few more')
  peer.flush()
  expect(peer.queuedBytes).toBeGreaterThan(0)
  taken.shift()?.()
  await new Promise(setImmediate)
  expect(drained).toBe(0)
  taken.shift()?.()
  await new Promise(setImmediate)
  expect(peer.queuedBytes).toBe(0)
  expect(drained).toBe(1)
})
