/** The admin API from its other side, for the operator commands. */
import type { z } from 'zod'
import {
  acknowledgement,
  type EventDescription,
  type EventList,
  eventDescription,
  eventList,
  type FailoverRequest,
  type Problem,
  problem,
  type SwitchAnswer,
  type SwitchoverRequest,
  switchAnswer,
  type TopologyDescription,
  topologyDescription,
} from '../admin/model.js'
import {
  type ApplyReport,
  type ApplyRequest,
  applyReport,
  type RescueDetail,
  rescueDetail,
  rescueList,
} from '../admin/rescue-model.js'
import type { Millis } from '../base/units.js'

/** Nobody answers, or not what we expected; the message is for a person. */
export class AdminUnreachable extends Error {}

/** The API refused. */
export class AdminRefused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail)
  }
}

const READ_TIMEOUT_MS = 10_000
/** A switch is bounded by the API itself; this is what we add for the way. */
const SWITCH_MARGIN_MS = 10_000
const FAILOVER_TIMEOUT_MS = 120_000

export class AdminClient {
  readonly #headers: Readonly<Record<string, string>>

  constructor(
    /** `host:port` */
    private readonly address: string,
    token: string | undefined,
  ) {
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  }

  /** What GET answers. */
  read<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    return this.#get(path, schema)
  }

  /** What a change or a question with a body answers. */
  send<T>(
    path: string,
    body: object | undefined,
    schema: z.ZodType<T>,
    method: 'POST' | 'DELETE' = 'POST',
  ): Promise<T> {
    return this.#post(path, body, READ_TIMEOUT_MS, schema, method)
  }

  /** Each worker may take a while to let its clients go. */
  restartWorkers(body: object): Promise<z.infer<typeof acknowledgement>> {
    return this.#post('/api/v1/workers/restart', body, FAILOVER_TIMEOUT_MS, acknowledgement)
  }

  topology(): Promise<TopologyDescription> {
    return this.#get('/api/v1/topology', topologyDescription)
  }

  events(after: number, limit: number): Promise<EventList> {
    return this.#get(`/api/v1/events?after=${after}&limit=${limit}`, eventList)
  }

  switchover(request: SwitchoverRequest): Promise<SwitchAnswer> {
    return this.#post('/api/v1/switchover', request, request.timeoutMs + SWITCH_MARGIN_MS, switchAnswer)
  }

  failover(request: FailoverRequest): Promise<SwitchAnswer> {
    return this.#post('/api/v1/failover', request, FAILOVER_TIMEOUT_MS, switchAnswer)
  }

  rescues(): Promise<z.infer<typeof rescueList>> {
    return this.#get('/api/v1/rescue', rescueList)
  }

  rescue(id: string): Promise<RescueDetail> {
    return this.#get(`/api/v1/rescue/${encodeURIComponent(id)}`, rescueDetail)
  }

  applyRescue(id: string, request: ApplyRequest): Promise<ApplyReport> {
    return this.#post(`/api/v1/rescue/${encodeURIComponent(id)}/apply`, request, FAILOVER_TIMEOUT_MS, applyReport)
  }

  /** Calls `listener` with what happens after `lastId` until the connection ends or `signal` fires. */
  async follow(
    lastId: number,
    listener: (event: EventDescription | 'gap') => void,
    signal: AbortSignal,
  ): Promise<void> {
    const headers = { ...this.#headers, accept: 'text/event-stream', 'last-event-id': String(lastId) }
    const response = await this.#fetch('/api/v1/events', { headers, signal })
    if (!response.ok || response.body === null) throw await this.#refusal(response)
    let rest = ''
    try {
      for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        const blocks = (rest + chunk).split('\n\n')
        rest = blocks.pop() ?? ''
        for (const block of blocks) readBlock(block, listener)
      }
    } catch (error) {
      if (!signal.aborted) throw new AdminUnreachable(`${this.address}: the stream ended: ${(error as Error).message}`)
    }
  }

  async #get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    const response = await this.#fetch(path, { headers: this.#headers, signal: AbortSignal.timeout(READ_TIMEOUT_MS) })
    return this.#read(response, schema)
  }

  async #post<T>(
    path: string,
    body: object | undefined,
    timeoutMs: Millis,
    schema: z.ZodType<T>,
    method: 'POST' | 'DELETE' = 'POST',
  ): Promise<T> {
    const json: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
    const response = await this.#fetch(path, {
      method,
      headers: { ...this.#headers, ...json },
      signal: AbortSignal.timeout(timeoutMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return this.#read(response, schema)
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(`http://${this.address}${path}`, init)
    } catch (error) {
      const { name, message, cause } = error as Error & { cause?: { code?: string } }
      const why = name === 'TimeoutError' ? 'no answer in time' : (cause?.code ?? message)
      throw new AdminUnreachable(`nobody answers at ${this.address} (${why}); is lagrange running there? See --admin.`)
    }
  }

  async #read<T>(response: Response, schema: z.ZodType<T>): Promise<T> {
    if (!response.ok) throw await this.#refusal(response)
    const checked = schema.safeParse(await response.json().catch(() => undefined))
    if (checked.success) return checked.data
    throw new AdminUnreachable(`${this.address} answers, but not as the admin API of this version of lagrange does`)
  }

  async #refusal(response: Response): Promise<Error> {
    const checked = problem.safeParse(await response.json().catch(() => undefined))
    if (checked.success) return new AdminRefused(checked.data)
    return new AdminUnreachable(`${this.address} answers with status ${response.status}, but is not an admin API`)
  }
}

/** One block of an event stream; comments are of no interest. */
function readBlock(block: string, listener: (event: EventDescription | 'gap') => void): void {
  if (block.startsWith('event: gap')) return listener('gap')
  const data = /^data: (.*)$/m.exec(block)?.[1]
  if (data === undefined) return
  const checked = eventDescription.safeParse(JSON.parse(data))
  if (checked.success) listener(checked.data)
}
