/** HTTP as a test speaks it: every header as given, no agent, streams and WebSockets by hand. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { onTestFinished } from 'vitest'

export type Headers = Readonly<Record<string, string>>

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly json: unknown
}

export function call(port: number, method: string, path: string, headers: Headers = {}, body?: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const length: Headers = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const request = httpRequest({
      host: '127.0.0.1',
      port,
      method,
      path,
      headers: { ...headers, ...length },
      agent: false,
    })
    request.once('error', reject)
    request.once('upgrade', (response, socket) => {
      socket.destroy()
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text: '', json: undefined })
    })
    request.once('response', response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', chunk => (text += chunk))
      response.once('end', () => {
        const isJson = /json/.test(response.headers['content-type'] ?? '') && text !== ''
        const json: unknown = isJson ? JSON.parse(text) : undefined
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json })
      })
      // A refused body is cut off while it is sent; the answer is there already.
      request.removeListener('error', reject).on('error', () => {})
      response.on('error', () => {})
    })
    request.end(body)
  })
}

export function follow(port: number, headers: Headers, path = '/api/v1/events') {
  return new Promise<{ text(): string; clear(): void; closed(): boolean; close(): void }>((resolve, reject) => {
    let text = ''
    let closed = false
    const all = { accept: 'text/event-stream', ...headers }
    const request = httpRequest({ host: '127.0.0.1', port, path, headers: all, agent: false })
    onTestFinished(() => void request.destroy())
    request.on('error', reject)
    request.once('response', response => {
      if (response.statusCode !== 200) return reject(new Error(String(response.statusCode)))
      response.setEncoding('utf8')
      response.on('data', chunk => (text += chunk))
      response.on('error', () => {})
      response.on('close', () => (closed = true))
      resolve({ text: () => text, clear: () => (text = ''), closed: () => closed, close: () => request.destroy() })
    })
    request.end()
  })
}

/** What a client says that wants a WebSocket. */
export const webSocketHead: Headers = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

/** The text messages that arrive; frames of a server are not masked. */
export function openWebSocket(
  port: number,
  path: string,
): Promise<{ messages(): readonly string[]; closed(): boolean }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, headers: webSocketHead, agent: false })
    onTestFinished(() => void request.destroy())
    request.on('error', reject)
    request.once('response', response => reject(new Error(String(response.statusCode))))
    request.once('upgrade', (response, socket, head) => {
      if (response.headers['sec-websocket-accept'] !== 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=') reject(new Error('wrong accept'))
      let bytes = head
      let closed = false
      socket.on('data', chunk => (bytes = Buffer.concat([bytes, chunk])))
      socket.on('error', () => {})
      socket.on('close', () => (closed = true))
      resolve({ messages: () => textFrames(bytes), closed: () => closed })
    })
    request.end()
  })
}

function textFrames(bytes: Buffer): readonly string[] {
  const found: string[] = []
  for (let at = 0; at + 2 <= bytes.length; ) {
    const short = (bytes[at + 1] as number) & 0x7f
    const head = short < 126 ? 2 : short === 126 ? 4 : 10
    if (at + head > bytes.length) break
    const length =
      short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
    if (at + head + length > bytes.length) break
    if (((bytes[at] as number) & 0x0f) === 1) found.push(bytes.toString('utf8', at + head, at + head + length))
    at += head + length
  }
  return found
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 2))
}
