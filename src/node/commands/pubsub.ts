/**
 * Messages: subscribing, publishing, and asking who listens.
 */
import type { Bytes } from '../../base/units.js'
import { findCommand } from '../../command/table.js'
import type { Encoder } from '../../resp/encoder.js'
import type { NodeCommands, NodeHandler } from '../dispatch.js'
import type { Kind } from '../pubsub.js'
import { bulkArray, replyHelp } from './words.js'

export const pubsubCommands: NodeCommands = {
  subscribe: subscribing('channel'),
  psubscribe: subscribing('pattern'),
  ssubscribe: subscribing('shard'),
  unsubscribe: unsubscribing('channel'),
  punsubscribe: unsubscribing('pattern'),
  sunsubscribe: unsubscribing('shard'),

  publish(session, args, reply, server) {
    const receivers = server.pubsub.publish(args[1] as Bytes, args[2] as Bytes)
    server.effects.message(session.db, args)
    reply.integer(receivers)
  },
  spublish(session, args, reply, server) {
    const receivers = server.pubsub.publishShard(args[1] as Bytes, args[2] as Bytes)
    server.effects.message(session.db, args)
    reply.integer(receivers)
  },

  'pubsub|channels'(_session, args, reply, server) {
    bulkArray(reply, server.pubsub.names('channel', args[2]))
  },
  'pubsub|shardchannels'(_session, args, reply, server) {
    bulkArray(reply, server.pubsub.names('shard', args[2]))
  },
  'pubsub|numsub'(_session, args, reply, server) {
    counts(reply, args, name => server.pubsub.listenersOf('channel', name))
  },
  'pubsub|shardnumsub'(_session, args, reply, server) {
    counts(reply, args, name => server.pubsub.listenersOf('shard', name))
  },
  'pubsub|numpat'(_session, _args, reply, server) {
    reply.integer(server.pubsub.count('pattern'))
  },
  'pubsub|help'(_session, _args, reply) {
    const spec = findCommand('pubsub')
    if (spec !== undefined) replyHelp(spec, reply)
  },
}

function subscribing(kind: Kind): NodeHandler {
  return (session, args, _reply, server) => {
    for (const name of args.slice(1)) server.pubsub.subscribe(kind, session, name)
    session.refresh()
    server.clients.limitOutput(session)
  }
}

function unsubscribing(kind: Kind): NodeHandler {
  return (session, args, _reply, server) => {
    server.pubsub.unsubscribe(kind, session, args.slice(1))
    session.refresh()
    server.clients.limitOutput(session)
  }
}

function counts(reply: Encoder, args: readonly Bytes[], count: (name: Bytes) => number): void {
  reply.array((args.length - 2) * 2)
  for (const name of args.slice(2)) {
    reply.bulk(name)
    reply.integer(count(name))
  }
}
