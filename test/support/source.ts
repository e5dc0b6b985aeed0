/** The project's own source as data, for the tests that keep it tidy. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

export const root = new URL('../..', import.meta.url).pathname

export interface SourceFile {
  /** From the root of the project: `src/base/ring.ts`. */
  readonly path: string
  readonly text: string
}

/** All TypeScript files of ours below `folder`. */
export function sourceFiles(folder: string): readonly SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts') && !name.includes('node_modules'))
    .sort()
    .map(name => join(root, folder, name))
    .map(path => ({ path: relative(root, path), text: readFileSync(path, 'utf8') }))
}

const commentOrText = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g

/** The text without comments: what is said there is not done. Line numbers stay. */
export function withoutComments(text: string): string {
  return text.replace(commentOrText, token => (token.startsWith('/') ? blank(token) : token))
}

/** Without comments and without what is in quotes: only code. */
export function onlyCode(text: string): string {
  return text.replace(commentOrText, blank)
}

function blank(token: string): string {
  return token.replace(/[^\n]/g, ' ')
}

/** What a file imports: `../base/ring.js`, `node:net`, `zod`. Types, re-exports and lazy imports count too. */
export function importsOf(text: string): readonly string[] {
  const code = withoutComments(text)
  const patterns = [
    /\bfrom\s+['"]([^'"]+)['"]/g,
    /\bimport\s*\(\s*['"]([^'"]+)['"]/g,
    /^\s*import\s+['"]([^'"]+)['"]/gm,
  ]
  return patterns.flatMap(pattern => [...code.matchAll(pattern)].map(match => match[1] as string))
}
