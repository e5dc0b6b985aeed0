/**
 * The operator commands: status, switchover, failover, events. They talk to the admin API and nothing else, so that they
 * can do what a script can do, and no more. Exit codes: 0 done, 1 refused or not reachable, 2 bad usage.
 */
import type { EventDescription, Problem, SwitchAnswer, SwitchPlan, SwitchReport } from '../admin/model.js'
import { AdminClient, AdminRefused, AdminUnreachable } from './admin-client.js'
import type { Io } from './io.js'
import { prettyLine } from './log.js'
import { millis, topologyTable } from './tables.js'

export interface OperatorOptions {
  /** `host:port` of the admin API. */
  readonly admin: string
  readonly token: string | undefined
  /** One JSON document for scripts in place of text. */
  readonly json?: boolean
}

export interface SwitchoverOptions extends OperatorOptions {
  readonly to?: string
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly timeoutMs?: number
}

export interface FailoverOptions extends OperatorOptions {
  readonly to?: string
  readonly acceptDataLoss?: boolean
  readonly yes?: boolean
}

export interface EventsOptions extends OperatorOptions {
  readonly follow?: boolean
  readonly after: number
  readonly limit: number
}

export function status(io: Io, options: OperatorOptions): Promise<number> {
  return speak(io, options, async client => {
    const topology = await client.topology()
    io.out(options.json ? jsonText(topology) : topologyTable(topology, io.colour))
    return 0
  })
}

export function switchover(io: Io, options: SwitchoverOptions): Promise<number> {
  return speak(io, options, async client => {
    const request = { to: options.to, timeoutMs: options.timeoutMs ?? 5000 }
    // The plan is asked for in any case: it is what the question below is about, and it says early what cannot be done.
    const planned = await client.switchover({ ...request, dryRun: true })
    if (options.dryRun) {
      io.out(options.json ? jsonText(planned) : planText(planned))
      return 0
    }
    if (!options.json) io.out(topologyTable(await client.topology(), io.colour))
    const question = `Make ${targetOf(planned) ?? 'another instance'} the master?`
    if (!(await confirmed(io, options.yes, question))) return refuseUnconfirmed(io)
    const stop = options.json ? () => undefined : await showSteps(io, client)
    // Whoever was shown, even if another is the best by now.
    const to = targetOf(planned) ?? request.to
    const answer = await client.switchover({ ...request, to, dryRun: false }).finally(stop)
    return finish(io, options, client, answer)
  })
}

/** What is being done, as it is done; the returned function ends it. A stream that breaks only costs the view. */
async function showSteps(io: Io, client: AdminClient): Promise<() => void> {
  const controller = new AbortController()
  const onEvent = (event: EventDescription | 'gap'): void => {
    const step = event === 'gap' ? undefined : /^\+switchover-state-(.+)$/.exec(event.name)?.[1]
    if (step !== undefined) io.err(`  ${step} …\n`)
  }
  const { events: past } = await client.events(0, 1)
  client.follow(past.at(-1)?.id ?? 0, onEvent, controller.signal).catch(() => undefined)
  return () => controller.abort()
}

export function failover(io: Io, options: FailoverOptions): Promise<number> {
  return speak(io, options, async client => {
    if (!options.json) io.out(topologyTable(await client.topology(), io.colour))
    const loss = options.acceptDataLoss ? ', even if acknowledged writes are lost by it' : ''
    if (!(await confirmed(io, options.yes, `Promote ${options.to ?? 'the best replica'}${loss}?`))) {
      return refuseUnconfirmed(io)
    }
    const request = { to: options.to, acceptDataLoss: options.acceptDataLoss ?? false }
    return finish(io, options, client, await client.failover(request))
  })
}

export function events(io: Io, options: EventsOptions): Promise<number> {
  return speak(io, options, async client => {
    const show = (event: Parameters<typeof prettyLine>[0]): void =>
      io.out(options.json ? `${JSON.stringify(event)}\n` : `${prettyLine(event, io.colour)}\n`)
    const { events: past, missed } = await client.events(options.after, options.limit)
    if (missed && options.after > 0) io.err('(some events are gone, or did not fit into --limit)\n')
    for (const event of past) show(event)
    if (options.follow) await followEvents(io, client, past.at(-1)?.id ?? options.after, show)
    return 0
  })
}

/** Until interrupted; a lost connection is taken up again where it ended. */
async function followEvents(
  io: Io,
  client: AdminClient,
  from: number,
  show: (event: Parameters<typeof prettyLine>[0]) => void,
): Promise<void> {
  const signal = io.interrupted()
  let lastId = from
  let lost = false
  while (!signal.aborted) {
    try {
      await client.follow(
        lastId,
        event => {
          lost = false
          if (event === 'gap') return io.err('(some events are gone)\n')
          lastId = event.id
          show(event)
        },
        signal,
      )
    } catch (error) {
      if (error instanceof AdminRefused) throw error
    }
    if (signal.aborted) return
    if (!lost) io.err('(connection lost, trying again)\n')
    lost = true
    await pause(500, signal)
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
  })
}

async function finish(io: Io, options: OperatorOptions, client: AdminClient, answer: SwitchAnswer): Promise<number> {
  if (options.json) {
    io.out(jsonText(answer))
    return 0
  }
  io.out(answer.kind === 'done' ? reportText(answer.report) : planText(answer))
  io.out(topologyTable(await client.topology(), io.colour))
  return 0
}

/** Runs a command, and turns what the API refused or did not answer into one line and an exit code. */
export async function speak(
  io: Io,
  options: OperatorOptions,
  run: (client: AdminClient) => Promise<number>,
): Promise<number> {
  try {
    return await run(new AdminClient(options.admin, options.token))
  } catch (error) {
    if (error instanceof AdminRefused) {
      if (options.json) io.out(jsonText(error.problem))
      else io.err(`lagrange: ${problemText(error.problem)}\n`)
      return 1
    }
    if (error instanceof AdminUnreachable) {
      io.err(`lagrange: ${error.message}\n`)
      return 1
    }
    throw error
  }
}

async function confirmed(io: Io, yes: boolean | undefined, question: string): Promise<boolean | undefined> {
  if (yes) return true
  return io.interactive && /^y(es)?$/i.test((await io.ask(`${question} [y/N] `)).trim())
}

function refuseUnconfirmed(io: Io): number {
  if (io.interactive) {
    io.err('lagrange: nothing was changed\n')
    return 1
  }
  io.err('lagrange: there is nobody to ask here; say --yes\n')
  return 2
}

function targetOf(answer: SwitchAnswer): string | undefined {
  return answer.kind === 'planned' ? answer.plan.to : undefined
}

function lossText(lostBytes: number | null): string {
  if (lostBytes === null) return 'what the old master had not sent yet is lost; nobody could ask how much'
  return lostBytes === 0 ? 'nothing was lost' : `${lostBytes} bytes of the old master's stream are lost`
}

export function reportText(report: SwitchReport): string {
  const lost = lossText(report.lostBytes)
  const steps = report.steps.map(({ step, ms }) => `${step} ${millis(ms)}`).join(', ')
  return [
    `The master of ${report.group} is ${report.to}, it was ${report.from ?? 'nobody'} (epoch ${report.masterEpoch}).`,
    `Writes waited ${millis(report.stallMs)} ms at most (${report.heldCommands} commands); ${lost}.`,
    ...(report.unread.length === 0 ? [] : [`Could not be asked, and may have more: ${report.unread.join(', ')}.`]),
    `It took ${millis(report.durationMs)} ms${steps === '' ? '' : `: ${steps}`}.`,
    '',
  ].join('\n')
}

function planText(answer: SwitchAnswer): string {
  return answer.kind === 'done' ? reportText(answer.report) : describePlan(answer.plan)
}

function describePlan(plan: SwitchPlan): string {
  return [
    `Would make ${plan.to} the master of ${plan.group} in place of ${plan.from ?? 'nobody'} (${plan.because}).`,
    ...forecastText(plan),
    ...stakesText(plan),
    ...plan.passedOver.map(({ id, reason }) => `  passed over: ${id} (${reason})`),
    ...plan.steps.map((step, index) => `  ${index + 1}. ${step}`),
    '',
  ].join('\n')
}

function forecastText({ lagBytes, lagMs, keysAtRisk, expectedStallMs, stallMaxMs }: SwitchPlan): string[] {
  const keys = keysAtRisk === null ? 'nobody can tell which keys' : `${keysAtRisk} keys`
  const behind =
    lagBytes === null
      ? []
      : [`It is ${lagBytes} bytes${lagMs === null ? '' : ` and ${millis(lagMs)} ms`} behind (${keys}).`]
  const last = expectedStallMs === null ? '' : `Writes waited ${millis(expectedStallMs)} ms last time. `
  return stallMaxMs === null
    ? behind
    : [...behind, `${last}It is rolled back if they would wait ${millis(stallMaxMs)} ms.`]
}

/** Only what there is. */
function stakesText({ clients }: SwitchPlan): string[] {
  if (clients === null) return ['No worker could say what its clients are doing.']
  const said = [
    [clients.writesInFlight, 'writes in flight'],
    [clients.held, 'commands held'],
    [clients.transactions, 'clients in MULTI'],
    [clients.watching, 'in WATCH: their EXEC will answer nil'],
    [clients.blocked, 'blocked'],
    [clients.subscribed, 'subscribed'],
    [clients.monitoring, 'monitoring'],
  ] as const
  const found = said.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
  return [`In the middle of something: ${found.length === 0 ? 'nobody' : found.join(', ')}.`]
}

function problemText({ title, detail, reason, passedOver = [] }: Problem): string {
  const why = typeof reason === 'string' ? ` (${reason})` : ''
  const others = passedOver.map(({ id, reason }) => `; ${id}: ${reason}`).join('')
  return `${title}: ${detail}${why}${others}`
}

export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
