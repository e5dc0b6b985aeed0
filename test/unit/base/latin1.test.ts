import { expect, test } from 'vitest'
import { readLatin1, writeLatin1 } from '../../../src/base/latin1.js'

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

test('text of every length, short or long, is the same as by the engine', () => {
  for (let length = 0; length <= 40; length++) {
    for (const start of [0, 1, 100, 256 - length]) {
      const text = readLatin1(everyByte, start, start + length)
      expect(text).toBe(everyByte.toString('latin1', start, start + length))
      const out = Buffer.alloc(64, 0x2e)
      expect(writeLatin1(out, text, 5)).toBe(length)
      expect(out.toString('latin1')).toBe(`.....${text}`.padEnd(64, '.'))
    }
  }
})
