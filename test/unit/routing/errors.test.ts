import { expect, test } from 'vitest'
import { errorCode, meaningOf } from '../../../src/routing/errors.js'

for (const [text, meaning] of [
  ["READONLY You can't write against a read only replica.", 'not-master'],
  ['LOADING Redis is loading the dataset in memory', 'not-serving'],
  ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", 'not-serving'],
  ['UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)', 'unblocked'],
  ['UNBLOCKED client unblocked via CLIENT UNBLOCK', 'answer'],
  ['NOSCRIPT No matching script. Please use EVAL.', 'no-script'],
  ["EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.", 'not-master'],
  ['EXECABORT Transaction discarded because of previous errors.', 'answer'],
  ['READONLY said by a script of mine', 'answer'],
  ['NOREPLICAS Not enough good replicas to write.', 'answer'],
  ['MISCONF Redis is configured to save RDB snapshots', 'answer'],
  ['OOM command not allowed', 'answer'],
  ['BUSY Redis is busy running a script', 'answer'],
  ['WRONGTYPE Operation against a key holding the wrong kind of value', 'answer'],
] as const) {
  test(`${text.slice(0, 60)} means ${meaning}`, () => expect(meaningOf(text)).toBe(meaning))
}

test('codes of scripts do not become labels', () => {
  expect(errorCode('WRONGTYPE Operation')).toBe('WRONGTYPE')
  expect(errorCode('MYAPP:12345 no such thing')).toBe('other')
  expect(errorCode('ERR')).toBe('ERR')
})
