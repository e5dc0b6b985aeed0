/**
 * Replication: who follows whom, and what replicas ask.
 */
import type { Bytes } from '../../base/units.js'
import { roleWord } from '../../replication/link.js'
import type { Encoder } from '../../resp/encoder.js'
import type { NodeCommands } from '../dispatch.js'
import type { NodeServer } from '../server.js'
import type { Session } from '../session.js'
import { lower, NOT_AN_INTEGER, readInteger, SYNTAX_ERROR } from './words.js'

export const replicationCommands: NodeCommands = {
  replicaof,
  slaveof: replicaof,

  replconf(session, args, _reply, server) {
    server.repl.replconf(session, args)
  },

  psync(session, args, reply, server) {
    const offset = readInteger(args[2])
    if (offset === undefined) {
      server.log.warning(`Replica ${server.repl.nameOf(session)} asks for synchronization but with a wrong offset`)
      return reply.error(NOT_AN_INTEGER)
    }
    server.repl.psync(session, { replid: args[1] as Bytes, offset, failover: lower(args[3]) === 'failover' })
  },

  sync(session, _args, _reply, server) {
    server.repl.psync(session, undefined)
  },

  role(_session, _args, reply, server) {
    replyRole(server, reply)
  },

  wait(session, args, reply, server) {
    if (server.role === 'replica') {
      return reply.error(
        'ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.',
      )
    }
    const replicas = readInteger(args[1])
    if (replicas === undefined) return reply.error(NOT_AN_INTEGER)
    const timeoutMs = readInteger(args[2])
    if (timeoutMs === undefined) return reply.error('ERR timeout is not an integer or out of range')
    if (timeoutMs < 0) return reply.error('ERR timeout is negative')
    const acked = server.repl.replicas.countAcked(session.writeOffset)
    if (acked >= replicas || !session.mayBlock) return reply.integer(acked)
    server.acks.park(session, replicas, timeoutMs)
  },

  failover(_session, args, reply, server) {
    let to: { host: string; port: number } | undefined
    let timeoutMs = 0
    let force = false
    let abort = false
    for (let at = 1; at < args.length; at++) {
      const word = lower(args[at])
      if (word === 'to' && at + 2 < args.length && to === undefined) {
        const port = readInteger(args[at + 2])
        if (port === undefined) return reply.error(NOT_AN_INTEGER)
        to = { host: args[at + 1] as Bytes, port }
        at += 2
      } else if (word === 'timeout' && at + 1 < args.length && timeoutMs === 0) {
        const value = readInteger(args[++at])
        if (value === undefined) return reply.error(NOT_AN_INTEGER)
        if (value <= 0) return reply.error('ERR FAILOVER timeout must be greater than 0')
        timeoutMs = value
      } else if (word === 'force' && !force) force = true
      else if (word === 'abort' && args.length === 2) abort = true
      else return reply.error(SYNTAX_ERROR)
    }
    if (abort) {
      if (!server.failover.abort('Failover manually aborted')) return reply.error('ERR No failover in progress.')
      return reply.ok()
    }
    const refusal = server.failover.begin({ to, timeoutMs, force })
    if (refusal === undefined) reply.ok()
    else reply.error(refusal)
  },
}

function replicaof(session: Session, args: readonly Bytes[], reply: Encoder, server: NodeServer): void {
  if (server.failover.state !== 'no-failover') {
    return reply.error('ERR REPLICAOF not allowed while failing over.')
  }
  if (lower(args[1]) === 'no' && lower(args[2]) === 'one') {
    if (server.follower !== undefined) {
      server.log.notice(`MASTER MODE enabled (user request from '${server.clients.describe(session)}')`)
      server.promote()
    }
    server.unfence()
    return reply.ok()
  }
  // A replica cannot ask its master to follow somebody.
  if (session.type === 'replica') return reply.error('ERR Command is not valid when client is a replica.')
  const port = readInteger(args[2])
  if (port === undefined || port < 0 || port > 65535) return reply.error('ERR Invalid master port')
  const present = server.follower?.master
  if (present?.host === args[1] && present?.port === port) {
    return reply.simple('OK Already connected to specified master')
  }
  server.log.notice(`REPLICAOF ${args[1]}:${port} enabled (user request from '${server.clients.describe(session)}')`)
  server.follow({ host: args[1] as Bytes, port }, server.repl.log.backlog !== undefined)
  reply.ok()
}

function replyRole(server: NodeServer, reply: Encoder): void {
  const { follower, repl } = server
  if (follower !== undefined) {
    reply.array(5)
    reply.bulk('slave')
    reply.bulk(follower.master.host)
    reply.integer(follower.master.port)
    const word = roleWord(follower.link)
    reply.bulk(word === 'connecting' && follower.link.status === 'handshake' ? 'handshake' : word)
    reply.integer(follower.connected ? repl.log.offset : -1)
    return
  }
  const online = repl.list().filter(replica => replica.state === 'online')
  reply.array(3)
  reply.bulk('master')
  reply.integer(repl.log.offset)
  reply.array(online.length)
  for (const { id, profile, ackOffset } of online) {
    const session = repl.sessionOf(id)
    reply.array(3)
    reply.bulk(profile.ipAddress ?? session?.peer.remoteHost.replace(/^::ffff:/, '') ?? '')
    reply.bulk(String(profile.listeningPort))
    reply.bulk(String(ackOffset))
  }
}
