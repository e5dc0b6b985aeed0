/**
 * Operator commands that look: why, sessions, slowlog, keys, history, config; and the small changes that need no report:
 * drain, ready, pause, resume. As the others they ask the admin API and nothing else.
 */
import {
  acknowledgement,
  configDescription,
  type Explanation,
  explanation,
  type HistoryList,
  historyList,
  hotKeys,
  memberDescription,
  reloadReport,
  sessionList,
  slowLog,
} from '../admin/model.js'
import type { Io } from './io.js'
import { jsonText, type OperatorOptions, speak } from './operator.js'
import { millis, plainTable, topologyTable } from './tables.js'

export interface LimitOptions extends OperatorOptions {
  readonly limit: number
}

export interface WhyOptions extends OperatorOptions {
  readonly level?: string
}

export interface ReasonOptions extends OperatorOptions {
  readonly reason?: string
}

/** Where a command would go now, and why. */
export function why(io: Io, options: WhyOptions, command: readonly string[]): Promise<number> {
  return speak(io, options, async client => {
    const asked = { command, ...(options.level !== undefined && { level: options.level }) }
    const answer = await client.send('/api/v1/explain', asked, explanation)
    io.out(options.json ? jsonText(answer) : explanationText(answer))
    return 0
  })
}

function explanationText(answer: Explanation): string {
  const { command, keys, to, because, level, neededOffset, candidates } = answer
  const place = to ?? 'nowhere yet: it would be kept'
  const head = `${command}${keys.length === 0 ? '' : ` ${keys.join(' ')}`} -> ${place} (${because})\n`
  if (answer.handling !== 'read') return head
  const need =
    neededOffset === null ? 'a write to its keys is in flight' : `a replica must have applied offset ${neededOffset}`
  const rows = candidates.map(one => [
    one.id,
    one.usable ? 'yes' : 'no',
    String(one.applied ?? ''),
    one.applied !== null && neededOffset !== null && one.applied >= neededOffset ? 'yes' : 'no',
    millis(one.lagMs),
    String(one.pending),
  ])
  return `${head}Level ${level}: ${need}.\n${plainTable(['Replica', 'Usable', 'Applied', 'Enough', 'Lag ms', 'Pending'], rows)}\n`
}

export function sessions(io: Io, options: LimitOptions & { readonly close?: string }): Promise<number> {
  return speak(io, options, async client => {
    if (options.close !== undefined) {
      const path = `/api/v1/sessions/${encodeURIComponent(options.close)}`
      const answer = await client.send(path, undefined, acknowledgement, 'DELETE')
      io.out(options.json ? jsonText(answer) : `${answer.detail}\n`)
      return 0
    }
    const list = await client.read(`/api/v1/sessions?limit=${options.limit}`, sessionList)
    if (options.json) io.out(jsonText(list))
    else {
      const heads = ['Id', 'Client', 'Name', 'Level', 'Db', 'Last', 'Went to', 'Because', 'Own', 'Idle s']
      const rows = list.sessions.map(one => [
        one.id,
        one.address,
        one.name,
        one.level,
        String(one.db),
        one.lastCommand,
        one.lastTo,
        one.lastBecause,
        one.pinned ?? '',
        String(one.idleSeconds),
      ])
      io.out(`${plainTable(heads, rows)}\n${list.sessions.length} of ${list.total} sessions\n`)
    }
    return 0
  })
}

export function slowlog(io: Io, options: LimitOptions & { readonly reset?: boolean }): Promise<number> {
  return speak(io, options, async client => {
    if (options.reset) {
      const answer = await client.send('/api/v1/slowlog', undefined, acknowledgement, 'DELETE')
      io.out(options.json ? jsonText(answer) : `${answer.detail}\n`)
      return 0
    }
    const log = await client.read(`/api/v1/slowlog?limit=${options.limit}`, slowLog)
    if (options.json) io.out(jsonText(log))
    else {
      const rows = log.entries.map(one => [
        new Date(one.at).toISOString(),
        millis(one.ms),
        one.heldMs === 0 ? '' : millis(one.heldMs),
        one.node,
        one.client,
        cut(one.command.join(' '), 80),
      ])
      io.out(`${plainTable(['Time', 'ms', 'Held ms', 'Instance', 'Client', 'Command'], rows)}\n`)
    }
    return 0
  })
}

export function keys(io: Io, options: LimitOptions): Promise<number> {
  return speak(io, options, async client => {
    const found = await client.read(`/api/v1/keys?limit=${options.limit}`, hotKeys)
    if (options.json) io.out(jsonText(found))
    else {
      const hot = found.hot.map(one => [cut(one.key, 60), `${(100 * one.share).toFixed(1)} %`, String(one.perSecond)])
      const big = found.big.map(one => [cut(one.key, 60), String(one.bytes), one.command])
      io.out(`${plainTable(['Hot key', 'Share', 'Per second'], hot)}\n`)
      if (big.length > 0) io.out(`${plainTable(['Big key', 'Bytes', 'Command'], big)}\n`)
    }
    return 0
  })
}

export function history(io: Io, options: OperatorOptions): Promise<number> {
  return speak(io, options, async client => {
    const list = await client.read('/api/v1/history', historyList)
    if (options.json) io.out(jsonText(list))
    else {
      const rows = list.changes.map(one => [
        new Date(one.at).toISOString(),
        one.kind,
        one.cause,
        one.reason === null ? one.result : `${one.result}: ${one.reason}`,
        one.from ?? '',
        one.to ?? '',
        millis(one.stallMs),
        String(one.masterEpoch),
      ])
      io.out(`${plainTable(['Time', 'What', 'Because', 'Result', 'From', 'To', 'Stall ms', 'Epoch'], rows)}\n`)
      for (const line of list.changes.flatMap(lostText)) io.out(`${line}\n`)
    }
    return 0
  })
}

/** One change's losses; nothing when there are none. */
function lostText({ at, unread, lost }: HistoryList['changes'][number]): string[] {
  const when = new Date(at).toISOString()
  const said = unread.length === 0 ? [] : [`${when}: could not be asked, and may have more: ${unread.join(', ')}`]
  if (lost === null) return said
  const { sessions, clients, writes, keys, rescues } = lost
  const more = sessions > clients.length ? ` and ${sessions - clients.length} more` : ''
  const whose = sessions === 0 ? [] : [`${when}: ${sessions} clients lost what they had: ${clients.join(', ')}${more}`]
  const saved =
    rescues.length === 0 ? [] : [`${when}: ${writes} writes to ${keys} keys were saved: ${rescues.join(', ')}`]
  return [...said, ...whose, ...saved]
}

export function showConfig(io: Io, options: OperatorOptions): Promise<number> {
  return speak(io, options, async client => {
    const config = await client.read('/api/v1/config', configDescription)
    if (options.json) io.out(jsonText(config))
    else {
      const rows = Object.entries(config.values).map(([path, value]) => [
        path,
        cut(typeof value === 'string' ? value : JSON.stringify(value), 60),
        config.origins[path] ?? 'default',
      ])
      io.out(`${plainTable(['Option', 'Value', 'From'], rows)}\n`)
    }
    return 0
  })
}

export function reload(io: Io, options: OperatorOptions): Promise<number> {
  return speak(io, options, async client => {
    const report = await client.send('/api/v1/config/reload', {}, reloadReport)
    if (options.json) io.out(jsonText(report))
    else if (report.changes.length === 0) io.out('Nothing has changed.\n')
    for (const { path, effect } of options.json ? [] : report.changes) {
      io.out(`${path}: ${effect === 'live' ? 'taken over' : 'waits for a restart'}\n`)
    }
    return 0
  })
}

/** Out of reading, or back. */
export function drain(io: Io, options: ReasonOptions, id: string, drained: boolean): Promise<number> {
  return speak(io, options, async client => {
    const path = `/api/v1/instances/${encodeURIComponent(id)}/${drained ? 'drain' : 'ready'}`
    const member = await client.send(path, reasonOf(options), memberDescription)
    io.out(options.json ? jsonText(member) : topologyTable(await client.topology(), io.colour))
    return 0
  })
}

/** No failover and no repair by itself, or again. */
export function pause(io: Io, options: ReasonOptions, paused: boolean): Promise<number> {
  return speak(io, options, async client => {
    const answer = await client.send(paused ? '/api/v1/pause' : '/api/v1/resume', reasonOf(options), acknowledgement)
    io.out(options.json ? jsonText(answer) : `${answer.detail}\n`)
    return 0
  })
}

/** New workers in the place of those that serve. */
export function restartWorkers(io: Io, options: ReasonOptions): Promise<number> {
  return speak(io, options, async client => {
    const answer = await client.restartWorkers(reasonOf(options))
    io.out(options.json ? jsonText(answer) : `${answer.detail}\n`)
    return 0
  })
}

function reasonOf({ reason }: ReasonOptions): object {
  return reason === undefined ? {} : { reason }
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}
