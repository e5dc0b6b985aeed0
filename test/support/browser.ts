/**
 * Debian's Chromium, driven by its own protocol over a pipe: no driver, no download. Messages are JSON, each ended by a
 * zero byte.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { onTestFinished } from 'vitest'

type Params = Readonly<Record<string, unknown>>
type Message = {
  readonly id?: number
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

export interface Page {
  /** The value of an expression in the page; promises are awaited. Throws what the page throws. */
  evaluate<T>(expression: string): Promise<T>
  /** Waits until the expression is true; after 30 s it throws what the page shows instead. */
  until(expression: string): Promise<void>
  /** As from the keyboard: a character, or a name (`Enter`, `Escape`, `ArrowRight`, `Tab`). */
  press(key: string): Promise<void>
  goto(url: string): Promise<void>
  /** Light or dark, as the system says. */
  setScheme(scheme: 'light' | 'dark'): Promise<void>
  setSize(width: number, height: number): Promise<void>
  screenshot(path: string): Promise<void>
  /** What the console and the security policy complained about. */
  readonly complaints: readonly string[]
  /** Addresses that were asked for. */
  readonly requests: readonly string[]
}

/** Starts a browser with one page; both end with the test. */
export async function openPage(program: string): Promise<Page> {
  const folder = mkdtempSync(join(tmpdir(), 'lagrange-browser-'))
  const child = spawn(
    program,
    [
      ...['--headless=new', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--hide-scrollbars'],
      ...[
        '--no-first-run',
        '--disable-dev-shm-usage',
        '--disable-extensions',
        '--disable-background-networking',
        '--force-color-profile=srgb',
      ],
      ...[`--user-data-dir=${folder}`, 'about:blank'],
    ],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true },
  )
  const pipe = new Pipe(child)
  onTestFinished(async () => {
    const ended = new Promise(resolve => child.once('exit', resolve))
    // Its helpers go with it: what is still written would keep the folder from being removed.
    process.kill(-(child.pid as number), 'SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true, maxRetries: 30, retryDelay: 100 })
  })
  const { targetInfos } = (await pipe.ask('Target.getTargets')) as { targetInfos: { type: string; targetId: string }[] }
  const target = targetInfos.find(one => one.type === 'page')
  const { sessionId } = await pipe.ask('Target.attachToTarget', { targetId: target?.targetId, flatten: true })
  const ask = (method: string, params?: Params) => pipe.ask(method, params, sessionId as string)

  const complaints: string[] = []
  const requests: string[] = []
  pipe.onEvent = ({ method, params = {} }) => {
    const text = JSON.stringify(params)
    if (method === 'Runtime.exceptionThrown') complaints.push(text)
    if (method === 'Log.entryAdded' && /"level":"error"/.test(text)) complaints.push(text)
    if (method === 'Network.requestWillBeSent') requests.push((params.request as { url: string }).url)
  }
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await ask(`${domain}.enable`)

  const page: Page = {
    complaints,
    requests,
    async evaluate<T>(expression: string): Promise<T> {
      const { result, exceptionDetails } = (await ask('Runtime.evaluate', {
        expression,
        awaitPromise: true,
        returnByValue: true,
      })) as { result: { value: T }; exceptionDetails?: object }
      if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`)
      return result.value
    },
    async until(expression) {
      const deadline = Date.now() + 30_000
      while (!(await page.evaluate<boolean>(`Boolean(${expression})`))) {
        if (Date.now() > deadline) {
          const shown = await page.evaluate<string>(
            '(document.querySelector("dialog[open]") ?? document.body).innerText',
          )
          throw new Error(`in vain waited for ${expression}; the page shows: ${shown}`)
        }
        await pause(25)
      }
    },
    async press(key) {
      const text = key.length === 1 ? key : key === 'Enter' ? '\r' : undefined
      const code =
        { Enter: 13, Escape: 27, Tab: 9, ArrowRight: 39, ArrowLeft: 37 }[key] ?? key.toUpperCase().charCodeAt(0)
      const event = { key, windowsVirtualKeyCode: code, ...(text && { text }) }
      await ask('Input.dispatchKeyEvent', { type: 'keyDown', ...event })
      await ask('Input.dispatchKeyEvent', { type: 'keyUp', ...event })
    },
    async goto(url) {
      await ask('Page.navigate', { url })
      await page.until('document.readyState === "complete"')
    },
    async setScheme(scheme) {
      await ask('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] })
    },
    async setSize(width, height) {
      await ask('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false })
    },
    async screenshot(path) {
      const { data } = await ask('Page.captureScreenshot', { format: 'png' })
      writeFileSync(path, Buffer.from(data as string, 'base64'))
    },
  }
  return page
}

/** Questions and answers by id, events as they come. */
class Pipe {
  onEvent: (message: Message) => void = () => undefined
  readonly #waiting = new Map<number, { resolve(result: Record<string, unknown>): void; reject(error: Error): void }>()
  readonly #out: Writable
  #lastId = 0
  #rest = ''

  constructor(child: ChildProcess) {
    this.#out = child.stdio[3] as Writable
    this.#out.on('error', () => undefined)
    const input = child.stdio[4] as Readable
    input.setEncoding('utf8')
    input.on('data', chunk => this.#read(String(chunk)))
    child.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the browser has ended'))
    })
  }

  ask(method: string, params: Params = {}, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.#lastId
    this.#out.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
  }

  #read(chunk: string): void {
    const messages = (this.#rest + chunk).split('\0')
    this.#rest = messages.pop() ?? ''
    for (const text of messages) {
      const message = JSON.parse(text) as Message
      const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id)
      if (waiting === undefined) this.onEvent(message)
      else if (message.error !== undefined) waiting.reject(new Error(message.error.message))
      else waiting.resolve(message.result ?? {})
      if (message.id !== undefined) this.#waiting.delete(message.id)
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
