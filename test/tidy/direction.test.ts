/**
 * Imports point one way. A folder may import from those of a lower level, never from its equals or from above.
 */
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { importsOf, type SourceFile, sourceFiles } from '../support/source.js'

const levels = [
  ['base'],
  ['resp', 'config', 'metrics'],
  ['command'],
  ['engine'],
  ['persistence'],
  ['replication'],
  ['topology'],
  ['routing'],
  ['net'],
  ['observer'],
  ['node', 'proxy', 'sentinel'],
  ['admin'],
  ['cli'],
  ['main.ts'],
] as const

const levelOf = new Map(levels.flatMap((folders, level) => folders.map(folder => [folder as string, level] as const)))
const files = sourceFiles('src')

test('every folder of src has its place', () => {
  const folders = new Set(files.map(file => folderOf(file.path)))
  expect([...folders].filter(folder => !levelOf.has(folder))).toEqual([])
})

describe('imports point one way:', () => {
  for (const folder of levelOf.keys()) {
    test(folder, () => {
      const wrong = files.filter(file => folderOf(file.path) === folder).flatMap(wrongImports)
      expect(wrong).toEqual([])
    })
  }
})

test('a wrong import would be found', () => {
  const file = (path: string, text: string): SourceFile => ({ path, text })
  expect(wrongImports(file('src/proxy/x.ts', "import type { A } from '../sentinel/agent.js'"))).toHaveLength(1)
  expect(wrongImports(file('src/base/x.ts', "export { a } from '../resp/decoder.js'"))).toHaveLength(1)
  expect(wrongImports(file('src/net/deep/x.ts', "const a = await import('../../cli/log.js')"))).toHaveLength(1)
  expect(wrongImports(file('src/node/x.ts', "// import from '../cli/log.js'\nimport '../base/a.js'"))).toEqual([])
})

function wrongImports({ path, text }: SourceFile): readonly string[] {
  const from = folderOf(path)
  return importsOf(text)
    .filter(specifier => specifier.startsWith('.'))
    .map(specifier => folderOf(join(dirname(path), specifier)))
    .filter(to => to !== from && (levelOf.get(to) ?? 99) >= (levelOf.get(from) ?? -1))
    .map(to => `${path} imports ${to}`)
}

/** `src/net/peer.ts` → `net`, `src/main.ts` → `main.ts`. */
function folderOf(path: string): string {
  return path.split('/')[1] ?? path
}
