/**
 * MIGRATE … AUTH password stood in the slow log and before everybody's eyes in MONITOR.
 */
import { expect, test } from 'vitest'
import { resolveCommand } from '../../src/command/table.js'
import { redact } from '../../src/node/redact.js'

for (const [call, shown] of [
  ['MIGRATE h 1 k 0 10 AUTH secret', 'MIGRATE h 1 k 0 10 AUTH (redacted)'],
  ['MIGRATE h 1 k 0 10 COPY AUTH2 user secret KEYS', 'MIGRATE h 1 k 0 10 COPY AUTH2 (redacted) (redacted) KEYS'],
  ['MIGRATE h 1 k 0 10 COPY', 'MIGRATE h 1 k 0 10 COPY'],
  ['AUTH secret', 'AUTH (redacted)'],
  ['AUTH user secret', 'AUTH (redacted) (redacted)'],
  ['HELLO 3 AUTH user secret', 'HELLO 3 AUTH (redacted) (redacted)'],
  ['ACL SETUSER u >secret', 'ACL SETUSER (redacted) (redacted)'],
  ['CONFIG SET maxmemory 1 masterauth secret', 'CONFIG SET maxmemory 1 masterauth (redacted)'],
  ['CONFIG SET requirepass secret', 'CONFIG SET requirepass (redacted)'],
  ['CONFIG SET tls-key-file-pass secret', 'CONFIG SET tls-key-file-pass (redacted)'],
  ['SET requirepass x', 'SET requirepass x'],
] as const)
  test(call, () => {
    const args = call.split(' ')
    const spec = resolveCommand(args)
    expect(spec === undefined ? undefined : redact(spec, args).join(' ')).toBe(shown)
  })
