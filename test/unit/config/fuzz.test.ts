/** Whatever a file, a variable or a flag holds: a configuration or a list of mistakes, never an exception. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { printConfig } from '../../../src/config/describe.js'
import { loadConfig } from '../../../src/config/load.js'
import { listOptions } from '../../../src/config/option.js'
import { proxySchema } from '../../../src/config/schema.js'

const options = listOptions(proxySchema.options)
const names = [...new Set(options.flatMap(({ path }) => path.split('.'))), '__proto__', 'constructor', 'x']

/** Documents that look like ours and are wrong somewhere. */
const value = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>('on', '64mb', 'a:1', ['a:1', { address: 'b:2' }], 'auto', 7),
)
const tree = fc.dictionary(
  fc.constantFrom(...names),
  fc.oneof(value, fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 4 })),
  { maxKeys: 6 },
)

const hostile = fc.constantFrom(
  '&a [*a]',
  '<<: {workers: 2}',
  'workers: !!binary aGVsbG8=',
  '? [a, b]\n: 1',
  '? {a: 1}\n: 2',
  '---\na: 1\n---\nb: 2',
  'workers: *nowhere',
  'hold: &h {bytes: 1}\nconsistency: *h',
  '%YAML 9.9\n---\na: 1',
  '\u0000',
  '- - - -',
  'upstreams: [[["a:1"]]]',
  'workers: !custom 2',
  'constructor: {prototype: {x: 1}}',
  '__proto__: {workers: 3}',
)

function load(yaml: string, env: Record<string, string> = {}, flags: Record<string, string> = {}) {
  const readSecret = () => {
    throw new Error('no such file')
  }
  return loadConfig(proxySchema, { file: 'f.yaml', readFile: () => yaml, readSecret, env, flags })
}

test('any document', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        tree.map(document => stringify(document)),
        hostile,
        fc.string(),
      ),
      yaml => {
        const loaded = load(yaml)
        if ('errors' in loaded) {
          expect(loaded.errors.length).toBeGreaterThan(0)
          for (const error of loaded.errors) expect(error).toMatch(/^[^\n]+: [^\n]+/)
        } else {
          // What was accepted can be printed and read again.
          const again = load(printConfig(proxySchema, loaded.config).replaceAll('"[masked]"', '""'))
          expect('errors' in again ? again.errors : []).toEqual([])
        }
        expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('workers')
      },
    ),
    { numRuns: 300 },
  )
})

test('any variable and any flag', () => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom('', ',', '-1', '1e9', '0x10', '999999999999999999', 'NaN', '[::]:1'),
  )
  fc.assert(
    fc.property(fc.constantFrom(...options), text, (option, given) => {
      const env = option.env === undefined ? {} : { [option.env]: given }
      const flags = option.flag === undefined ? {} : { [option.flag]: given }
      for (const loaded of [load('', env), load('', {}, flags)]) {
        if ('errors' in loaded) expect(loaded.errors[0]).toMatch(/^[^\n]+: [^\n]+$/)
      }
    }),
    { numRuns: 300 },
  )
})
