import { defineConfig } from 'vitest/config'
import type { Reporter } from 'vitest/node'

/** The line that CI reads, alone at the end. */
const closing: Reporter = {
  onTestRunEnd(modules) {
    let passed = 0
    let failed = 0
    let skipped = 0
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed++
        else if (state === 'failed') failed++
        else skipped++
      }
    }
    process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`)
  },
}

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', 'test/apps/**'],
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default', closing],
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
})
