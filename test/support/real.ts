/**
 * Real programs that tests talk to: redis-server, redis-sentinel, prometheus, promtool, haproxy.
 *
 * On a machine without them the tests are skipped, and say so in one loud line each; with LAGRANGE_REQUIRE_REAL=1 (what
 * CI sets) a missing program is a failed test, so that nothing is green because it did not run.
 *
 *     const redis = requireReal('redis-server')
 *     redis.describe('replication with the real server', () => { test(…, () => spawn(redis.path, …)) })
 */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, test } from 'vitest'

export interface RealProgram {
  readonly name: string
  /** Where it is; only to be used inside this program's `describe` or `test`. */
  readonly path: string
  readonly missing: boolean
  readonly describe: (title: string, body: () => void) => void
  readonly test: (title: string, body: () => Promise<void> | void, timeoutMs?: number) => void
}

export function requireReal(name: string): RealProgram {
  const path = findProgram(name)
  if (path !== undefined) return { name, path, missing: false, describe, test }
  if (process.env.LAGRANGE_REQUIRE_REAL === '1') return failing(name)

  const skipped = (title: string) => `${title} (SKIPPED: ${name} is not installed)`
  return {
    name,
    path: name,
    missing: true,
    describe(title, body) {
      process.stderr.write(`SKIPPED: ${title}: ${name} is not installed\n`)
      describe.skip(skipped(title), body)
    },
    test(title, body, timeoutMs) {
      process.stderr.write(`SKIPPED: ${title}: ${name} is not installed\n`)
      test.skip(skipped(title), body, timeoutMs)
    },
  }
}

/** The first executable of this name on PATH. */
export function findProgram(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}

function failing(name: string): RealProgram {
  const fail = () => {
    throw new Error(`${name} is not installed, and LAGRANGE_REQUIRE_REAL=1 asks for it`)
  }
  return {
    name,
    path: name,
    missing: true,
    describe: title => describe(title, () => test(`${name} is installed`, fail)),
    test: title => test(title, fail),
  }
}
