/**
 * The admin API: from a request to a reply.
 *
 *     request ─▶ host ─▶ route ─▶ guard ─▶ schema ─▶ backend ─▶ reply, counter, audit
 *
 * Nothing is executed before everything about the request was checked. Whoever changes something, or tried to, leaves an
 * `+audit` event.
 */
import type { z } from 'zod'
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import { unreachable } from '../base/invariant.js'
import { metricsContentType } from '../metrics/render.js'
import type { MetricStore } from '../metrics/store.js'
import type { AdminBackend, SwitchResult } from './backend.js'
import { Guard, type GuardOptions } from './guard.js'
import { type HttpHandler, type HttpReply, type HttpRequest, internalErrorReply } from './http.js'
import type { Condition, EventList, EventsQuery, FailoverRequest, SwitchoverRequest } from './model.js'
import { describeApi } from './openapi.js'
import { consolePage, consolePagePolicy } from './page.js'
import { problemReply, refusalReply } from './problem.js'
import { type Route, routes } from './routes.js'
import { EventStreams } from './sse.js'
import { TokenBucket } from './token-bucket.js'

export interface ApiOptions extends GuardOptions {
  readonly version: string
}

const REFUSED_AUDITS_PER_SECOND = 10

export function makeApi(
  clock: Clock,
  events: EventSink,
  metrics: MetricStore,
  backend: AdminBackend,
  options: ApiOptions,
): HttpHandler {
  const guard = new Guard(clock, options)
  const streams = new EventStreams(clock, backend.events)
  // Who hammers at the door fills neither the log nor the event feed: the counter still sees every try.
  const refusedAudits = new TokenBucket(REFUSED_AUDITS_PER_SECOND)
  const openapi = JSON.stringify(describeApi(options.version))

  return async request => {
    const found = findRoute(request)
    const reply = withSafeHeaders(await answer(request, found))
    const route = 'route' in found ? found.route : undefined
    count(metrics, request, route, reply.status)
    if (route?.method === 'POST' && (reply.status < 400 || refusedAudits.take(clock.now()))) {
      audit(events, request, route, reply)
    }
    return reply
  }

  async function answer(request: HttpRequest, found: FoundRoute): Promise<HttpReply> {
    const wrongHost = guard.refuseHost(request)
    if (wrongHost !== undefined) return wrongHost
    if ('problem' in found) return found.problem
    const refused = guard.refuse(request, found.route)
    if (refused !== undefined) return refused

    const read = readInput(request, found.route)
    if ('problem' in read) return read.problem
    try {
      return await perform(found.route, read.input, request)
    } catch (error) {
      events.event('error', '+admin-error', { route: found.route.path, error: (error as Error).message })
      return internalErrorReply
    }
  }

  async function perform({ name }: Route, input: unknown, request: HttpRequest): Promise<HttpReply> {
    switch (name) {
      case 'health':
        return conditionReply(backend.health())
      case 'ready':
        return conditionReply(backend.ready())
      case 'metrics':
        return { status: 200, headers: { 'content-type': metricsContentType }, body: await backend.metrics() }
      case 'topology':
        return jsonReply(backend.topology())
      case 'config':
        return jsonReply(backend.config())
      case 'events':
        return answerEvents(input as EventsQuery, request)
      case 'switchover':
        return switchReply(await backend.switchover(input as SwitchoverRequest))
      case 'failover':
        return switchReply(await backend.failover(input as FailoverRequest))
      case 'openapi':
        return { status: 200, headers: { 'content-type': 'application/json' }, body: openapi }
      case 'page':
        return {
          status: 200,
          headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': consolePagePolicy },
          body: consolePage,
        }
      default:
        return unreachable(name)
    }
  }

  function answerEvents(query: EventsQuery, request: HttpRequest): HttpReply {
    if ((request.header('accept') ?? '').includes('text/event-stream')) {
      const resumed = request.header('last-event-id') ?? request.query.get('after') ?? undefined
      const lastId = Number(resumed)
      return streams.follow(resumed === undefined || !Number.isSafeInteger(lastId) ? undefined : lastId)
    }
    const { events: all, missed } = backend.events.after(query.after)
    const list = { events: all.slice(-query.limit), missed: missed || all.length > query.limit } as EventList
    return jsonReply(list)
  }
}

type FoundRoute = { readonly route: Route } | { readonly problem: HttpReply }

function findRoute({ method, path }: HttpRequest): FoundRoute {
  const here = routes.filter(route => route.path === path)
  if (here.length === 0) return { problem: problemReply('not-found', `${path}; /openapi.json lists what there is`) }
  const route = here.find(candidate => candidate.method === (method === 'HEAD' ? 'GET' : method))
  if (route !== undefined) return { route }
  const allow = here.flatMap(known => (known.method === 'GET' ? ['GET', 'HEAD'] : [known.method])).join(', ')
  return { problem: problemReply('method-not-allowed', `${path} knows ${allow}`, {}, { allow }) }
}

type Input = { readonly input: unknown } | { readonly problem: HttpReply }

function readInput(request: HttpRequest, route: Route): Input {
  if (route.query !== undefined) return check(route.query, Object.fromEntries(request.query))
  if (route.body === undefined || request.body === 'too-large') return { input: undefined }
  let json: unknown
  try {
    json = request.body.length === 0 ? {} : JSON.parse(request.body.toString('utf8'))
  } catch (error) {
    return { problem: problemReply('bad-request', `the body is not JSON: ${(error as Error).message}`) }
  }
  return check(route.body, json)
}

function check(schema: z.ZodType, value: unknown): Input {
  const checked = schema.safeParse(value)
  if (checked.success) return { input: checked.data }
  const errors = checked.error.issues.map(issue => ({ path: issue.path.join('.'), message: issue.message }))
  const detail = errors.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ')
  return { problem: problemReply('bad-request', detail, { errors }) }
}

function conditionReply(condition: Condition): HttpReply {
  return jsonReply(condition, condition.ok ? 200 : 503)
}

function switchReply(result: SwitchResult): HttpReply {
  return result.kind === 'refused' ? refusalReply(result) : jsonReply(result)
}

function jsonReply(value: unknown, status = 200): HttpReply {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}

function withSafeHeaders(reply: HttpReply): HttpReply {
  const headers = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', ...reply.headers }
  return { ...reply, headers }
}

const knownMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** Labels are bounded: routes are templates, and what a stranger makes up is `other`. */
function count(metrics: MetricStore, request: HttpRequest, route: Route | undefined, status: number): void {
  const method = knownMethods.includes(request.method) ? request.method : 'other'
  const labels = { method, route: route?.path ?? 'other', code: String(status) }
  metrics.counter('lagrange_admin_requests_total', labels).value++
}

/** Who, from where, what, and what came of it. The token itself is never part of it. */
function audit(events: EventSink, request: HttpRequest, route: Route, reply: HttpReply): void {
  const { type, detail, reason } = reply.status === 200 ? noProblem : readProblem(reply)
  events.event(reply.status === 200 ? 'info' : 'warn', '+audit', {
    action: route.name,
    status: reply.status,
    from: request.remoteAddress,
    actor: request.header('authorization') === undefined ? 'anonymous' : reply.status === 401 ? 'unknown' : 'token',
    request: request.body === 'too-large' ? '(too large)' : request.body.toString('utf8').slice(0, 500),
    problem: type,
    detail: reason ?? detail,
  })
}

interface ProblemFields {
  readonly type?: string
  readonly detail?: string
  readonly reason?: string
}

const noProblem: ProblemFields = {}

function readProblem(reply: HttpReply): ProblemFields {
  return typeof reply.body === 'string' ? (JSON.parse(reply.body) as ProblemFields) : noProblem
}
