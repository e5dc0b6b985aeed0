/**
 * The admin API: from a request to a reply.
 *
 *     request ─▶ host ─▶ route ─▶ guard ─▶ schema ─▶ precondition ─▶ once per key ─▶ backend ─▶ reply, counter, audit
 *
 * Nothing is executed before everything about the request was checked. Whoever changes something, or tried to, leaves a
 * line in the audit log.
 */
import type { z } from 'zod'
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import { metricsContentType, openMetricsContentType } from '../metrics/render.js'
import type { MetricStore } from '../metrics/store.js'
import { type Actor, anonymous, mayAct } from './access.js'
import { AuditLog } from './audit.js'
import type { AdminBackend, SwitchResult } from './backend.js'
import { type BalancerQuestion, judgeForBalancer } from './balancer.js'
import { Guard, type GuardOptions, refuseRole } from './guard.js'
import { asksForWebSocket, type HttpHandler, type HttpReply, type HttpRequest, internalErrorReply } from './http.js'
import { Idempotency } from './idempotency.js'
import type {
  Acknowledgement,
  BalancerQuery,
  Condition,
  EventList,
  EventsQuery,
  ExplainRequest,
  FailoverRequest,
  LimitQuery,
  StreamQuery,
  SwitchoverRequest,
} from './model.js'
import { describeApi } from './openapi.js'
import { consolePage, consolePagePolicy } from './page.js'
import { problemReply, refusalReply } from './problem.js'
import type { ApplyRequest } from './rescue-model.js'
import { type FoundRoute, type Route, type RouteName, routesAt } from './routes.js'
import { EventStreams } from './sse.js'
import { TokenBucket } from './token-bucket.js'

export interface ApiOptions extends GuardOptions {
  readonly version: string
  /** Where changes are written down; undefined: in the log only. */
  readonly auditFile?: string | undefined
}

/** A request that has been let in. */
interface Admitted {
  readonly request: HttpRequest
  readonly actor: Actor
  /** What stands in the place of `{id}`. */
  readonly id: string
  /** As the route's schema for query or body says. */
  readonly input: unknown
}

type Answer = (admitted: Admitted) => HttpReply | Promise<HttpReply>

const REFUSED_AUDITS_PER_SECOND = 10

export function makeApi(
  clock: Clock,
  events: EventSink,
  metrics: MetricStore,
  backend: AdminBackend,
  options: ApiOptions,
): HttpHandler {
  const guard = new Guard(clock, options)
  const streams = new EventStreams(clock, backend.events, () => backend.topology())
  const audit = new AuditLog(clock, events, options.auditFile)
  const idempotency = new Idempotency(clock)
  // Who hammers at the door fills neither the log nor the event feed: the counter still sees every try.
  const refusedAudits = new TokenBucket(REFUSED_AUDITS_PER_SECOND)
  const answers = makeAnswers(backend, streams, audit, JSON.stringify(describeApi(options.version)))

  return async request => {
    const found = findRoute(request)
    const { reply, actor } = await answer(request, found)
    const route = 'route' in found ? found.route : undefined
    count(metrics, request, route, reply.status)
    if (route?.changes && (reply.status < 400 || refusedAudits.take(clock.now()))) {
      audit.write(reply.status === 200 ? 'info' : 'warn', describeChange(request, route, actor, reply))
    }
    return withSafeHeaders(reply)
  }

  async function answer(
    request: HttpRequest,
    found: FoundRoute | Refused,
  ): Promise<{ readonly reply: HttpReply; readonly actor: Actor | undefined }> {
    const wrongHost = guard.refuseHost(request)
    if (wrongHost !== undefined) return { reply: wrongHost, actor: undefined }
    if ('problem' in found) return { reply: found.problem, actor: undefined }
    const { route, id } = found
    const admission = guard.admit(request, route)
    const { actor } = admission
    if ('refused' in admission) return { reply: admission.refused, actor }

    const read = readInput(request, route)
    if ('problem' in read) return { reply: read.problem, actor }
    return { reply: await perform(route, { request, actor: admission.actor, id, input: read.input }), actor }
  }

  async function perform(route: Route, admitted: Admitted): Promise<HttpReply> {
    const { request, actor, id } = admitted
    const run = async (): Promise<HttpReply> => {
      try {
        return (route.changes ? refuseEpoch(request) : undefined) ?? (await answers[route.name](admitted))
      } catch (error) {
        events.event('error', '+admin-error', { route: route.path, error: (error as Error).message })
        return internalErrorReply
      }
    }
    const key = route.changes ? request.header('idempotency-key') : undefined
    if (key === undefined) return run()
    return idempotency.once(key, JSON.stringify([actor.name, route.name, id, bodyText(request)]), run)
  }

  /** `If-Match: "<epoch>"`: only if nobody has changed the master since it was looked at. */
  function refuseEpoch(request: HttpRequest): HttpReply | undefined {
    const wanted = request.header('if-match')
    const epoch = epochTag(backend)
    if (wanted === undefined || wanted === '*' || wanted === epoch) return undefined
    return problemReply('epoch-changed', `If-Match says ${wanted}, and the epoch is ${epoch}`)
  }
}

/** What is done for each route, once the request has been let in. */
function makeAnswers(
  backend: AdminBackend,
  streams: EventStreams,
  audit: AuditLog,
  openapi: string,
): Readonly<Record<RouteName, Answer>> {
  function answerEvents(query: EventsQuery, request: HttpRequest): HttpReply {
    if (wantsStream(request)) {
      const resumed = request.header('last-event-id') ?? request.query.get('after') ?? undefined
      const lastId = Number(resumed)
      return streams.follow(resumed === undefined || !Number.isSafeInteger(lastId) ? undefined : lastId)
    }
    const { events: all, missed } = backend.events.after(query.after)
    const list = { events: all.slice(-query.limit), missed: missed || all.length > query.limit } as EventList
    return jsonReply(list)
  }

  function drain(id: string, drained: boolean): HttpReply {
    return backend.drain(id, drained) ? instanceReply(backend, id) : unknownInstance(id)
  }

  const balance =
    (question: BalancerQuestion): Answer =>
    ({ input }) =>
      conditionReply(judgeForBalancer(question, backend.topology(), input as BalancerQuery))

  return {
    health: () => conditionReply(backend.health()),
    ready: () => conditionReply(backend.ready()),
    master: balance('master'),
    replica: balance('replica'),
    readOnly: balance('read-only'),
    metrics: async ({ request }) => {
      const open = (request.header('accept') ?? '').includes('application/openmetrics-text')
      const type = open ? openMetricsContentType : metricsContentType
      return {
        status: 200,
        headers: { 'content-type': type },
        body: await backend.metrics(open ? 'openmetrics' : 'text'),
      }
    },
    topology: ({ input, request }) =>
      wantsStream(request)
        ? streams.followTopology((input as StreamQuery).intervalMs)
        : jsonReply(backend.topology(), 200, { etag: epochTag(backend) }),
    instances: () => jsonReply({ instances: backend.topology().groups.flatMap(group => group.members) }),
    instance: ({ id }) => instanceReply(backend, id),
    drain: ({ id }) => drain(id, true),
    undrain: ({ id }) => drain(id, false),
    sessions: async ({ input }) => jsonReply(await backend.sessions((input as LimitQuery).limit)),
    killSession: async ({ id }) =>
      (await backend.killSession(id))
        ? acknowledge(`session ${id} is closed`)
        : problemReply('not-found', `session ${JSON.stringify(id)}`),
    traffic: async () => jsonReply(await backend.traffic()),
    rules: () => jsonReply(backend.rules()),
    explain: async ({ input }) => {
      const explanation = await backend.explain(input as ExplainRequest)
      return explanation === undefined ? problemReply('no-worker', 'none answered in time') : jsonReply(explanation)
    },
    slowlog: async ({ input }) => jsonReply(await backend.slowlog((input as LimitQuery).limit)),
    resetSlowlog: async () => {
      await backend.resetSlowlog()
      return acknowledge('the slow log is empty')
    },
    keys: async ({ input }) => jsonReply(await backend.keys((input as LimitQuery).limit)),
    events: ({ input, request }) => answerEvents(input as EventsQuery, request),
    eventSocket: ({ input, request }) =>
      asksForWebSocket(request)
        ? streams.followOnSocket((input as EventsQuery).after)
        : problemReply('upgrade-required', 'ask with Upgrade: websocket', {}, { upgrade: 'websocket' }),
    history: () => jsonReply({ changes: backend.history() }),
    config: () => jsonReply(backend.config()),
    options: () => jsonReply(backend.options()),
    reload: () => {
      const report = backend.reload()
      return 'errors' in report
        ? problemReply('bad-configuration', report.errors.join('; '), {
            errors: report.errors.map(message => ({ path: '', message })),
          })
        : jsonReply(report)
    },
    restartWorkers: async () => {
      const refused = await backend.restartWorkers()
      return refused === undefined ? acknowledge('all workers are new') : problemReply('cannot-restart', refused)
    },
    switchover: async ({ input }) => switchReply(await backend.switchover(input as SwitchoverRequest)),
    failover: async ({ input, actor }) => {
      const request = input as FailoverRequest
      if (request.acceptDataLoss && !mayAct(actor, 'admin')) return refuseRole(actor, 'admin')
      return switchReply(await backend.failover(request))
    },
    pause: () => acknowledge(backend.pause(true) ? 'nothing is done by itself until resumed' : 'it was paused already'),
    resume: () => acknowledge(backend.pause(false) ? 'failover and repair go on' : 'it was not paused'),
    acknowledge: () => {
      backend.acknowledge()
      return acknowledge('the next failover need not wait')
    },
    rescues: () => jsonReply({ rescues: backend.rescues() }),
    rescue: ({ id }) => {
      const found = backend.rescue(id)
      return found === undefined ? problemReply('not-found', `rescue ${JSON.stringify(id)}`) : jsonReply(found)
    },
    applyRescue: async ({ id, input }) => {
      const answer = await backend.applyRescue(id, input as ApplyRequest)
      if (!('refused' in answer)) return jsonReply(answer)
      const { refused, detail } = answer
      return problemReply(refused === 'unknown-rescue' ? 'not-found' : 'cannot-apply', detail, { reason: refused })
    },
    audit: ({ input }) => {
      const last = audit.last((input as LimitQuery).limit)
      return jsonReply({ events: last, missed: (last[0]?.id ?? 1) > 1 })
    },
    openapi: () => ({ status: 200, headers: { 'content-type': 'application/json' }, body: openapi }),
    page: () => ({
      status: 200,
      headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': consolePagePolicy },
      body: consolePage,
    }),
  }
}

interface Refused {
  readonly problem: HttpReply
}

function findRoute({ method, path }: HttpRequest): FoundRoute | Refused {
  const here = routesAt(path)
  if (here.length === 0) return { problem: problemReply('not-found', `${path}; /openapi.json lists what there is`) }
  const found = here.find(({ route }) => route.method === (method === 'HEAD' ? 'GET' : method))
  if (found !== undefined) return found
  const allow = here.flatMap(({ route }) => (route.method === 'GET' ? ['GET', 'HEAD'] : [route.method])).join(', ')
  return { problem: problemReply('method-not-allowed', `${path} knows ${allow}`, {}, { allow }) }
}

type Input = { readonly input: unknown } | Refused

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

function instanceReply(backend: AdminBackend, id: string): HttpReply {
  const member = backend.topology().groups.flatMap(group => group.members.filter(one => one.id === id))[0]
  return member === undefined ? unknownInstance(id) : jsonReply(member)
}

function unknownInstance(id: string): HttpReply {
  return problemReply('not-found', `instance ${JSON.stringify(id)}`)
}

function acknowledge(detail: string): HttpReply {
  return jsonReply({ done: true, detail } satisfies Acknowledgement)
}

function wantsStream(request: HttpRequest): boolean {
  return (request.header('accept') ?? '').includes('text/event-stream')
}

/** Grows with every change of master: what If-Match is compared with. */
function epochTag(backend: AdminBackend): string {
  return `"${backend
    .topology()
    .groups.map(group => group.masterEpoch)
    .join('.')}"`
}

function jsonReply(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): HttpReply {
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(value) }
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

function bodyText(request: HttpRequest): string {
  return request.body === 'too-large' ? '(too large)' : request.body.toString('utf8')
}

/** Who, from where, what, and what came of it. The token itself is never part of it. */
function describeChange(request: HttpRequest, route: Route, actor: Actor | undefined, reply: HttpReply) {
  const { type, detail, reason } = reply.status === 200 ? noProblem : readProblem(reply)
  const nobody = reply.status === 401 ? 'unknown' : anonymous.name
  return {
    action: route.name,
    status: reply.status,
    from: request.remoteAddress,
    actor: actor?.name ?? nobody,
    path: request.path.slice(0, 300),
    request: bodyText(request).slice(0, 500),
    replayed: 'idempotent-replayed' in reply.headers ? true : undefined,
    problem: type,
    detail: reason ?? detail,
  }
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
