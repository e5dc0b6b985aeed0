/**
 * A score that lies exactly between two texts of seventeen digits was rounded up; C, and so redis-server, takes the even
 * one. Replies differed in the last digit, and DEBUG DIGEST of equal data.
 */
import { expect, test } from 'vitest'
import { formatDouble } from '../../src/resp/encoder.js'

for (const [value, printed] of [
  [10 + 2 ** -16, '10.000015258789062'],
  [10 + 3 * 2 ** -16, '10.000045776367188'],
  [-(10 + 2 ** -16), '-10.000015258789062'],
  [0.1, '0.10000000000000001'],
  [0.00012345, '0.00012344999999999999'],
  [1.5e-7, '1.4999999999999999e-07'],
  [1e22, '1e+22'],
  [123456.75, '123456.75'],
] as const) {
  test(`${value} is ${printed}`, () => expect(formatDouble(value)).toBe(printed))
}
