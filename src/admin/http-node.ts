/** The HTTP port on node:http: for platforms that uWebSockets.js has no binary for. */
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import {
  type HttpHandler,
  type HttpListen,
  type HttpOptions,
  type HttpReply,
  type HttpRequest,
  type HttpStream,
  type HttpStreamer,
  internalErrorReply,
} from './http.js'
import { acceptWebSocket } from './websocket.js'

export const listenNode: HttpListen = async (options, handler) => {
  const server = createServer({ headersTimeout: 5000, requestTimeout: 10_000, maxHeaderSize: 16 * 1024 })
  server.on('request', (request, response) => void answer(request, response, options, handler))
  const upgraded = new Set<Socket>()
  server.on('upgrade', (request, socket: Socket) => {
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
    void answerUpgrade(request, socket, options, handler)
  })
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
        // node counts connections that have been taken over as its own no more.
        for (const socket of upgraded) socket.destroy()
      }),
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpOptions,
  handler: HttpHandler,
): Promise<void> {
  const head = readHead(request)
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

function readHead(request: IncomingMessage): Omit<HttpRequest, 'body'> {
  const [path = '/', query = ''] = (request.url ?? '/').split(/\?(.*)/s)
  return {
    method: request.method ?? 'GET',
    path,
    query: new URLSearchParams(query),
    header: name => {
      const value = request.headers[name]
      return Array.isArray(value) ? value.join(', ') : value
    },
    remoteAddress: request.socket.remoteAddress ?? '',
  }
}

/** The handler decides; where it does not upgrade, its answer goes out as plain HTTP and ends the connection. */
async function answerUpgrade(
  request: IncomingMessage,
  socket: Socket,
  options: HttpOptions,
  handler: HttpHandler,
): Promise<void> {
  socket.on('error', () => socket.destroy())
  const reply = await handler({ ...readHead(request), body: Buffer.alloc(0) }).catch(() => internalErrorReply)
  if (reply.upgrade && typeof reply.body !== 'string') {
    acceptWebSocket(socket, request.headers['sec-websocket-key'] ?? '', reply.body, options.maxQueuedBytes)
    return
  }
  const body = typeof reply.body === 'string' ? reply.body : ''
  const headers = { ...reply.headers, 'content-length': String(Buffer.byteLength(body)), connection: 'close' }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? 'Status'}\r\n${lines.join('')}\r\n${body}`)
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
