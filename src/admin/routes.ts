/**
 * Every route once: who may use it, what it takes, what it answers. The API dispatches by this table, the OpenAPI
 * description is made from it, and the authorization test walks it.
 */
import type { z } from 'zod'
import type { AccessRole } from './access.js'
import {
  acknowledgement,
  balancerQuery,
  condition,
  configDescription,
  eventList,
  eventsQuery,
  explainRequest,
  explanation,
  failoverRequest,
  historyList,
  hotKeys,
  instanceList,
  keysQuery,
  limitQuery,
  memberDescription,
  optionList,
  plainRequest,
  reloadReport,
  ruleList,
  sessionList,
  slowLog,
  streamQuery,
  switchAnswer,
  switchoverRequest,
  topologyDescription,
  traffic,
} from './model.js'
import { applyReport, applyRequest, rescueDetail, rescueList } from './rescue-model.js'

export interface Route {
  /** GET answers HEAD too. */
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** `{id}` stands for one segment. */
  readonly path: string
  /** The same under other names, as other systems call it. */
  readonly aliases?: readonly string[]
  readonly name: RouteName
  /**
   * `probe`: load balancers and Prometheus, without token. `page`: what a browser opens. Otherwise the role that is
   * needed when tokens are configured.
   */
  readonly access: 'probe' | 'page' | AccessRole
  /** It changes something: at most so many a second, audited, and repeatable by an Idempotency-Key. */
  readonly changes?: true
  readonly summary: string
  readonly query?: z.ZodType
  readonly body?: z.ZodType
  readonly answer: z.ZodType | 'text/plain' | 'text/html' | 'application/json'
  /** What it can answer besides: a stream of the same, or messages on a WebSocket. */
  readonly streams?: 'text/event-stream' | 'websocket'
  /** Refusals beyond those that every route has. */
  readonly refusals?: readonly number[]
}

export type RouteName =
  | 'health'
  | 'ready'
  | 'master'
  | 'replica'
  | 'readOnly'
  | 'metrics'
  | 'topology'
  | 'instances'
  | 'instance'
  | 'drain'
  | 'undrain'
  | 'sessions'
  | 'killSession'
  | 'traffic'
  | 'rules'
  | 'explain'
  | 'slowlog'
  | 'resetSlowlog'
  | 'keys'
  | 'events'
  | 'eventSocket'
  | 'history'
  | 'config'
  | 'options'
  | 'reload'
  | 'restartWorkers'
  | 'switchover'
  | 'failover'
  | 'pause'
  | 'resume'
  | 'acknowledge'
  | 'rescues'
  | 'rescue'
  | 'applyRescue'
  | 'audit'
  | 'openapi'
  | 'page'

const switchRefusals = [404, 409, 412, 422, 503] as const

/** For balancers and Prometheus. */
const probes: readonly Route[] = [
  {
    method: 'GET',
    path: '/healthz',
    aliases: ['/livez', '/liveness'],
    name: 'health',
    access: 'probe',
    summary: 'Whether this process works; 503 when it should be restarted.',
    answer: condition,
    refusals: [503],
  },
  {
    method: 'GET',
    path: '/readyz',
    aliases: ['/readiness'],
    name: 'ready',
    access: 'probe',
    summary: 'Whether clients can be served; 503 while no master is writable.',
    answer: condition,
    refusals: [503],
  },
  {
    method: 'GET',
    path: '/master',
    aliases: ['/primary', '/leader', '/read-write'],
    name: 'master',
    access: 'probe',
    summary: 'Whether a master is writable; with ?node, whether that instance is it. 503 when not.',
    query: balancerQuery,
    answer: condition,
    refusals: [503],
  },
  {
    method: 'GET',
    path: '/replica',
    aliases: ['/secondary', '/slave'],
    name: 'replica',
    access: 'probe',
    summary: 'Whether a replica serves reads and is close enough; with ?node, whether that instance does.',
    query: balancerQuery,
    answer: condition,
    refusals: [503],
  },
  {
    method: 'GET',
    path: '/read-only',
    name: 'readOnly',
    access: 'probe',
    summary: 'As /replica, and the master will do, too.',
    query: balancerQuery,
    answer: condition,
    refusals: [503],
  },
  {
    method: 'GET',
    path: '/metrics',
    name: 'metrics',
    access: 'probe',
    summary: 'Prometheus metrics of all processes of this proxy; OpenMetrics when asked for.',
    answer: 'text/plain',
  },
]

const looking: readonly Route[] = [
  {
    method: 'GET',
    path: '/api/v1/topology',
    name: 'topology',
    access: 'read',
    summary: 'Groups and their instances: role, health, offset, lag, link.',
    query: streamQuery,
    answer: topologyDescription,
    streams: 'text/event-stream',
  },
  {
    method: 'GET',
    path: '/api/v1/instances',
    name: 'instances',
    access: 'read',
    summary: 'The instances of all groups.',
    answer: instanceList,
  },
  {
    method: 'GET',
    path: '/api/v1/instances/{id}',
    name: 'instance',
    access: 'read',
    summary: 'One instance, by host:port.',
    answer: memberDescription,
    refusals: [404],
  },
  {
    method: 'GET',
    path: '/api/v1/sessions',
    name: 'sessions',
    access: 'read',
    summary: 'Who is connected: the most recently active first.',
    query: limitQuery,
    answer: sessionList,
  },
  {
    method: 'GET',
    path: '/api/v1/traffic',
    name: 'traffic',
    access: 'read',
    summary: 'What is going on, as totals: two answers make a rate.',
    answer: traffic,
  },
  {
    method: 'GET',
    path: '/api/v1/rules',
    name: 'rules',
    access: 'read',
    summary: 'Which consistency applies to whom.',
    answer: ruleList,
  },
  {
    method: 'POST',
    path: '/api/v1/explain',
    name: 'explain',
    access: 'read',
    summary: 'Where a command would go now, and why. Nothing is sent.',
    body: explainRequest,
    answer: explanation,
    refusals: [503],
  },
  {
    method: 'GET',
    path: '/api/v1/slowlog',
    name: 'slowlog',
    access: 'operate',
    summary: 'Commands that took long, as the proxy saw them.',
    query: limitQuery,
    answer: slowLog,
  },
  {
    method: 'GET',
    path: '/api/v1/keys',
    name: 'keys',
    access: 'operate',
    summary: 'Hot keys and big values, found by sampling.',
    query: keysQuery,
    answer: hotKeys,
  },
  {
    method: 'GET',
    path: '/api/v1/events',
    name: 'events',
    access: 'read',
    summary: 'What happened. As text/event-stream: what happens, resumed after Last-Event-ID.',
    query: eventsQuery,
    answer: eventList,
    streams: 'text/event-stream',
  },
  {
    method: 'GET',
    path: '/api/v1/events/ws',
    name: 'eventSocket',
    access: 'read',
    summary: 'What happens, as a WebSocket with one JSON message per event, beginning after ?after.',
    query: eventsQuery,
    answer: 'application/json',
    streams: 'websocket',
    refusals: [426],
  },
  {
    method: 'GET',
    path: '/api/v1/history',
    name: 'history',
    access: 'read',
    summary: 'The changes of master that this process has made or tried.',
    answer: historyList,
  },
  {
    method: 'GET',
    path: '/api/v1/rescue',
    name: 'rescues',
    access: 'read',
    summary: 'Writes that only an old master had, saved before it was demoted.',
    answer: rescueList,
  },
  {
    method: 'GET',
    path: '/api/v1/rescue/{id}',
    name: 'rescue',
    access: 'operate',
    summary: 'One of them, with its keys and its first commands.',
    answer: rescueDetail,
    refusals: [404],
  },
  {
    method: 'GET',
    path: '/api/v1/config',
    name: 'config',
    access: 'read',
    summary: 'The configuration in force and where each value comes from.',
    answer: configDescription,
  },
  {
    method: 'GET',
    path: '/api/v1/config/options',
    name: 'options',
    access: 'read',
    summary: 'Every option: what it does, what is allowed, its default.',
    answer: optionList,
  },
  {
    method: 'GET',
    path: '/api/v1/audit',
    name: 'audit',
    access: 'admin',
    summary: 'Who changed something, or tried to; newest last.',
    query: limitQuery,
    answer: eventList,
  },
]

const changing: readonly Route[] = [
  {
    method: 'POST',
    path: '/api/v1/switchover',
    name: 'switchover',
    access: 'operate',
    changes: true,
    summary: 'Makes another instance the master without losing a write; rolled back when it fails.',
    body: switchoverRequest,
    answer: switchAnswer,
    refusals: switchRefusals,
  },
  {
    method: 'POST',
    path: '/api/v1/failover',
    name: 'failover',
    access: 'operate',
    changes: true,
    summary: 'Promotes a replica when the master is gone. To accept the loss of data needs the role admin.',
    body: failoverRequest,
    answer: switchAnswer,
    refusals: switchRefusals,
  },
  {
    method: 'POST',
    path: '/api/v1/pause',
    name: 'pause',
    access: 'operate',
    changes: true,
    summary: 'No failover and no repair by itself until resumed; planned switches still work.',
    body: plainRequest,
    answer: acknowledgement,
  },
  {
    method: 'POST',
    path: '/api/v1/resume',
    name: 'resume',
    access: 'operate',
    changes: true,
    summary: 'Ends a pause.',
    body: plainRequest,
    answer: acknowledgement,
  },
  {
    method: 'POST',
    path: '/api/v1/acknowledge',
    name: 'acknowledge',
    access: 'operate',
    changes: true,
    summary: 'Says that somebody has looked: the next failover on silence alone need not wait.',
    body: plainRequest,
    answer: acknowledgement,
  },
  {
    method: 'POST',
    path: '/api/v1/rescue/{id}/apply',
    name: 'applyRescue',
    access: 'operate',
    changes: true,
    summary: 'Sends rescued writes to the master of the moment.',
    body: applyRequest,
    answer: applyReport,
    refusals: [404, 409],
  },
  {
    method: 'POST',
    path: '/api/v1/instances/{id}/drain',
    name: 'drain',
    access: 'operate',
    changes: true,
    summary: 'Takes an instance out of reading. What is in flight on it is answered.',
    body: plainRequest,
    answer: memberDescription,
    refusals: [404],
  },
  {
    method: 'POST',
    path: '/api/v1/instances/{id}/ready',
    name: 'undrain',
    access: 'operate',
    changes: true,
    summary: 'Takes it back.',
    body: plainRequest,
    answer: memberDescription,
    refusals: [404],
  },
  {
    method: 'DELETE',
    path: '/api/v1/sessions/{id}',
    name: 'killSession',
    access: 'operate',
    changes: true,
    summary: 'Closes the connection of a client.',
    answer: acknowledgement,
    refusals: [404],
  },
  {
    method: 'DELETE',
    path: '/api/v1/slowlog',
    name: 'resetSlowlog',
    access: 'operate',
    changes: true,
    summary: 'Empties the slow log.',
    answer: acknowledgement,
  },
  {
    method: 'POST',
    path: '/api/v1/config/reload',
    name: 'reload',
    access: 'admin',
    changes: true,
    summary: 'Reads the configuration again, as SIGHUP does: what changed, and what waits for a restart.',
    body: plainRequest,
    answer: reloadReport,
    refusals: [422],
  },
  {
    method: 'POST',
    path: '/api/v1/workers/restart',
    name: 'restartWorkers',
    access: 'admin',
    changes: true,
    summary:
      'Replaces the workers, one after the other. Nobody who connects is refused; who is connected finishes what it has begun.',
    body: plainRequest,
    answer: acknowledgement,
    refusals: [409],
  },
]

export const routes: readonly Route[] = [
  ...probes,
  ...looking,
  ...changing,
  {
    method: 'GET',
    path: '/openapi.json',
    name: 'openapi',
    access: 'page',
    summary: 'This description.',
    answer: 'application/json',
  },
  { method: 'GET', path: '/', name: 'page', access: 'page', summary: 'The console.', answer: 'text/html' },
]

export interface FoundRoute {
  readonly route: Route
  /** What stood in the place of `{id}`, decoded. */
  readonly id: string
}

/** The routes at `path`, whatever their method. An id that is not valid percent-encoding leads nowhere. */
export function routesAt(path: string): readonly FoundRoute[] {
  return routes.flatMap(route => {
    if (route.path === path || route.aliases?.includes(path)) return [{ route, id: '' }]
    const [before, after] = route.path.split('{id}')
    if (before === undefined || after === undefined) return []
    if (!path.startsWith(before) || !path.endsWith(after) || path.length <= before.length + after.length) return []
    const segment = path.slice(before.length, path.length - after.length)
    if (segment.includes('/') || segment.length > 300) return []
    try {
      return [{ route, id: decodeURIComponent(segment) }]
    } catch {
      return []
    }
  })
}
