/**
 * Errors as RFC 9457 says: a stable type, a title of that type, a status, and a detail about this case.
 */
import { type Refused, statusOfRefusal } from './backend.js'
import type { HttpReply } from './http.js'
import type { Problem } from './model.js'

/** Each type once, with its title and status. A client may rely on the type; the words may change. */
const problems = {
  'bad-request': [400, 'The request is not understood'],
  unauthorized: [401, 'A token is needed'],
  forbidden: [403, 'The role does not allow this'],
  'cross-site': [403, 'Requests from other sites are refused'],
  'not-found': [404, 'There is no such resource'],
  'method-not-allowed': [405, 'The resource does not know this method'],
  'cannot-apply': [409, 'The writes cannot be applied'],
  'cannot-restart': [409, 'The workers cannot be restarted'],
  'epoch-changed': [412, 'The group is not in the state that was expected'],
  'body-too-large': [413, 'The body is too large'],
  'wrong-content-type': [415, 'The body must be JSON'],
  'wrong-host': [421, 'This server does not answer for that host'],
  'bad-configuration': [422, 'The configuration has mistakes, and nothing was changed'],
  'idempotency-conflict': [422, 'The idempotency key belongs to another request'],
  'upgrade-required': [426, 'This is a WebSocket'],
  'too-many-requests': [429, 'Too many requests'],
  'internal-error': [500, 'Internal error'],
  'no-worker': [503, 'No worker could be asked'],
  'too-many-streams': [503, 'Too many event streams'],
} as const satisfies Record<string, readonly [status: number, title: string]>

export type ProblemType = keyof typeof problems

const titles: Readonly<Record<Refused['refusal'], string>> = {
  'unknown-node': 'There is no such instance',
  'candidate-unfit': 'The instance cannot become the master',
  'no-candidate': 'No instance can become the master',
  'in-progress': 'Another change of master is in progress',
  'not-permitted': 'Not permitted in this state',
  'rolled-back': 'The change was rolled back',
  failed: 'The change failed',
}

export function problemReply(
  type: ProblemType,
  detail: string,
  more: Partial<Problem> = {},
  headers: Readonly<Record<string, string>> = {},
): HttpReply {
  const [status, title] = problems[type]
  return toReply({ type: `urn:lagrange:problem:${type}`, title, status, detail, ...more }, headers)
}

export function refusalReply({ refusal, reason, detail, passedOver }: Refused): HttpReply {
  return toReply({
    type: `urn:lagrange:problem:${refusal}`,
    title: titles[refusal],
    status: statusOfRefusal[refusal],
    detail,
    reason,
    ...(passedOver && { passedOver: [...passedOver] }),
  })
}

function toReply(problem: Problem, headers: Readonly<Record<string, string>> = {}): HttpReply {
  return {
    status: problem.status,
    headers: { 'content-type': 'application/problem+json', ...headers },
    body: JSON.stringify(problem),
  }
}
