/**
 * Options about who reaches the proxy, how, and what he may do there: TLS, the PROXY protocol, bounds, rates, users, rules.
 */
import type { Millis } from '../base/units.js'
import type { ClientCertificates, RuleConfig, TlsVersion } from './formats.js'
import { clientCertificates, tlsVersions } from './formats.js'
import type { OptionTree } from './option.js'

export interface AccessConfig {
  readonly tls: {
    readonly certFile: string
    readonly keyFile: string
    readonly keyPass: string
    readonly keyPassFile: string
    readonly caFile: string
    readonly clientCertificates: ClientCertificates
    readonly minVersion: TlsVersion
    readonly ciphers: string
  }
  readonly upstreamTls: {
    readonly enabled: boolean
    readonly caFile: string
    readonly certFile: string
    readonly keyFile: string
    readonly keyPass: string
    readonly keyPassFile: string
    readonly serverName: string
    readonly insecureSkipVerify: boolean
  }
  readonly proxyProtocol: { readonly trusted: readonly string[]; readonly timeoutMs: Millis }
  readonly admission: {
    readonly maxClients: number
    readonly maxPerAddress: number
    readonly protectedMode: boolean
    readonly authTimeoutMs: Millis
    readonly idleTimeoutMs: Millis
    readonly keepAliveMs: Millis
    readonly socketMode: string
  }
  readonly rates: {
    readonly commandsPerSecond: number
    readonly bytesPerSecond: number
    readonly userCommandsPerSecond: number
    readonly userBytesPerSecond: number
  }
  readonly aclFile: string
  readonly rules: readonly RuleConfig[]
}

const path = { format: 'text', allowed: 'a path', default: '', placeholder: 'path' } as const
const text = { format: 'text', allowed: 'text', default: '' } as const
const count = { format: 'count', allowed: 'a whole number from 0 to 1000000000', placeholder: 'n' } as const
const millis = { format: 'millis', allowed: 'a whole number of milliseconds from 0 to 86400000' } as const
const onOff = { format: 'switch', allowed: 'on or off', placeholder: 'on|off' } as const

export const accessOptions: OptionTree = {
  tls: {
    certFile: {
      ...path,
      doc: 'The certificate that listeners with TLS (`tls: on`) show. A renewed file of the same name is read at a reload; connections that stand stay.',
      env: 'LAGRANGE_TLS_CERT_FILE',
      flag: 'tls-cert-file',
      reload: 'restart',
    },
    keyFile: {
      ...path,
      doc: 'The key of that certificate.',
      env: 'LAGRANGE_TLS_KEY_FILE',
      flag: 'tls-key-file',
      reload: 'restart',
    },
    keyPass: {
      ...text,
      doc: 'The password of the key, if it has one.',
      env: 'LAGRANGE_TLS_KEY_PASS',
      reload: 'restart',
      sensitive: true,
    },
    keyPassFile: {
      ...path,
      doc: 'A file that holds the password of the key, readable by its owner only.',
      env: 'LAGRANGE_TLS_KEY_PASS_FILE',
      reload: 'restart',
      fileFor: 'tls.keyPass',
    },
    caFile: {
      ...path,
      doc: 'The authorities that certificates of clients are checked against.',
      env: 'LAGRANGE_TLS_CA_FILE',
      flag: 'tls-ca-file',
      reload: 'restart',
    },
    clientCertificates: {
      doc: 'Whether clients must show a certificate. off: they are asked for none. optional: one that is shown must be good. required: nobody is served without.',
      default: 'off',
      format: clientCertificates,
      env: 'LAGRANGE_TLS_CLIENT_CERTIFICATES',
      flag: 'tls-client-certificates',
      placeholder: 'off|optional|required',
      reload: 'restart',
    },
    minVersion: {
      doc: 'The oldest protocol version that is spoken.',
      default: 'TLSv1.2',
      format: tlsVersions,
      env: 'LAGRANGE_TLS_MIN_VERSION',
      flag: 'tls-min-version',
      placeholder: 'version',
      reload: 'restart',
    },
    ciphers: {
      ...text,
      doc: "The ciphers that are spoken, by OpenSSL's names with colons between them; empty leaves the choice to Node.",
      env: 'LAGRANGE_TLS_CIPHERS',
      reload: 'restart',
    },
  },
  upstreamTls: {
    enabled: {
      ...onOff,
      doc: 'Whether connections to instances are secured by TLS: those of clients’ commands, of probes and of the failover agent.',
      default: false,
      env: 'LAGRANGE_UPSTREAM_TLS',
      flag: 'upstream-tls',
      reload: 'restart',
    },
    caFile: {
      ...path,
      doc: 'The authorities that certificates of instances are checked against; empty are those that Node brings.',
      env: 'LAGRANGE_UPSTREAM_TLS_CA_FILE',
      flag: 'upstream-tls-ca-file',
      reload: 'restart',
    },
    certFile: {
      ...path,
      doc: 'The certificate we show to instances, where they ask for one.',
      env: 'LAGRANGE_UPSTREAM_TLS_CERT_FILE',
      flag: 'upstream-tls-cert-file',
      reload: 'restart',
    },
    keyFile: {
      ...path,
      doc: 'The key of that certificate.',
      env: 'LAGRANGE_UPSTREAM_TLS_KEY_FILE',
      flag: 'upstream-tls-key-file',
      reload: 'restart',
    },
    keyPass: {
      ...text,
      doc: 'The password of that key, if it has one.',
      env: 'LAGRANGE_UPSTREAM_TLS_KEY_PASS',
      reload: 'restart',
      sensitive: true,
    },
    keyPassFile: {
      ...path,
      doc: 'A file that holds the password of that key, readable by its owner only.',
      env: 'LAGRANGE_UPSTREAM_TLS_KEY_PASS_FILE',
      reload: 'restart',
      fileFor: 'upstreamTls.keyPass',
    },
    serverName: {
      ...text,
      doc: 'The name that certificates of instances must bear; empty is the address each is reached by.',
      env: 'LAGRANGE_UPSTREAM_TLS_SERVER_NAME',
      flag: 'upstream-tls-server-name',
      placeholder: 'name',
      reload: 'restart',
    },
    insecureSkipVerify: {
      ...onOff,
      doc: 'Takes any certificate for good: what is sent is encrypted, and nobody knows for whom. For trying things out.',
      default: false,
      env: 'LAGRANGE_UPSTREAM_TLS_INSECURE',
      reload: 'restart',
    },
  },
  proxyProtocol: {
    trusted: {
      doc: 'Addresses and networks (10.0.0.0/8) of load balancers that may say whose connection it is, by version 1 or 2 of the PROXY protocol (at listeners with proxyProtocol: on). They must tell; nobody else is served there.',
      default: [],
      format: 'networks',
      allowed: 'a list of addresses and networks such as 10.0.0.0/8 or fd00::/8',
      env: 'LAGRANGE_PROXY_PROTOCOL_TRUSTED',
      flag: 'proxy-protocol-trusted',
      placeholder: 'network,…',
      reload: 'restart',
    },
    timeoutMs: {
      ...millis,
      doc: 'How long such a connection may take to tell.',
      default: 3000,
      env: 'LAGRANGE_PROXY_PROTOCOL_TIMEOUT_MS',
      reload: 'restart',
    },
  },
  admission: {
    maxClients: {
      ...count,
      doc: 'Connections of clients that a worker serves at once; further ones are told so and closed. A quarter of them may be of clients that have not logged in, where that is asked.',
      default: 10_000,
      env: 'LAGRANGE_MAX_CLIENTS',
      flag: 'max-clients',
      reload: 'restart',
    },
    maxPerAddress: {
      ...count,
      doc: 'Connections from one address that a worker serves at once; 0 knows no bound.',
      default: 0,
      env: 'LAGRANGE_MAX_PER_ADDRESS',
      reload: 'restart',
    },
    protectedMode: {
      ...onOff,
      doc: 'As protected-mode of Redis: as long as no password is asked, only clients of this machine are served.',
      default: true,
      env: 'LAGRANGE_PROTECTED_MODE',
      flag: 'protected-mode',
      reload: 'restart',
    },
    authTimeoutMs: {
      ...millis,
      doc: 'How long a client may take to log in, where that is asked; 0 waits for ever.',
      default: 10_000,
      env: 'LAGRANGE_AUTH_TIMEOUT_MS',
      reload: 'restart',
    },
    idleTimeoutMs: {
      ...millis,
      doc: 'How long a client may be connected and ask nothing; 0 lets it. Subscribers and those who wait for something are not idle.',
      default: 0,
      env: 'LAGRANGE_IDLE_TIMEOUT_MS',
      flag: 'idle-timeout-ms',
      placeholder: 'ms',
      reload: 'restart',
    },
    keepAliveMs: {
      ...millis,
      doc: 'After how much silence the kernel probes whether a client is still there; 0 never does.',
      default: 300_000,
      env: 'LAGRANGE_KEEP_ALIVE_MS',
      reload: 'restart',
    },
    socketMode: {
      doc: 'The permissions of listeners that are unix sockets, in octal.',
      default: '0770',
      format: 'file-mode',
      allowed: 'an octal number from 0000 to 0777, in quotes',
      env: 'LAGRANGE_SOCKET_MODE',
      reload: 'restart',
    },
  },
  rates: {
    commandsPerSecond: {
      ...count,
      doc: 'Commands that one connection may send in a second; 0 knows no bound. Who is faster is not refused but read later.',
      default: 0,
      env: 'LAGRANGE_COMMANDS_PER_SECOND',
      reload: 'live',
    },
    bytesPerSecond: {
      ...count,
      doc: 'Bytes that one connection may send in a second; 0 knows no bound.',
      default: 0,
      env: 'LAGRANGE_BYTES_PER_SECOND',
      reload: 'live',
    },
    userCommandsPerSecond: {
      ...count,
      doc: 'Commands that all connections of a user to one worker may send in a second together; 0 knows no bound.',
      default: 0,
      env: 'LAGRANGE_USER_COMMANDS_PER_SECOND',
      reload: 'live',
    },
    userBytesPerSecond: {
      ...count,
      doc: 'Bytes that all connections of a user to one worker may send in a second together; 0 knows no bound.',
      default: 0,
      env: 'LAGRANGE_USER_BYTES_PER_SECOND',
      reload: 'live',
    },
  },
  aclFile: {
    ...path,
    doc: 'The proxy’s own users: a file in the syntax of aclfile of Redis. Commands, keys and channels are checked by the proxy; instances see only the user of upstreamAuth; as nobody sees what a script does, scripts are for users who may do all that a script may do (+@all -@admin ~* &* is enough). ACL LOAD and a reload read it again, and close the connections of users that are not what they were. Empty: there is one user, default, with the password of clientAuth.',
    env: 'LAGRANGE_ACL_FILE',
    flag: 'acl-file',
    reload: 'restart',
  },
  rules: {
    doc: 'What holds for some clients, commands or keys. Conditions, all of which must be met: user and clientName (globs), commands (a list of names and @categories), keyPrefix. What then holds: level (and boundMs), readFrom: master, acks (and acksTimeoutMs, acksOtherwise), or deny: on. acks: 1 keeps the reply of a write back until one replica has it, acks: witness until the witness has it; what is not confirmed in acksTimeoutMs (1000) is answered with UNKNOWNRESULT, or with acksOtherwise: degrade as if nothing had been asked for. After a crash nobody is promoted who may lack a write that was confirmed, until enough replicas can be asked. The first rule that says something about a matter decides it. Rules without commands and keyPrefix say what a connection begins with; the others cost a look at each command of the connections they are about.',
    default: [],
    format: 'rules',
    allowed: 'a list of rules, such as {user: reports, level: eventual} or {commands: [keys], deny: on}',
    reload: 'live',
  },
}

/** Contradictions among them: `path: reason`. */
export function checkAccess(
  config: AccessConfig & {
    readonly listeners: readonly { readonly tls?: string; readonly proxyProtocol?: string }[]
    readonly clientAuth: { readonly password: string; readonly users: string }
    readonly consistency: { readonly acks: number | 'witness' }
    readonly failover: boolean
    readonly witness: { readonly bytes: number }
  },
): readonly string[] {
  const { tls, upstreamTls, listeners } = config
  const wrong: string[] = []
  const hasWitness = config.failover && config.witness.bytes > 0
  if (config.consistency.acks === 'witness' && !config.failover)
    wrong.push('consistency.acks: witness needs failover: on')
  if (!hasWitness && config.rules.some(rule => rule.acks === 'witness')) {
    wrong.push('rules: acks: witness needs failover: on and witness.bytes')
  }
  const secured = listeners.some(listener => listener.tls === 'on')
  if (secured && (tls.certFile === '' || tls.keyFile === '')) {
    wrong.push('listeners: tls is on, so tls.certFile and tls.keyFile must be set')
  }
  if (secured && tls.clientCertificates !== 'off' && tls.caFile === '') {
    wrong.push(`tls.clientCertificates: ${tls.clientCertificates} needs tls.caFile`)
  }
  if ((upstreamTls.certFile === '') !== (upstreamTls.keyFile === '')) {
    wrong.push('upstreamTls.certFile: a certificate and its keyFile belong together')
  }
  if (listeners.some(listener => listener.proxyProtocol === 'on') && config.proxyProtocol.trusted.length === 0) {
    wrong.push('listeners: proxyProtocol is on, so proxyProtocol.trusted must name who may use it')
  }
  if (config.aclFile !== '' && config.clientAuth.password !== '') {
    wrong.push('aclFile: the users of the file have their own passwords, so clientAuth must not give one')
  }
  if (config.aclFile !== '' && config.clientAuth.users === 'instances') {
    wrong.push('aclFile: clientAuth.users says that the users are those of the instances')
  }
  return wrong
}
