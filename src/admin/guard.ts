/**
 * Who may ask. The checks run from the cheapest to the dearest, and all before anything of the request is interpreted:
 *
 *     host 421 → cross-site 403 → token 401 → role 403 → rate 429 → content type 415 → size 413
 *
 * The rate comes after the token, so that a stranger cannot use up what belongs to the operators.
 *
 * The admin API has no cookies, so a browser can only be misused in two ways: a site that points its own name at us (DNS
 * rebinding; the host list), and a site that sends requests here (the origin; and JSON as the only content type, which
 * a plain form cannot send).
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import type { Clock } from '../base/clock.js'
import { isLoopback } from '../config/schema.js'
import { type AccessRole, type Actor, anonymous, type Grant, mayAct } from './access.js'
import type { HttpReply, HttpRequest } from './http.js'
import { problemReply } from './problem.js'
import type { Route } from './routes.js'
import { TokenBucket } from './token-bucket.js'

export interface GuardOptions {
  /** The address we listen on. */
  readonly host: string
  /** None: nobody is asked for a token. */
  readonly grants: readonly Grant[]
  readonly allowedHosts: readonly string[]
}

/** Changes per second, and how many may come at once. */
const CHANGES_PER_SECOND = 10

export type Admission = { readonly refused: HttpReply; readonly actor?: Actor } | { readonly actor: Actor }

export class Guard {
  readonly #hosts: ReadonlySet<string>
  readonly #grants: readonly { readonly actor: Actor; readonly digest: Buffer }[]
  readonly #changes = new TokenBucket(CHANGES_PER_SECOND)

  constructor(
    private readonly clock: Clock,
    options: GuardOptions,
  ) {
    this.#hosts = new Set(['localhost', options.host, ...options.allowedHosts].map(name => name.toLowerCase()))
    this.#grants = options.grants.map(({ name, role, token }) => ({ actor: { name, role }, digest: digest(token) }))
  }

  /** Before the route is known. */
  refuseHost(request: HttpRequest): HttpReply | undefined {
    const host = request.header('host')
    // Only HTTP/1.0 has none, and no browser speaks that: load balancers do.
    if (host === undefined || this.#isOurs(hostName(host))) return undefined
    return problemReply('wrong-host', `not ${JSON.stringify(host)}; admin.allowedHosts lists the names we answer to`)
  }

  admit(request: HttpRequest, route: Route): Admission {
    const crossSite = refuseCrossSite(request, route)
    if (crossSite !== undefined) return { refused: crossSite }
    const known = this.#recognize(request, route)
    if ('refused' in known) return known
    const { actor } = known
    if (route.access !== 'probe' && route.access !== 'page' && !mayAct(actor, route.access)) {
      return { refused: refuseRole(actor, route.access), actor }
    }
    const refused = (route.changes ? this.#refuseRate() : undefined) ?? refuseBody(request, route)
    return refused === undefined ? known : { refused, actor }
  }

  /** `host` or, in the list, a name. An address cannot be pointed elsewhere, so any address is fine. */
  #isOurs(name: string): boolean {
    return isIP(name) !== 0 || this.#hosts.has(name.toLowerCase())
  }

  #refuseRate(): HttpReply | undefined {
    if (this.#changes.take(this.clock.now())) return undefined
    const detail = `at most ${CHANGES_PER_SECOND} changes a second`
    return problemReply('too-many-requests', detail, {}, { 'retry-after': '1' })
  }

  #recognize(request: HttpRequest, route: Route): Admission {
    if (this.#grants.length === 0) return { actor: anonymous }
    if (route.access === 'probe' || route.access === 'page') return { actor: { name: 'anonymous', role: 'read' } }
    const given = /^Bearer +(\S+)$/i.exec(request.header('authorization') ?? '')?.[1]
    if (given !== undefined) {
      const wanted = digest(given)
      // Digests have one length, and all are compared, so that the time it takes tells nothing.
      const found = this.#grants.filter(grant => timingSafeEqual(grant.digest, wanted))
      if (found[0] !== undefined) return { actor: found[0].actor }
    }
    const detail = given === undefined ? 'send it as "Authorization: Bearer …"' : 'this is not a token of ours'
    return { refused: problemReply('unauthorized', detail, {}, { 'www-authenticate': 'Bearer realm="lagrange"' }) }
  }
}

/** Why the admin API must not start like this; undefined when it may. */
export function refuseExposure(host: string, grants: readonly Grant[]): string | undefined {
  if (isLoopback(host) || grants.length > 0) return undefined
  return `${host} can be reached by other machines, so admin.tokenFile must be set`
}

export function refuseRole(actor: Actor, needed: AccessRole): HttpReply {
  return problemReply('forbidden', `${actor.name} has the role ${actor.role}, and this needs ${needed}`)
}

function refuseCrossSite(request: HttpRequest, route: Route): HttpReply | undefined {
  // A link from elsewhere to the console is a navigation, and shows nothing to where it came from.
  if (route.access === 'page' && request.header('sec-fetch-mode') === 'navigate') return undefined
  const site = request.header('sec-fetch-site')
  if (site === 'cross-site' || site === 'same-site') return problemReply('cross-site', `Sec-Fetch-Site is ${site}`)
  const origin = request.header('origin')
  if (origin === undefined || sameOrigin(origin, request.header('host'))) return undefined
  return problemReply('cross-site', `the origin ${JSON.stringify(origin)} is not ours`)
}

/** DELETE says everything by its path; a browser asks before it sends one to another site, and is refused. */
function refuseBody(request: HttpRequest, route: Route): HttpReply | undefined {
  const type = request.header('content-type') ?? ''
  if (route.method === 'POST' && !/^application\/json\s*(;|$)/i.test(type)) {
    return problemReply('wrong-content-type', `application/json, not ${JSON.stringify(type)}`)
  }
  return request.body === 'too-large' ? problemReply('body-too-large', 'at most 64 KiB') : undefined
}

function sameOrigin(origin: string, host: string | undefined): boolean {
  return host !== undefined && /^https?:\/\//.test(origin) && origin.replace(/^https?:\/\//, '') === host
}

/** `[::1]:8400` → `::1`, `localhost:8400` → `localhost`. */
function hostName(host: string): string {
  return /^\[([^\]]*)\](?::\d+)?$/.exec(host)?.[1] ?? host.replace(/:\d+$/, '')
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
