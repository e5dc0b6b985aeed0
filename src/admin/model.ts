/**
 * What the admin API says and accepts. Requests are checked against these schemas, types are inferred from them, and
 * the OpenAPI description is generated from them: there is no second list of fields.
 *
 * Absent numbers are null, not missing: a reader can tell "unknown" from "never heard of".
 */
import { z } from 'zod'
import { parseAddress } from '../base/address.js'

/** Everything the API hands out or is given is for reading. */
type Immutable<T> = T extends readonly (infer Item)[]
  ? readonly Immutable<Item>[]
  : T extends object
    ? { readonly [Name in keyof T]: Immutable<T[Name]> }
    : T

const millis = z.number().describe('Milliseconds.')
const offset = z.number().describe('A position in the replication stream, in bytes.')
const address = z.string().refine(text => parseAddress(text) !== undefined, { error: 'must be host:port' })

// ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────────

export const switchoverRequest = z.strictObject({
  to: address.optional().describe('The instance that shall be master, as host:port; the best candidate when absent.'),
  dryRun: z.boolean().default(false).describe('Answer with the plan and do nothing.'),
  timeoutMs: z.int().min(100).max(60_000).default(5000).describe('Roll back when it takes longer.'),
})
export type SwitchoverRequest = Immutable<z.infer<typeof switchoverRequest>>

export const failoverRequest = z.strictObject({
  to: address.optional().describe('The instance that shall be master, as host:port; the best candidate when absent.'),
  acceptDataLoss: z
    .boolean()
    .default(false)
    .describe('Promote even where acknowledged writes are lost by it. The only call that may lose any.'),
})
export type FailoverRequest = Immutable<z.infer<typeof failoverRequest>>

export const eventsQuery = z.strictObject({
  after: z.coerce.number().int().min(0).default(0).describe('Only events with a greater id.'),
  limit: z.coerce.number().int().min(1).max(1000).default(100).describe('At most so many, the newest.'),
})
export type EventsQuery = Immutable<z.infer<typeof eventsQuery>>

// ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export const condition = z.strictObject({
  ok: z.boolean(),
  reasons: z.array(z.string()).describe('Why not; empty when ok.'),
})
/** Answer of /healthz and /readyz. */
export type Condition = Immutable<z.infer<typeof condition>>

export const memberDescription = z.strictObject({
  id: z.string().describe('host:port, its name everywhere.'),
  host: z.string(),
  port: z.int(),
  role: z.enum(['master', 'replica', 'unknown']),
  health: z.enum(['up', 'suspect', 'down', 'unknown']),
  excluded: z.string().nullable().describe('Why it serves no reads; null when it may.'),
  offset: offset.nullable().describe('Produced on a master, applied on a replica.'),
  lagBytes: z.number().nullable().describe('Bytes of the master it has not applied; null on a master or when unknown.'),
  lagMs: millis.nullable().describe('Age of the oldest write it has not applied; null on a master or when unknown.'),
  linkUp: z.boolean().nullable().describe('Whether it is connected to its master; null on a master.'),
  lastIoMs: millis.nullable().describe('How long ago it heard from its master; null on a master.'),
  syncInProgress: z.boolean(),
  masterId: z.string().nullable().describe('Whom it replicates from, by its own account.'),
  replid: z.string().nullable(),
  runId: z.string().nullable(),
  version: z.string().nullable(),
  zone: z.string().nullable(),
  priority: z.int().nullable(),
})
export type MemberDescription = Immutable<z.infer<typeof memberDescription>>

export const lastSwitch = z.strictObject({
  at: z.number().describe('Milliseconds since 1970.'),
  cause: z.string().describe('switchover, failover, or observed when somebody else did it.'),
  from: z.string().nullable(),
  to: z.string(),
  stallMs: millis.nullable().describe('The longest time a write waited.'),
})

export const groupDescription = z.strictObject({
  name: z.string(),
  masterEpoch: z.int().describe('Grows with every change of master.'),
  master: z.string().nullable(),
  diagnosis: z.string().describe('What is wrong, by name; ok when nothing is.'),
  writesPaused: z.boolean(),
  replid: z.string().nullable(),
  members: z.array(memberDescription),
  lastSwitch: lastSwitch.nullable(),
})
export type GroupDescription = Immutable<z.infer<typeof groupDescription>>

export const topologyDescription = z.strictObject({
  epoch: z.int().describe('Grows with every change of any kind.'),
  at: z.number().describe('When this was said, in milliseconds since 1970.'),
  workers: z.int(),
  groups: z.array(groupDescription),
})
export type TopologyDescription = Immutable<z.infer<typeof topologyDescription>>

const passedOver = z
  .array(z.strictObject({ id: z.string(), reason: z.string() }))
  .describe('Who was passed over, and why.')

export const switchReport = z.strictObject({
  group: z.string(),
  from: z.string().nullable(),
  to: z.string(),
  masterEpoch: z.int(),
  stallMs: millis.describe('The longest time a write waited.'),
  heldCommands: z.int().describe('Commands that waited.'),
  durationMs: millis.describe('From the request to the end.'),
  lostBytes: z
    .number()
    .nullable()
    .describe('Bytes of the stream that the new master never had; 0 after a switchover, null when nobody could tell.'),
  steps: z.array(z.strictObject({ step: z.string(), ms: millis })),
})
export type SwitchReport = Immutable<z.infer<typeof switchReport>>

export const switchPlan = z.strictObject({
  group: z.string(),
  from: z.string().nullable(),
  to: z.string(),
  because: z.string().describe('Why this candidate.'),
  passedOver,
  steps: z.array(z.string()),
})
export type SwitchPlan = Immutable<z.infer<typeof switchPlan>>

export const switchAnswer = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('done'), report: switchReport }),
  z.strictObject({ kind: z.literal('planned'), plan: switchPlan }),
])
export type SwitchAnswer = Immutable<z.infer<typeof switchAnswer>>

export const eventDescription = z.strictObject({
  id: z.int(),
  at: z.number().describe('Milliseconds since 1970.'),
  level: z.enum(['debug', 'info', 'warn', 'error']),
  name: z.string(),
  fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
})
export type EventDescription = Immutable<z.infer<typeof eventDescription>>

export const eventList = z.strictObject({
  events: z.array(eventDescription).describe('Oldest first.'),
  missed: z.boolean().describe('Whether events after `after` are gone already, or did not fit into `limit`.'),
})
export type EventList = Immutable<z.infer<typeof eventList>>

export const configDescription = z.strictObject({
  values: z.record(z.string(), z.unknown()).describe('By the path of the option; secrets are masked.'),
  origins: z.record(z.string(), z.string()).describe('File and line, variable or flag; defaults are not listed.'),
})
export type ConfigDescription = Immutable<z.infer<typeof configDescription>>

export const problem = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
  passedOver: passedOver.optional(),
})
export type Problem = Immutable<z.infer<typeof problem>>
