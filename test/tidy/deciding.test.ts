/**
 * Deciding folders get bytes, facts and `now` as arguments: no socket, no timer, no clock, no chance, no file. What is
 * allowed to stay out of the rule is listed with its reason.
 */
import { describe, expect, test } from 'vitest'
import { importsOf, onlyCode, type SourceFile, sourceFiles } from '../support/source.js'

const deciding = ['resp', 'command', 'engine', 'persistence', 'replication', 'topology', 'routing', 'config', 'metrics']

const forbiddenModules = new Set([
  ...['child_process', 'cluster', 'dgram', 'dns', 'fs', 'fs/promises', 'http', 'https', 'http2', 'net', 'os'],
  ...['perf_hooks', 'process', 'readline', 'timers', 'timers/promises', 'tls', 'worker_threads'],
])

/** Of the repository: nothing that acts. */
const forbiddenPackages = new Set(['uWebSockets.js', 'ws', 'pino', 'commander'])

const forbiddenCode: readonly (readonly [what: string, pattern: RegExp])[] = [
  ['Date.now', /\bDate\.now\b/],
  ['new Date()', /\bnew Date\(\s*\)/],
  ['performance', /\bperformance\s*\./],
  ['process.hrtime', /\bprocess\.(hrtime|nextTick|env|uptime)\b/],
  ['a timer', /\b(setTimeout|setInterval|setImmediate|queueMicrotask)\s*\(/],
  ['Math.random', /\bMath\.random\b/],
  ['random bytes', /\b(randomBytes|randomUUID|randomInt|randomFillSync|getRandomValues)\b/],
  ['fetch', /(?<![.\w])fetch\s*\(/],
  ['the system clock', /\bsystemClock\b/],
  ['the console', /\bconsole\s*\./],
]

/** `path: what` → why it may. */
const allowed: Readonly<Record<string, string>> = {}

describe('deciding folders decide:', () => {
  for (const folder of deciding) {
    test(folder, () => {
      expect(
        sourceFiles(`src/${folder}`)
          .flatMap(actsOf)
          .filter(act => !(act in allowed)),
      ).toEqual([])
    })
  }
})

test('every exception is still needed', () => {
  const acts = deciding.flatMap(folder => sourceFiles(`src/${folder}`)).flatMap(actsOf)
  expect(Object.keys(allowed).filter(act => !acts.includes(act))).toEqual([])
})

test('an act would be found', () => {
  const acts = (text: string) => actsOf({ path: 'x.ts', text })
  expect(acts("import { connect } from 'node:net'")).toEqual(['x.ts: net'])
  expect(acts("import fs from 'fs'")).toEqual(['x.ts: fs'])
  expect(acts('const now = Date.now()')).toEqual(['x.ts: Date.now'])
  expect(acts('new Date()')).toEqual(['x.ts: new Date()'])
  expect(acts('const key = Math.random() + setTimeout(f, 1)')).toEqual(['x.ts: a timer', 'x.ts: Math.random'])
  expect(acts("// Date.now()\nconst help = 'setTimeout(…)'; new Date(now); clock.fetch(1)")).toEqual([])
})

function actsOf({ path, text }: SourceFile): readonly string[] {
  const modules = importsOf(text).map(specifier => specifier.replace(/^node:/, ''))
  const imported = modules.filter(name => forbiddenModules.has(name) || forbiddenPackages.has(name))
  const code = onlyCode(text)
  const done = forbiddenCode.filter(([, pattern]) => pattern.test(code)).map(([what]) => what)
  return [...imported, ...done].map(what => `${path}: ${what}`)
}
