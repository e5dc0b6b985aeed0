import { expect, test } from 'vitest'
import { readLatin1, readName, writeLatin1 } from '../../../src/base/latin1.js'

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

test('names that come again are the same text, whatever came between', () => {
  const bytes = Buffer.from('GETgetSETSTRLENaaSTRLENbbgetA_LONG_NAME_OF_A_COMMAND', 'latin1')
  const cuts = [0, 3, 6, 9, 15, 17, 23, 25, 28, 52] as const
  for (let round = 0; round < 2; round++) {
    for (const [index, start] of cuts.slice(0, -1).entries()) {
      const end = cuts[index + 1] as number
      expect(readName(bytes, start, end)).toBe(bytes.toString('latin1', start, end))
    }
  }
  for (let length = 0; length <= 20; length++) {
    for (let start = 0; start < 200; start += 7) {
      expect(readName(everyByte, start, start + length)).toBe(everyByte.toString('latin1', start, start + length))
    }
  }
})
