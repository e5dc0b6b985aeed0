import { expect, test } from 'vitest'
import { EventBus } from '../../../src/base/bus.js'
import { type LogOptions, logEvents } from '../../../src/cli/log.js'

function logged(options: LogOptions, isTTY: boolean, say: (bus: EventBus) => void): readonly string[] {
  const lines: string[] = []
  const bus = new EventBus(() => 1_700_000_000_123)
  logEvents(bus, { isTTY, write: line => void lines.push(line) }, options)
  say(bus)
  return lines
}

test('JSON: one object per event, with the time it happened', () => {
  const lines = logged({ level: 'info', format: 'auto' }, false, bus =>
    bus.event('warn', '+sdown', { node: 'a:1', ms: 3.5, why: undefined }),
  )
  expect(lines).toEqual(['{"level":"warn","time":"2023-11-14T22:13:20.123Z","event":"+sdown","node":"a:1","ms":3.5}\n'])
})

test('fields cannot take the place of ours', () => {
  const [line = ''] = logged({ level: 'info', format: 'json' }, true, bus =>
    bus.event('info', '+x', { level: 'l', event: 'e' }),
  )
  expect(JSON.parse(line)).toEqual({ level: 'info', time: expect.any(String), event: '+x', level_: 'l', event_: 'e' })
})

test('pretty: a short line, coloured on a terminal', () => {
  const say = (bus: EventBus) => bus.event('info', '+switch-master', { to: 'b:2', stallMs: 1.23456, quiet: null })
  expect(logged({ level: 'info', format: 'pretty' }, false, say)).toEqual([
    '22:13:20.123 info  +switch-master to=b:2 stallMs=1.235\n',
  ])
  expect(logged({ level: 'info', format: 'auto' }, true, say)[0]).toContain('\u001b[32minfo \u001b[39m +switch-master')
})

test('pretty: a field never makes a second line or reaches the terminal', () => {
  const say = (bus: EventBus) => bus.event('info', '+x', { a: 'two words', b: 'line\nend', c: '\u001b[2J\u009b' })
  expect(logged({ level: 'info', format: 'pretty' }, false, say)).toEqual([
    '22:13:20.123 info  +x a="two words" b="line\\nend" c="\\u001b[2J\\u009b"\n',
  ])
})

test('the level holds for both formats and can be changed', () => {
  for (const format of ['json', 'pretty'] as const) {
    const lines: string[] = []
    const bus = new EventBus(() => 0)
    const log = logEvents(bus, { isTTY: false, write: line => void lines.push(line) }, { level: 'warn', format })
    bus.event('info', '+quiet')
    bus.event('error', '+loud')
    log.setLevel('debug')
    bus.event('debug', '+now')
    log.setLevel('silent')
    bus.event('error', '+never')
    log.stop()
    expect(lines.map(line => /\+\w+/.exec(line)?.[0])).toEqual(['+loud', '+now'])
  }
})
