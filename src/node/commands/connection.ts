/**
 * Commands about the connection itself: who it is, which protocol and database, and the CLIENT family about all of them.
 */
import { formatAddress } from '../../base/address.js'
import type { Bytes } from '../../base/units.js'
import { findCommand } from '../../command/table.js'
import type { Encoder } from '../../resp/encoder.js'
import type { ClientFilter, ClientType } from '../clients.js'
import type { NodeCommands } from '../dispatch.js'
import type { NodeServer } from '../server.js'
import type { Session } from '../session.js'
import { lower, NOT_AN_INTEGER, readInteger, replyHelp, SYNTAX_ERROR } from './words.js'

const INT_MAX = 2147483647
const NOT_AN_INT = `ERR value is out of range, value must between -${INT_MAX + 1} and ${INT_MAX}`

export const connectionCommands: NodeCommands = {
  ping(session, args, reply) {
    if (args.length > 2) return reply.error("ERR wrong number of arguments for 'ping' command")
    if (reply.resp === 2 && session.subscriptionCount > 0) {
      reply.array(2)
      reply.bulk('pong')
      return reply.bulk(args[1] ?? '')
    }
    if (args[1] === undefined) reply.simple('PONG')
    else reply.bulk(args[1])
  },

  echo(_session, args, reply) {
    reply.bulk(args[1] as Bytes)
  },

  select(session, args, reply, server) {
    const index = readInteger(args[1])
    if (index === undefined) return reply.error(NOT_AN_INTEGER)
    if (index > INT_MAX || index < -INT_MAX - 1) return reply.error(NOT_AN_INT)
    if (index < 0 || index >= server.engine.databases.length) return reply.error('ERR DB index is out of range')
    session.db = index
    reply.ok()
  },

  quit(session, _args, reply) {
    reply.ok()
    session.close()
  },

  auth(session, args, reply, server) {
    if (args.length > 3) return reply.error(SYNTAX_ERROR)
    const [user, password] = args.length === 3 ? [args[1] as Bytes, args[2] as Bytes] : ['default', args[1] as Bytes]
    if (args.length === 2 && server.acl.find('default')?.nopass === true) {
      return reply.error(
        'ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?',
      )
    }
    if (!server.acl.authenticate(session, user, password, args[0] as Bytes)) return reply.error(WRONG_PASSWORD)
    logIn(session, user)
    reply.ok()
  },

  hello,

  reset(session, _args, reply, server) {
    if (session.replica !== undefined) return reply.error('ERR can only reset normal client connections')
    server.discardTransaction(session)
    server.pubsub.forget(session)
    server.monitors.delete(session)
    server.tracking.disable(session)
    session.hearsInvalidations = false
    session.monitoring = false
    session.db = 0
    session.name = ''
    session.user = 'default'
    session.noEvict = false
    session.authenticated = server.acl.open
    session.replyMode = 'on'
    reply.resp = 2
    session.limitsChanged()
    session.refresh()
    server.clients.limitOutput(session)
    reply.simple('RESET')
  },

  'client|id'(session, _args, reply) {
    reply.integer(session.id)
  },
  'client|info'(session, _args, reply, server) {
    reply.verbatim('txt', `${server.clients.describe(session)}\n`)
  },
  'client|list': clientList,
  'client|kill': clientKill,
  'client|getname'(session, _args, reply) {
    if (session.name === '') reply.null()
    else reply.bulk(session.name)
  },
  'client|setname'(session, args, reply) {
    if (!isName(args[2] as Bytes)) return reply.error(BAD_NAME)
    session.name = args[2] as Bytes
    reply.ok()
  },
  'client|pause'(_session, args, reply, server) {
    const mode = args[3] === undefined ? 'all' : lower(args[3])
    if (args.length > 4) return reply.error(SYNTAX_ERROR)
    if (mode !== 'write' && mode !== 'all') return reply.error('ERR CLIENT PAUSE mode must be WRITE or ALL')
    const milliseconds = readInteger(args[2])
    if (milliseconds === undefined) return reply.error('ERR timeout is not an integer or out of range')
    if (milliseconds < 0) return reply.error('ERR timeout is negative')
    reply.ok()
    server.pause.begin('client', mode, server.clock.now() + milliseconds)
  },
  'client|unpause'(_session, _args, reply, server) {
    reply.ok()
    server.pause.end('client')
  },
  'client|reply'(session, args, reply) {
    const mode = lower(args[2])
    if (mode !== 'on' && mode !== 'off' && mode !== 'skip') return reply.error(SYNTAX_ERROR)
    if (mode === 'skip') {
      // The next command's reply is dropped; this one has none either.
      if (session.replyMode === 'on') session.replyMode = 'skip-next'
    } else session.replyMode = mode
    session.refresh()
    if (mode === 'on') reply.ok()
  },
  'client|unblock'(_session, args, reply, server) {
    const reason = args[3] === undefined ? 'timeout' : lower(args[3])
    if (reason !== 'timeout' && reason !== 'error') {
      return reply.error('ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR')
    }
    const id = readInteger(args[2])
    if (id === undefined) return reply.error(NOT_AN_INTEGER)
    const target = server.clients.find(id)
    if (target?.parked?.on !== 'keys' && target?.parked?.on !== 'acks') return reply.integer(0)
    if (reason === 'error') server.unblock(target, 'UNBLOCKED client unblocked via CLIENT UNBLOCK')
    else server.unblock(target, undefined)
    reply.integer(1)
  },
  'client|no-evict'(session, args, reply) {
    const mode = lower(args[2])
    if (mode !== 'on' && mode !== 'off') return reply.error(SYNTAX_ERROR)
    session.noEvict = mode === 'on'
    reply.ok()
  },
  'client|help'(_session, _args, reply) {
    const spec = findCommand('client')
    if (spec !== undefined) replyHelp(spec, reply)
  },
}

const WRONG_PASSWORD = 'WRONGPASS invalid username-password pair or user is disabled.'
const BAD_NAME = 'ERR Client names cannot contain spaces, newlines or special characters.'

function isName(text: Bytes): boolean {
  return /^[!-~]*$/.test(text)
}

function logIn(session: Session, user: Bytes): void {
  session.user = user
  session.authenticated = true
  session.limitsChanged()
  session.refresh()
}

/** HELLO [version [AUTH user password] [SETNAME name]]. Nothing is changed unless all of it is right. */
function hello(session: Session, args: readonly Bytes[], reply: Encoder, server: NodeServer): void {
  let version: number | undefined
  if (args[1] !== undefined) {
    version = readInteger(args[1])
    if (version === undefined) return reply.error('ERR Protocol version is not an integer or out of range')
    if (version < 2 || version > 3) return reply.error('NOPROTO unsupported protocol version')
  }
  let login: { readonly user: Bytes; readonly password: Bytes } | undefined
  let name: Bytes | undefined
  for (let at = 2; at < args.length; ) {
    const option = lower(args[at])
    if (option === 'auth' && at + 2 < args.length) {
      login = { user: args[at + 1] as Bytes, password: args[at + 2] as Bytes }
      at += 3
    } else if (option === 'setname' && at + 1 < args.length) {
      name = args[at + 1] as Bytes
      if (!isName(name)) return reply.error(BAD_NAME)
      at += 2
    } else return reply.error(`ERR Syntax error in HELLO option '${args[at]}'`)
  }
  if (login !== undefined) {
    if (!server.acl.authenticate(session, login.user, login.password, args[0] as Bytes)) {
      return reply.error(WRONG_PASSWORD)
    }
    logIn(session, login.user)
  }
  if (!session.authenticated) {
    return reply.error(
      'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time',
    )
  }
  if (name !== undefined) session.name = name
  if (version !== undefined) reply.resp = version as 2 | 3
  reply.map(server.mode === undefined ? 7 : 6)
  reply.bulk('server')
  reply.bulk('redis')
  reply.bulk('version')
  reply.bulk(server.version)
  reply.bulk('proto')
  reply.integer(reply.resp)
  reply.bulk('id')
  reply.integer(session.id)
  reply.bulk('mode')
  reply.bulk(server.mode?.name ?? 'standalone')
  if (server.mode === undefined) {
    reply.bulk('role')
    reply.bulk(server.role)
  }
  reply.bulk('modules')
  reply.array(0)
}

function clientTypeOf(word: Bytes | undefined): ClientType | undefined {
  const type = lower(word)
  if (type === 'slave') return 'replica'
  return type === 'normal' || type === 'replica' || type === 'pubsub' || type === 'master' ? type : undefined
}

function clientList(_session: Session, args: readonly Bytes[], reply: Encoder, server: NodeServer): void {
  const { clients } = server
  let listed: Session[]
  if (args.length === 2) listed = clients.matching({})
  else if (args.length === 4 && lower(args[2]) === 'type') {
    const type = clientTypeOf(args[3])
    if (type === undefined) return reply.error(`ERR Unknown client type '${args[3]}'`)
    listed = clients.matching({ type })
  } else if (args.length > 3 && lower(args[2]) === 'id') {
    const ids = args.slice(3).map(readInteger)
    if (ids.some(id => id === undefined)) return reply.error('ERR Invalid client ID')
    listed = ids.map(id => clients.find(id as number)).filter(found => found !== undefined)
  } else return reply.error(SYNTAX_ERROR)
  reply.verbatim('txt', listed.map(session => `${clients.describe(session)}\n`).join(''))
}

function clientKill(session: Session, args: readonly Bytes[], reply: Encoder, server: NodeServer): void {
  const old = args.length === 3
  const filter: ClientFilter = {}
  let skipMe = !old
  if (old) filter.address = args[2] as Bytes
  else if (args.length % 2 !== 0) return reply.error(SYNTAX_ERROR)
  for (let at = 2; !old && at < args.length; at += 2) {
    const value = args[at + 1] as Bytes
    switch (lower(args[at])) {
      case 'id': {
        const id = readInteger(value)
        if (id === undefined || id < 1) return reply.error('ERR client-id should be greater than 0')
        filter.id = id
        break
      }
      case 'addr':
        filter.address = value
        break
      case 'laddr':
        filter.localAddress = value
        break
      case 'type': {
        const type = clientTypeOf(value)
        if (type === undefined) return reply.error(`ERR Unknown client type '${value}'`)
        filter.type = type
        break
      }
      case 'user':
        if (server.acl.find(value) === undefined) return reply.error(`ERR No such user '${value}'`)
        filter.user = value
        break
      case 'skipme':
        if (!/^(yes|no)$/i.test(value)) return reply.error(SYNTAX_ERROR)
        skipMe = /^yes$/i.test(value)
        break
      default:
        return reply.error(SYNTAX_ERROR)
    }
  }
  let killed = 0
  for (const victim of server.clients.matching(filter)) {
    if (victim === session && skipMe) continue
    killed++
    // The reply of a client that kills itself still leaves.
    if (victim !== session) victim.peer.destroy('killed')
  }
  const master = server.follower?.master
  const meansMaster = filter.type === 'master' || (master !== undefined && filter.address === formatAddress(master))
  if (meansMaster && server.killMasterLink()) killed++
  if (old && killed === 0) reply.error('ERR No such client')
  else if (old) reply.ok()
  else reply.integer(killed)
  if (!skipMe && server.clients.matching(filter).includes(session)) session.close()
}
