/** The world of a command: where it writes, what it may ask, what surrounds it. Tests bring their own. */
import { createInterface } from 'node:readline/promises'

export interface Io {
  out(text: string): void
  err(text: string): void
  /** Whether a person reads the output and can be asked. */
  readonly interactive: boolean
  readonly colour: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  ask(question: string): Promise<string>
  /** The returned signal fires when the user wants it to end. */
  interrupted(): AbortSignal
}

export function systemIo(): Io {
  // Who reads has had enough (`lagrange status | head`): as good as being interrupted, and no reason for a stack trace.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      process.exit(0)
    })
  }
  return {
    out: text => void process.stdout.write(text),
    err: text => void process.stderr.write(text),
    interactive: process.stdin.isTTY === true && process.stdout.isTTY === true,
    colour: process.stdout.isTTY === true && (process.env.NO_COLOR ?? '') === '',
    env: process.env,
    async ask(question) {
      const line = createInterface({ input: process.stdin, output: process.stdout })
      try {
        return await line.question(question)
      } finally {
        line.close()
      }
    },
    interrupted() {
      const controller = new AbortController()
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort())
      return controller.signal
    },
  }
}
