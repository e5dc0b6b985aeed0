/** Our node as a program, for whoever starts programs. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { main } from './lagrange.js'

/** The path of an executable that takes what redis-server takes. Throws when the project is not built. */
export function ownNode(): string {
  if (!existsSync(main)) throw new Error('dist/ is missing: npm run build')
  const folder = mkdtempSync(join(tmpdir(), 'lagrange-program-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'node.sh')
  writeFileSync(path, `#!/bin/sh\nexec ${process.execPath} ${main} node "$@"\n`, { mode: 0o755 })
  return path
}
