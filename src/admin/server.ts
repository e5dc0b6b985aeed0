/**
 * Starts the admin server: uWebSockets.js where its binary loads, node:http elsewhere (and where asked).
 */
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import type { MetricStore } from '../metrics/store.js'
import { type ApiOptions, makeApi } from './api.js'
import type { AdminBackend } from './backend.js'
import { refuseExposure } from './guard.js'
import type { HttpHandler, HttpOptions, HttpServer } from './http.js'
import { listenNode } from './http-node.js'
import { listenUws } from './http-uws.js'

export interface AdminOptions extends ApiOptions {
  readonly port: number
  /** `auto`: uws, or node where that does not load. */
  readonly adapter?: 'auto' | 'uws' | 'node'
}

const MAX_BODY_BYTES = 64 * 1024
const MAX_QUEUED_BYTES = 1024 * 1024

/** Rejects when the address is taken, or would expose the API without a token. */
export async function startAdmin(
  clock: Clock,
  events: EventSink,
  metrics: MetricStore,
  backend: AdminBackend,
  options: AdminOptions,
): Promise<HttpServer> {
  const exposed = refuseExposure(options.host, options.grants)
  if (exposed !== undefined) throw new Error(exposed)
  const handler = makeApi(clock, events, metrics, backend, options)
  const http = {
    host: options.host,
    port: options.port,
    maxBodyBytes: MAX_BODY_BYTES,
    maxQueuedBytes: MAX_QUEUED_BYTES,
  }
  const server = await listen(events, options.adapter ?? 'auto', http, handler)
  events.event('info', '+admin', { host: options.host, port: server.port, adapter: server.adapter })
  return server
}

async function listen(
  events: EventSink,
  adapter: NonNullable<AdminOptions['adapter']>,
  options: HttpOptions,
  handler: HttpHandler,
): Promise<HttpServer> {
  if (adapter === 'node') return listenNode(options, handler)
  try {
    return await listenUws(options, handler)
  } catch (error) {
    // A system error has an errno: the address is the problem, and node:http would meet it too.
    if (adapter === 'uws' || (error as NodeJS.ErrnoException).syscall === 'listen') throw error
    events.event('warn', '+admin-fallback', { to: 'node:http', reason: firstLine((error as Error).message) })
    return listenNode(options, handler)
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] as string
}
