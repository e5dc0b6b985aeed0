/**
 * The HTTP server as the API sees it: a request in, a reply out. Two adapters stand behind this port: uWebSockets.js,
 * and node:http where its binary does not load. Neither decides anything.
 */

export interface HttpRequest {
  /** In capitals. */
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  /** By lower-case name; undefined when absent. */
  readonly header: (name: string) => string | undefined
  readonly remoteAddress: string
  /** `too-large` when there was more than `maxBodyBytes`. */
  readonly body: Buffer | 'too-large'
}

export interface HttpReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | HttpStreamer
  /** The connection becomes a WebSocket, and each write a message; only where the request asked for one. */
  readonly upgrade?: true
}

/** Writes a reply that does not end by itself. */
export type HttpStreamer = (stream: HttpStream) => void

export interface HttpStream {
  /** A reader that is more than `maxQueuedBytes` behind is cut off. After the end, nothing happens. */
  write(text: string): void
  end(): void
  /** Called once when the stream is over, whoever ended it. */
  onClose(listener: () => void): void
}

export type HttpHandler = (request: HttpRequest) => Promise<HttpReply>

export interface HttpOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly maxBodyBytes: number
  readonly maxQueuedBytes: number
}

export interface HttpServer {
  readonly adapter: 'uws' | 'node'
  readonly port: number
  /** Ends all connections, streams included. */
  close(): Promise<void>
}

export function asksForWebSocket(request: HttpRequest): boolean {
  const isWebSocket = (request.header('upgrade') ?? '').toLowerCase() === 'websocket'
  return isWebSocket && request.header('sec-websocket-key') !== undefined && request.method === 'GET'
}

/** Rejects with a readable message when the address cannot be had. */
export type HttpListen = (options: HttpOptions, handler: HttpHandler) => Promise<HttpServer>

/** What a client gets when a handler throws. The handler itself reports; nothing of the error leaves the process. */
export const internalErrorReply: HttpReply = {
  status: 500,
  headers: { 'content-type': 'application/problem+json' },
  body: JSON.stringify({
    type: 'urn:lagrange:problem:internal-error',
    title: 'Internal error',
    status: 500,
    detail: 'A fault of ours; the log says more.',
  }),
}
