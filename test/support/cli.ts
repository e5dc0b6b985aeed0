/** Runs the command line in this process, with a world of its own. */
import { type Roots, runCli } from '../../src/cli/program.js'

export interface Run {
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** What a person answers; without it nobody is there. */
  readonly answers?: readonly string[]
  readonly roots?: Partial<Roots>
}

export interface Output {
  readonly out: string
  readonly err: string
}

export interface Outcome extends Output {
  readonly code: number
}

export interface Running {
  readonly done: Promise<Outcome>
  until(condition: (output: Output) => boolean): Promise<void>
  interrupt(): void
}

export function run(given: Run): Promise<Outcome> {
  return start(given).done
}

export function start({ args, env = {}, answers, roots = {} }: Run): Running {
  const output = { out: '', err: '' }
  const interrupt = new AbortController()
  const left = [...(answers ?? [])]
  const unexpected = async () => {
    throw new Error('this command should not run')
  }
  const all: Roots = { runUp: unexpected, runProxy: unexpected, runNode: unexpected, runSentinel: unexpected, ...roots }
  const io = {
    out: (text: string) => void (output.out += text),
    err: (text: string) => void (output.err += text),
    interactive: answers !== undefined,
    colour: false,
    env,
    async ask(question: string) {
      output.out += question
      return left.shift() ?? ''
    },
    interrupted: () => interrupt.signal,
  }
  return {
    done: runCli(args, all, io, '0.1.0').then(code => ({ code, ...output })),
    async until(condition) {
      while (!condition(output)) await new Promise(resolve => setTimeout(resolve, 2))
    },
    interrupt: () => interrupt.abort(),
  }
}
