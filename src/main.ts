#!/usr/bin/env node
/** Which command is this? Each is loaded only when it runs: a node has no use for the proxy. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(import.meta.url)
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

async function main(args: readonly string[]): Promise<number> {
  if (args[0] === 'worker') return (await import('./proxy/supervision/worker-process.js')).runWorker()
  if (args[0] === 'node' && args[1] !== '--help' && args[1] !== '-h') {
    ;(await import('./base/young-generation.js')).sizeYoungGeneration()
    return (await import('./cli/node.js')).runNode(args.slice(1))
  }
  const { runCli } = await import('./cli/program.js')
  const { systemIo } = await import('./cli/io.js')
  const executable = { program, version }
  return runCli(
    args,
    {
      runUp: async started => (await import('./cli/up.js')).runUp(started, executable),
      runProxy: async started => (await import('./cli/proxy.js')).runProxy(started, executable),
      runNode: async rest => (await import('./cli/node.js')).runNode([...rest]),
      runSentinel: async rest => (await import('./cli/sentinel.js')).runSentinel(rest),
    },
    systemIo(),
    version,
  )
}

main(process.argv.slice(2)).then(
  code => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`lagrange: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exit(1)
  },
)
