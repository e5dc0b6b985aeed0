/**
 * Scenario files: what happens in which order, as text.
 *
 *     # comments and blank lines between steps
 *     input line
 *     ----
 *     output lines, up to the next blank line
 *
 * `UPDATE=1` rewrites the outputs; the difference is to be read before it is committed.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const RULE = '----'

/** One test per `.txt` file of the folder. `begin` makes a fresh world; it answers each input with output lines. */
export function runScenarios(folder: string, prefix: string, begin: () => (input: string) => readonly string[]): void {
  const names = readdirSync(folder).filter(name => name.startsWith(prefix) && name.endsWith('.txt'))
  for (const name of names.sort()) {
    test(`scenario ${name}`, () => {
      const path = join(folder, name)
      const written = readFileSync(path, 'utf8')
      const played = play(written, begin())
      if (process.env.UPDATE === '1' && played !== written) writeFileSync(path, played)
      else expect(played).toBe(written)
    })
  }
}

function play(text: string, answer: (input: string) => readonly string[]): string {
  const out: string[] = []
  let skipping = false
  for (const line of text.trimEnd().split('\n')) {
    if (line === '') skipping = false
    if (skipping || line === RULE) {
      skipping = true
      continue
    }
    out.push(line)
    if (line === '' || line.startsWith('#')) continue
    const lines = answer(line)
    out.push(RULE, ...(lines.length === 0 ? ['(nothing)'] : lines))
    skipping = true
  }
  return `${out.join('\n')}\n`
}
