/**
 * INFO through the proxy: what the master says of itself, and a section about us. Who is connected are the clients of the
 * proxy, as CLIENT LIST has them: the master sees a few connections of ours. Those whom CLIENT PAUSE lets wait are blocked,
 * as in Redis.
 */

import { decodeFrame } from '../resp/decoder.js'
import { Encoder } from '../resp/encoder.js'
import { textOf } from '../resp/protocol.js'
import type { Session } from './session.js'

/** The master's reply with our section behind it; errors as they are. */
export function withProxySection(session: Session, buffer: Buffer, start: number, end: number): Buffer {
  const text = textOf(decodeFrame(buffer, start, end))
  if (text === undefined) return Buffer.from(buffer.subarray(start, end))
  const encoder = new Encoder(session.resp, text.length + 1024)
  const [, masterClients] = CONNECTED.exec(text) ?? []
  const { sessions, pause } = session.hub
  const told = text
    .replace(CONNECTED, `connected_clients:${sessions.size}`)
    .replace(BLOCKED, (_line, blocked: string) => `blocked_clients:${Number(blocked) + pause.count}`)
  const section = proxySection(session, masterClients)
  encoder.verbatim('txt', `${told}${told === '' || told.endsWith('\r\n') ? '' : '\r\n'}\r\n${section}`)
  return encoder.take()
}

const BLOCKED = /^blocked_clients:(\d+)$/m
const CONNECTED = /^connected_clients:(\d+)$/m

export function proxySection(session: Session, masterClients?: string): string {
  const { hub, group } = session
  const { master, replicas, view, marks } = group
  const lines = [
    '# Proxy',
    `proxy_group:${group.name}`,
    `proxy_clients:${hub.sessions.size}`,
    ...(masterClients === undefined ? [] : [`proxy_master_connected_clients:${masterClients}`]),
    `proxy_master:${master?.id ?? ''}`,
    `proxy_master_epoch:${view.masterEpoch}`,
    `proxy_replid:${group.replid ?? ''}`,
    `proxy_head_offset:${group.head}`,
    `proxy_replicas:${replicas.length}`,
    `proxy_level:${session.rules.level}`,
    `proxy_freshness_pace:${group.urgency.pace}`,
    `proxy_paused:${hub.pause.mode ?? 'no'}`,
    `proxy_held_commands:${group.keptCommands}`,
    `proxy_writes_in_flight:${marks.inFlight}`,
  ]
  for (const [index, replica] of replicas.entries()) {
    const state = replica.usable ? 'online' : (replica.view.excluded ?? 'resting')
    lines.push(
      `proxy_replica${index}:id=${replica.id},state=${state},applied=${replica.applied},lag_ms=${replica.lagMs ?? -1}`,
    )
  }
  return `${lines.join('\r\n')}\r\n`
}
