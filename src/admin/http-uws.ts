/**
 * The HTTP port on uWebSockets.js. The only file that imports it, because it does not forgive:
 *
 * - a handler that throws, or returns before it answered without `onAborted` set, aborts the whole process;
 * - a response that is touched after it was aborted, too;
 * - the request object is gone when the handler returns, so everything is read from it at once.
 *
 * It runs on the main thread only, and it is imported lazily: where there is no binary for the platform, `listenUws`
 * rejects and the caller takes node:http.
 */
import type {
  HttpRequest as UwsRequest,
  HttpResponse as UwsResponse,
  us_socket_context_t as UwsSocketContext,
  WebSocket as UwsWebSocket,
} from 'uWebSockets.js'
import {
  type HttpHandler,
  type HttpListen,
  type HttpOptions,
  type HttpReply,
  type HttpRequest,
  type HttpStreamer,
  internalErrorReply,
} from './http.js'
import { whyNotListen } from './why-not-listen.js'

type Uws = typeof import('uWebSockets.js')

/** The overload that the published types lack. */
interface ExclusiveListen {
  listen(host: string, port: number, options: number, done: (socket: object | false) => void): unknown
}

/** Without it, two processes would share the port, each getting some of the requests. */
const EXCLUSIVE_PORT = 1

export const listenUws: HttpListen = async (options, handler) => {
  const uws: Uws = await import('uWebSockets.js')
  const app = uws.App()
  app.any('/*', (response, request) => answer(response, request, options, handler))
  app.ws<MessageStream>('/*', {
    maxPayloadLength: MAX_MESSAGE_BYTES,
    maxBackpressure: options.maxQueuedBytes,
    closeOnBackpressureLimit: true,
    upgrade: (response, request, context) => answer(response, request, options, handler, context),
    open: socket => openSocket(socket),
    close: socket => socket.getUserData().onClose?.(),
  })
  const socket = await new Promise<object | false>(resolve => {
    ;(app as unknown as ExclusiveListen).listen(options.host, options.port, EXCLUSIVE_PORT, resolve)
  })
  if (socket === false) {
    app.close()
    throw await whyNotListen(options.host, options.port)
  }
  return {
    adapter: 'uws',
    port: uws.us_socket_local_port(socket as never),
    async close() {
      app.close()
    },
  }
}

/** Nobody has anything to say to us on a WebSocket. */
const MAX_MESSAGE_BYTES = 4096

/** What a WebSocket carries from its request on. */
interface MessageStream {
  readonly streamer: HttpStreamer
  onClose?: () => void
}

/** A response with the one fact that decides whether it may be touched. */
interface Exchange {
  readonly response: UwsResponse
  readonly headOnly: boolean
  open: boolean
  onClose: (() => void) | undefined
}

function answer(
  response: UwsResponse,
  request: UwsRequest,
  options: HttpOptions,
  handler: HttpHandler,
  upgrade?: UwsSocketContext,
): void {
  const exchange: Exchange = { response, headOnly: request.getMethod() === 'head', open: true, onClose: undefined }
  response.onAborted(() => over(exchange))
  const head = readHead(response, request)

  const chunks: Buffer[] = []
  let length = 0
  let asked = false
  const ask = (body: HttpRequest['body']): void => {
    asked = true
    // An async function also turns what a handler throws at once into a rejection.
    const run = async () => handler({ ...head, body })
    run().then(
      reply => {
        if (reply.upgrade && upgrade !== undefined) switchToSocket(exchange, reply, head, upgrade)
        else send(exchange, reply, options, body === 'too-large')
      },
      () => send(exchange, internalErrorReply, options, true),
    )
  }
  // A request for a WebSocket has no body, and its data would be ours no more.
  if (upgrade !== undefined) return ask(Buffer.alloc(0))
  response.onData((chunk, isLast) => {
    if (asked) return
    length += chunk.byteLength
    if (length > options.maxBodyBytes) ask('too-large')
    else {
      // The chunk is only lent to us.
      chunks.push(Buffer.from(new Uint8Array(chunk)))
      if (isLast) ask(Buffer.concat(chunks))
    }
  })
}

function switchToSocket(
  exchange: Exchange,
  reply: HttpReply,
  head: Pick<HttpRequest, 'header'>,
  context: UwsSocketContext,
): void {
  if (!exchange.open || typeof reply.body === 'string') return
  const [key, protocol, extensions] = ['key', 'protocol', 'extensions'].map(
    name => head.header(`sec-websocket-${name}`) ?? '',
  ) as [string, string, string]
  const stream: MessageStream = { streamer: reply.body }
  exchange.open = false
  exchange.response.cork(() => exchange.response.upgrade(stream, key, protocol, extensions, context))
}

function openSocket(socket: UwsWebSocket<MessageStream>): void {
  const stream = socket.getUserData()
  let open = true
  let closed: () => void = () => undefined
  stream.onClose = () => {
    open = false
    closed()
  }
  stream.streamer({
    write: text => {
      if (open) socket.send(text)
    },
    end: () => {
      if (open) socket.end(1000)
    },
    onClose: listener => {
      closed = listener
    },
  })
}

function readHead(response: UwsResponse, request: UwsRequest): Omit<HttpRequest, 'body'> {
  const headers = new Map<string, string>()
  request.forEach((name, value) => {
    const earlier = headers.get(name)
    headers.set(name, earlier === undefined ? value : `${earlier}, ${value}`)
  })
  return {
    method: request.getMethod().toUpperCase(),
    path: request.getUrl(),
    query: new URLSearchParams(request.getQuery() ?? ''),
    header: name => headers.get(name),
    remoteAddress: Buffer.from(response.getRemoteAddressAsText()).toString('latin1'),
  }
}

function send(exchange: Exchange, reply: HttpReply, options: HttpOptions, closeConnection: boolean): void {
  if (!exchange.open) return
  const { response } = exchange
  const { body } = reply
  response.cork(() => {
    response.writeStatus(`${reply.status} ${reasonPhrases[reply.status] ?? 'Status'}`)
    for (const [name, value] of Object.entries(reply.headers)) response.writeHeader(name, value)
    if (typeof body !== 'string') {
      if (exchange.headOnly) response.endWithoutBody(0, true)
      // Sends the head now: a follower wants to know at once that it is connected.
      else response.write('')
    } else if (exchange.headOnly) response.endWithoutBody(Buffer.byteLength(body), closeConnection)
    else response.end(body, closeConnection)
  })
  if (typeof body !== 'string' && !exchange.headOnly) startStream(exchange, body, options.maxQueuedBytes)
  else over(exchange)
}

function startStream(exchange: Exchange, streamer: HttpStreamer, maxQueuedBytes: number): void {
  const { response } = exchange
  let queued = 0
  response.onWritable(() => {
    queued = 0
    return true
  })
  streamer({
    write(text) {
      if (!exchange.open) return
      let accepted = true
      response.cork(() => {
        accepted = response.write(text)
      })
      queued = accepted ? 0 : queued + Buffer.byteLength(text)
      if (queued > maxQueuedBytes) response.close()
    },
    end() {
      if (!exchange.open) return
      response.cork(() => response.end())
      over(exchange)
    },
    onClose(listener) {
      exchange.onClose = listener
    },
  })
}

/** Answered or aborted: the response must not be touched any more. */
function over(exchange: Exchange): void {
  if (!exchange.open) return
  exchange.open = false
  exchange.onClose?.()
}

const reasonPhrases: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}
