/**
 * What the admin API says and accepts. Requests are checked against these schemas, types are inferred from them, and
 * the OpenAPI description is generated from them: there is no second list of fields.
 *
 * Absent numbers are null, not missing: a reader can tell "unknown" from "never heard of".
 */
import { z } from 'zod'
import { parseAddress } from '../base/address.js'
import { consistencyLevels } from '../config/formats.js'

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

const reason = z
  .string()
  .max(200)
  .regex(/^[^\p{Cc}]*$/u, { error: 'must not contain control characters' })
  .optional()
  .describe('Why; it is written into the audit log.')

/** Changes that need nothing but the decision. */
export const plainRequest = z.strictObject({ reason })
export type PlainRequest = Immutable<z.infer<typeof plainRequest>>

/** `50ms`, `2s`: a time; `64kB`, `1MB`: bytes of the stream. The unit is required, as a bare number would be either. */
const lagBound = z
  .string()
  .regex(/^\d{1,12}(ms|s|b|kb|mb|gb)$/i, { error: 'must be a number with a unit: 50ms, 2s, 64kB, 1MB' })

export const balancerQuery = z.strictObject({
  node: address.optional().describe('Is it this instance? Without it: is there any?'),
  lag: lagBound.optional().describe('Only replicas no further behind: 50ms, 2s, 64kB, 1MB.'),
})
export type BalancerQuery = Immutable<z.infer<typeof balancerQuery>>

export const streamQuery = z.strictObject({
  intervalMs: z.coerce.number().int().min(50).max(60_000).default(1000).describe('As text/event-stream: how often.'),
})
export type StreamQuery = Immutable<z.infer<typeof streamQuery>>

const limit = (most: number, usual: number) =>
  z.coerce.number().int().min(1).max(most).default(usual).describe('At most so many.')

export const limitQuery = z.strictObject({ limit: limit(1000, 100) })
export type LimitQuery = Immutable<z.infer<typeof limitQuery>>

export const keysQuery = z.strictObject({ limit: limit(128, 20) })

export const explainRequest = z.strictObject({
  command: z.array(z.string()).min(1).max(1024).describe('The command as it would be sent: ["GET", "user:1"].'),
  level: z.enum(consistencyLevels).optional().describe('As a connection of this level; the default one when absent.'),
})
export type ExplainRequest = Immutable<z.infer<typeof explainRequest>>

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
  freshness: z
    .enum(['tap', 'poll'])
    .nullable()
    .describe('How we know what it has applied: pushed by a tap on its stream, or asked for; null on a master.'),
  untapped: z.string().nullable().describe('Why it is not tapped; null when it is, and on a master.'),
  linkUp: z.boolean().nullable().describe('Whether it is connected to its master; null on a master.'),
  lastIoMs: millis.nullable().describe('How long ago it heard from its master; null on a master.'),
  syncInProgress: z.boolean(),
  masterId: z.string().nullable().describe('Whom it replicates from, by its own account.'),
  replid: z.string().nullable(),
  runId: z.string().nullable(),
  version: z.string().nullable(),
  zone: z.string().nullable(),
  priority: z.int().nullable(),
  drained: z.boolean().describe('An operator has taken it out of reading.'),
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
  about: z.array(z.string()).describe('The instances that the diagnosis is about.'),
  diagnosisForMs: millis.describe('Since when it has been so.'),
  failover: z.enum(['on', 'off', 'paused']).describe('Whether a replica is promoted when the master is down.'),
  heldBackMs: millis.describe('A failover on silence alone has to wait so long, as there was one a moment ago.'),
  running: z
    .strictObject({ kind: z.string(), step: z.string(), forMs: millis })
    .nullable()
    .describe('The change of master that is in progress.'),
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

const unreadReplicas = z
  .array(z.string())
  .describe(
    'Replicas that could not be asked and may have confirmed writes the new master lacks: an operator forced it.',
  )

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
  unread: unreadReplicas,
  steps: z.array(z.strictObject({ step: z.string(), ms: millis })),
})
export type SwitchReport = Immutable<z.infer<typeof switchReport>>

export const switchPlan = z.strictObject({
  group: z.string(),
  from: z.string().nullable(),
  to: z.string(),
  because: z.string().describe('Why this candidate.'),
  lagBytes: z.number().nullable().describe('How far behind it is now.'),
  lagMs: millis.nullable(),
  expectedStallMs: millis.nullable().describe('What the last planned switch took; null before the first.'),
  stallMaxMs: millis.nullable().describe('A switch for which writes would wait longer is rolled back.'),
  clients: z
    .strictObject({
      transactions: z.int().describe('Between MULTI and EXEC: they are queued again at the new master.'),
      watching: z.int().describe('After WATCH: their EXEC will answer nil, as if a watched key had changed.'),
      subscribed: z.int().describe('They are subscribed again; what is published meanwhile is not heard.'),
      blocked: z.int().describe('They wait for data, and will wait on for the rest of their time.'),
      monitoring: z.int(),
      writesInFlight: z.int().describe('They are answered before the old master is demoted.'),
      held: z.int().describe('Commands that wait already.'),
    })
    .nullable()
    .describe('What is in the middle of something, in all workers that answered; null when none did.'),
  keysAtRisk: z
    .int()
    .nullable()
    .describe(
      'Keys written that it has not applied yet, at least: none is lost by a switch, all by the death of the master now. ' +
        'null: it may be any.',
    ),
  passedOver,
  steps: z.array(z.string()),
})
export type SwitchPlan = Immutable<z.infer<typeof switchPlan>>

export const switchAnswer = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('done'), report: switchReport }),
  z.strictObject({ kind: z.literal('planned'), plan: switchPlan }),
])
export type SwitchAnswer = Immutable<z.infer<typeof switchAnswer>>

export const historyEntry = z.strictObject({
  at: z.number().describe('When it began, in milliseconds since 1970.'),
  kind: z.string().describe('switchover or failover.'),
  cause: z.string().describe('operator, or the diagnosis that asked for it.'),
  result: z.string().describe('ok, rolled-back or failed.'),
  reason: z.string().nullable().describe('Why it did not succeed.'),
  from: z.string().nullable(),
  to: z.string().nullable(),
  masterEpoch: z.int(),
  stallMs: millis,
  durationMs: millis,
  heldCommands: z.int(),
  finalOffset: offset.nullable().describe('The last byte of the old master, when it could be asked.'),
  promotedOffset: offset.nullable().describe('The first byte of the new history.'),
  unread: unreadReplicas,
  lost: z
    .strictObject({
      sessions: z.int().describe('Connections that were acknowledged, or shown, what the new master does not have.'),
      clients: z
        .array(z.string())
        .describe('The first of them: their address, and the name of the client in parentheses if it has one.'),
      writes: z.int().nullable().describe('Writes the old master alone had, as it came back; null before.'),
      keys: z.int().nullable().describe('How many keys they were to.'),
      rescues: z.array(z.string()).describe('Under which ids those keys and writes are kept: see /api/v1/rescue.'),
    })
    .nullable()
    .describe('Acknowledged writes that were lost; null when nobody knows of any.'),
  steps: z.array(z.strictObject({ step: z.string(), ms: millis })),
})
export type HistoryEntry = Immutable<z.infer<typeof historyEntry>>

export const historyList = z.strictObject({ changes: z.array(historyEntry).describe('Newest first.') })
export type HistoryList = Immutable<z.infer<typeof historyList>>

export const instanceList = z.strictObject({ instances: z.array(memberDescription) })

export const sessionDescription = z.strictObject({
  id: z.string().describe('worker-number.'),
  address: z.string(),
  listener: z.string(),
  name: z.string(),
  user: z.string(),
  library: z.string(),
  db: z.int(),
  resp: z.int(),
  level: z.string(),
  ageSeconds: z.number(),
  idleSeconds: z.number(),
  lastCommand: z.string(),
  lastTo: z.string().describe('Where its last command went …'),
  lastBecause: z.string().describe('… and why.'),
  pinned: z
    .string()
    .nullable()
    .describe('Why it has a connection of its own: transaction, subscription, blocking, monitor.'),
  inFlight: z.int(),
  queuedBytes: z.number().describe('Replies that it has not read yet.'),
})
export type SessionDescription = Immutable<z.infer<typeof sessionDescription>>

export const sessionList = z.strictObject({
  sessions: z.array(sessionDescription),
  total: z.int().describe('All there are, in all workers.'),
})
export type SessionList = Immutable<z.infer<typeof sessionList>>

export const slowEntry = z.strictObject({
  at: z.number().describe('Milliseconds since 1970.'),
  ms: millis.describe('From sending it to an instance to its reply.'),
  heldMs: millis.describe('How long it was held before it was sent.'),
  command: z.array(z.string()).describe('Long arguments are cut; those of commands that carry secrets are left out.'),
  node: z.string(),
  client: z.string(),
})
export type SlowEntry = Immutable<z.infer<typeof slowEntry>>

export const slowLog = z.strictObject({ entries: z.array(slowEntry).describe('Newest first.') })
export type SlowLog = Immutable<z.infer<typeof slowLog>>

export const hotKeys = z.strictObject({
  sampledPer: z.int().describe('One in so many commands is looked at, so counts are multiplied by this.'),
  hot: z.array(
    z.strictObject({
      key: z.string(),
      perSecond: z.number().describe('Commands per second, an estimate.'),
      share: z.number().describe('Of all sampled commands, 0 to 1.'),
      errorShare: z.number().describe('It may be too high by so much.'),
    }),
  ),
  big: z.array(z.strictObject({ key: z.string(), bytes: z.number(), command: z.string() })),
})
export type HotKeys = Immutable<z.infer<typeof hotKeys>>

export const explanation = z.strictObject({
  command: z.string().describe('Its name in the table of commands.'),
  handling: z.string(),
  keys: z.array(z.string()),
  to: z.string().nullable().describe('Where it would go now; null when it would be kept.'),
  because: z.string(),
  level: z.string(),
  neededOffset: z.number().nullable().describe('What a replica must have applied; null when a write is in flight.'),
  candidates: z.array(
    z.strictObject({
      id: z.string(),
      usable: z.boolean(),
      applied: offset.nullable(),
      pending: z.int(),
      lagMs: millis.nullable(),
    }),
  ),
})
export type Explanation = Immutable<z.infer<typeof explanation>>

export const traffic = z.strictObject({
  at: z.number().describe('Milliseconds since 1970.'),
  clients: z.number(),
  inFlight: z.number(),
  held: z.number(),
  commands: z.strictObject({ master: z.number(), replica: z.number(), local: z.number() }).describe('Since the start.'),
  errors: z.number().describe('Error replies since the start.'),
  durations: z
    .strictObject({
      bounds: z.array(z.number()).describe('Upper bounds of the buckets in seconds.'),
      read: z.array(z.number()),
      write: z.array(z.number()),
    })
    .describe('Commands by how long they took, since the start.'),
})
export type Traffic = Immutable<z.infer<typeof traffic>>

export const acknowledgement = z.strictObject({ done: z.boolean(), detail: z.string() })
export type Acknowledgement = Immutable<z.infer<typeof acknowledgement>>

export const reloadReport = z.strictObject({
  changes: z.array(
    z.strictObject({ path: z.string(), from: z.unknown(), to: z.unknown(), effect: z.enum(['live', 'restart']) }),
  ),
})
export type ReloadReport = Immutable<z.infer<typeof reloadReport>>

export const optionList = z.strictObject({
  options: z.array(
    z.strictObject({
      path: z.string(),
      doc: z.string(),
      allowed: z.string(),
      default: z.unknown(),
      env: z.string().nullable(),
      flag: z.string().nullable(),
      reload: z.enum(['live', 'restart']),
      sensitive: z.boolean(),
    }),
  ),
})
export type OptionList = Immutable<z.infer<typeof optionList>>

export const ruleList = z.strictObject({
  rules: z
    .array(
      z.strictObject({
        appliesTo: z.string().describe('default, a listener, or whom and what a rule is about.'),
        level: z.string().nullable(),
        boundMs: millis.nullable(),
        readFrom: z.string().nullable().describe('master: reads are asked of it only.'),
        acks: z
          .string()
          .nullable()
          .describe('So many replicas, or the witness, must have a write before it is acknowledged.'),
        denied: z.boolean(),
      }),
    )
    .describe('The default, the listeners, then the rules in their order: the first that says something decides it.'),
  waitMs: millis.describe('How long a read waits for a replica that is about to be fresh.'),
})
export type RuleList = Immutable<z.infer<typeof ruleList>>

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
