/** The HTTP port on node:http: for platforms that uWebSockets.js has no binary for. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type HttpHandler,
  type HttpListen,
  type HttpOptions,
  type HttpReply,
  type HttpStream,
  type HttpStreamer,
  internalErrorReply,
} from './http.js'

export const listenNode: HttpListen = async (options, handler) => {
  const server = createServer({ headersTimeout: 5000, requestTimeout: 10_000, maxHeaderSize: 16 * 1024 })
  server.on('request', (request, response) => void answer(request, response, options, handler))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: options.host, port: options.port }, resolve)
  })
  return {
    adapter: 'node',
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpOptions,
  handler: HttpHandler,
): Promise<void> {
  const [path = '/', query = ''] = (request.url ?? '/').split(/\?(.*)/s)
  const head = {
    method: request.method ?? 'GET',
    path,
    query: new URLSearchParams(query),
    header: (name: string) => {
      const value = request.headers[name]
      return Array.isArray(value) ? value.join(', ') : value
    },
    remoteAddress: request.socket.remoteAddress ?? '',
  }
  let reply: HttpReply
  try {
    const body = await readBody(request, options.maxBodyBytes)
    reply = await handler({ ...head, body })
    // What is left of a body that was too large is not read: the connection ends with the answer.
    if (body === 'too-large') response.setHeader('connection', 'close')
  } catch {
    reply = internalErrorReply
  }
  if (!response.destroyed) send(response, reply, head.method === 'HEAD', options.maxQueuedBytes)
}

function send(response: ServerResponse, reply: HttpReply, headOnly: boolean, maxQueuedBytes: number): void {
  if (typeof reply.body === 'string') {
    response.writeHead(reply.status, { ...reply.headers, 'content-length': Buffer.byteLength(reply.body) })
    response.end(headOnly ? undefined : reply.body)
    return
  }
  response.writeHead(reply.status, reply.headers)
  if (headOnly) response.end()
  else startStream(response, reply.body, maxQueuedBytes)
}

function startStream(response: ServerResponse, streamer: HttpStreamer, maxQueuedBytes: number): void {
  response.flushHeaders()
  const stream: HttpStream = {
    write(text) {
      if (response.destroyed || response.writableEnded) return
      response.write(text)
      if (response.writableLength > maxQueuedBytes) response.destroy()
    },
    end: () => void response.end(),
    onClose: listener => void response.once('close', listener),
  }
  streamer(stream)
}

function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | 'too-large'> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    request.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length <= maxBytes) chunks.push(chunk)
      else {
        request.pause()
        resolve('too-large')
      }
    })
    request.once('end', () => resolve(Buffer.concat(chunks)))
    request.once('error', reject)
  })
}
