/** `lagrange status | head -1` ended with a stack trace of Node: whoever read had closed the pipe. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { main } from '../support/lagrange.js'

test('a reader that has had enough is no error', async () => {
  // Two programs and a pipe, as a shell makes them: whoever reads leaves before anything was written.
  const child = spawn(
    'sh',
    ['-c', `{ sleep 1; "$0" "$1" completion bash; echo "code $?" >&2; } | true`, process.execPath, main],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  let said = ''
  child.stderr.on('data', chunk => (said += chunk))
  await once(child, 'close')
  expect(said).toBe('code 0\n')
})
