/** Small rules that hold everywhere in the source, and the map in the README. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { catalog } from '../../src/metrics/catalog.js'
import { importsOf, onlyCode, root, sourceFiles } from '../support/source.js'

const source = sourceFiles('src')
const everything = [...source, ...sourceFiles('test'), ...sourceFiles('dashboards')]

test('uWebSockets.js is imported by one file', () => {
  const importers = source.filter(file => importsOf(file.text).includes('uWebSockets.js')).map(file => file.path)
  expect(importers).toEqual(['src/admin/http-uws.ts'])
})

test('convict is called by the configuration only', () => {
  const importers = source.filter(file => importsOf(file.text).includes('convict')).map(file => file.path)
  expect(importers.filter(path => !path.startsWith('src/config/'))).toEqual([])
})

for (const [what, pattern] of [
  ['no any', /(?:\bas|[:<,|&])\s*any\b(?!\s*:)|\bany\[\]/],
  ['no enums', /^\s*(?:export\s+)?(?:const\s+)?enum\s/m],
  ['no default exports', /^\s*export\s+default\b/m],
  ['no eval and no code from text', /\beval\s*\(|\bnew\s+Function\b|\brequire\s*\(\s*[^'")]/],
  ['no ts-ignore', /@ts-(?:ignore|nocheck)/],
] as const) {
  test(what, () => {
    const text = what === 'no ts-ignore' ? (code: string) => code : onlyCode
    expect(source.filter(file => pattern.test(text(file.text))).map(file => file.path)).toEqual([])
  })
}

test('files stay short enough to be read', () => {
  const long = everything.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
  expect(long.filter(file => file.lines > 800)).toEqual([])
})

test('no test is alone or left out', () => {
  const tests = everything.filter(file => file.path.endsWith('.test.ts') && !file.path.startsWith('test/tidy/'))
  expect(tests.filter(file => /\b(?:test|describe|it)\.only\b/.test(onlyCode(file.text))).map(f => f.path)).toEqual([])
})

test('every metric of the catalog is counted somewhere', () => {
  const code = source.filter(file => file.path !== 'src/metrics/catalog.ts').map(file => file.text)
  const names = Object.keys(catalog).filter(name => !code.some(text => text.includes(`'${name}'`)))
  expect(names).toEqual([])
})

describe('the README', () => {
  const path = join(root, 'README.md')
  const readme = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const map = /^#+ .*\bmap\b.*$([\s\S]*?)(?=^## |$(?![\s\S]))/im.exec(readme)?.[1] ?? ''

  test('has a map', () => expect(map.trim()).not.toBe(''))

  test('whose map lists every folder of src', () => {
    const folders = new Set(source.map(file => file.path.split('/')[1] ?? '').filter(name => !name.endsWith('.ts')))
    expect([...folders].filter(folder => !map.includes(`${folder}/`))).toEqual([])
  })
})
