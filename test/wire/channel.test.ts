import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Channel, connectToSupervisor, listenForWorkers } from '../../src/proxy/supervision/channel.js'

/** A supervisor and one worker's end, whose handlers are `answer` and `closed`. */
async function startPair(
  answer: (kind: string, body: unknown) => unknown,
): Promise<{ near: Channel; far: Channel; path: string; closed: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'lagrange-channel-'))
  const path = join(folder, 's')
  const closed: string[] = []
  let far: (() => Channel) | undefined
  const server = await listenForWorkers(path, channel => {
    far = channel
    return { onMessage: answer, onClose: reason => closed.push(reason) }
  })
  const near = await new Promise<Channel>(resolve => {
    const channel = connectToSupervisor(path, {
      onOpen: () => resolve(channel),
      onMessage: answer,
      onClose: () => undefined,
    })
  })
  onTestFinished(async () => {
    near.close('test over')
    await server.close()
    rmSync(folder, { recursive: true })
  })
  await near.ask('warm-up', undefined, 1000)
  return { near, far: (far as () => Channel)(), path, closed }
}

test('questions are answered in both directions, also late and out of order', async () => {
  const { near, far } = await startPair((kind, body) =>
    kind === 'slow' ? new Promise(resolve => setTimeout(() => resolve(`slow ${body}`), 30)) : body,
  )
  const text = 'naïve — ☃'
  const answers = await Promise.all([
    near.ask('slow', 1, 1000),
    near.ask('echo', { text }, 1000),
    far.ask('echo', [1, 2], 1000),
  ])
  expect(answers).toEqual(['slow 1', { text }, [1, 2]])
})

test('the socket is for its owner only', async () => {
  const { path } = await startPair(() => undefined)
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('a question without an answer ends at its deadline; a closed channel ends all of them', async () => {
  const { near, far, closed } = await startPair(kind => (kind === 'never' ? new Promise(() => undefined) : undefined))
  await expect(near.ask('never', undefined, 20)).rejects.toThrow('no answer to never')
  const waiting = near.ask('never', undefined, 10_000)
  far.close('gone')
  await expect(waiting).rejects.toThrow('channel closed')
  await expect(near.ask('echo', 1, 1000)).rejects.toThrow('channel closed')
  expect(closed).toEqual(['gone'])
})

test('a handler that fails closes the channel instead of leaving the other end waiting', async () => {
  const { near } = await startPair(kind => (kind === 'fail' ? Promise.reject(new Error('no')) : undefined))
  await expect(near.ask('fail', undefined, 5000)).rejects.toThrow('channel closed')
})
