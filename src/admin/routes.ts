/**
 * Every route once: who may use it, what it takes, what it answers. The API dispatches by this table, the OpenAPI
 * description is made from it, and the authorization test walks it.
 */
import type { z } from 'zod'
import {
  condition,
  configDescription,
  eventList,
  eventsQuery,
  failoverRequest,
  switchAnswer,
  switchoverRequest,
  topologyDescription,
} from './model.js'

export interface Route {
  /** GET answers HEAD too. */
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly name: RouteName
  /**
   * `probe`: load balancers and Prometheus, without token. `page`: what a browser opens. `token`: needs the token when
   * one is configured.
   */
  readonly access: 'probe' | 'page' | 'token'
  readonly summary: string
  readonly query?: z.ZodType
  readonly body?: z.ZodType
  readonly answer: z.ZodType | 'text/plain' | 'text/html' | 'application/json'
  /** Refusals beyond those that every route has. */
  readonly refusals?: readonly number[]
}

export type RouteName =
  | 'health'
  | 'ready'
  | 'metrics'
  | 'topology'
  | 'events'
  | 'config'
  | 'switchover'
  | 'failover'
  | 'openapi'
  | 'page'

const switchRefusals = [404, 409, 422, 503] as const

export const routes: readonly Route[] = [
  {
    method: 'GET',
    path: '/healthz',
    name: 'health',
    access: 'probe',
    summary: 'Whether this process works; 503 when it should be restarted.',
    answer: condition,
    refusals: [503],
  },
  {
    method: 'GET',
    path: '/readyz',
    name: 'ready',
    access: 'probe',
    summary: 'Whether clients can be served; 503 while no master is writable.',
    answer: condition,
    refusals: [503],
  },
  {
    method: 'GET',
    path: '/metrics',
    name: 'metrics',
    access: 'probe',
    summary: 'Prometheus metrics of all processes of this proxy.',
    answer: 'text/plain',
  },
  {
    method: 'GET',
    path: '/api/v1/topology',
    name: 'topology',
    access: 'token',
    summary: 'Groups and their instances: role, health, offset, lag, link.',
    answer: topologyDescription,
  },
  {
    method: 'GET',
    path: '/api/v1/events',
    name: 'events',
    access: 'token',
    summary: 'What happened. As text/event-stream: what happens, resumed after Last-Event-ID.',
    query: eventsQuery,
    answer: eventList,
  },
  {
    method: 'GET',
    path: '/api/v1/config',
    name: 'config',
    access: 'token',
    summary: 'The configuration in force and where each value comes from.',
    answer: configDescription,
  },
  {
    method: 'POST',
    path: '/api/v1/switchover',
    name: 'switchover',
    access: 'token',
    summary: 'Makes another instance the master without losing a write; rolled back when it fails.',
    body: switchoverRequest,
    answer: switchAnswer,
    refusals: switchRefusals,
  },
  {
    method: 'POST',
    path: '/api/v1/failover',
    name: 'failover',
    access: 'token',
    summary: 'Promotes a replica when the master is gone.',
    body: failoverRequest,
    answer: switchAnswer,
    refusals: switchRefusals,
  },
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
