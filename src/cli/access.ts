/**
 * From the configuration to who may reach the proxy, and how the proxy reaches instances. Files are read once here, so that
 * what is wrong with them is told before anything runs; workers read them again, at their start and at a reload.
 */
import type { ListenerConfig, RuleConfig } from '../config/formats.js'
import type { ProxyConfig } from '../config/schema.js'
import { TlsClient, type TlsClientOptions, TlsServer, type TlsServerOptions } from '../net/tls.js'
import type { WorkerOptions } from '../proxy/options.js'
import type { ListenerSetup } from '../proxy/supervision/messages.js'
import { Users } from '../proxy/users.js'
import type { LiveOptions } from '../proxy/worker.js'
import { type Acks, ackDefaults } from '../routing/acks.js'
import type { Rule } from '../routing/rules.js'

export interface Access {
  readonly worker: Partial<WorkerOptions>
  readonly listener: (config: ListenerConfig) => Partial<ListenerSetup>
  /** The supervisor's own connections to instances. */
  readonly upstreamTls: TlsClient | undefined
  /** Permissions of unix sockets. */
  readonly socketMode: number
}

/** Throws an Error with one line that says which option cannot be met. */
export function accessOf(config: ProxyConfig): Access {
  const { admission, proxyProtocol } = config
  const tls = serverOptions(config)
  const upstream = config.upstreamTls.enabled ? clientOptions(config) : undefined
  if (config.listeners.some(listener => listener.tls === 'on')) attempt('tls', () => new TlsServer(tls))
  if (config.aclFile !== '') attempt('aclFile', () => new Users(config.aclFile))
  return {
    worker: {
      ...liveOf(config),
      upstreamTls: upstream,
      aclFile: optional(config.aclFile),
      maxClients: admission.maxClients,
      maxPerAddress: admission.maxPerAddress,
      protectedMode: admission.protectedMode,
      authTimeoutMs: admission.authTimeoutMs,
      idleTimeoutMs: admission.idleTimeoutMs,
      keepAliveMs: admission.keepAliveMs,
    },
    listener: listener => ({
      access: listener.access ?? 'all',
      tls: listener.tls === 'on' ? tls : undefined,
      proxyProtocol: listener.proxyProtocol === 'on' ? proxyProtocol : undefined,
    }),
    upstreamTls: upstream && attempt('upstreamTls', () => new TlsClient(upstream)),
    socketMode: Number.parseInt(admission.socketMode, 8),
  }
}

/** What a reload takes over. */
export function liveOf({ rules, rates }: ProxyConfig): LiveOptions {
  return { rules: rules.map(ruleOf), rates }
}

/** What holds for every write. */
export function acksOf({ acks, acksTimeoutMs, acksOtherwise }: ProxyConfig['consistency']): Acks | undefined {
  return acks === 0 ? undefined : { of: acks, timeoutMs: acksTimeoutMs, otherwise: acksOtherwise }
}

/** Keys and names are bytes. */
function ruleOf(config: RuleConfig): Rule {
  const { user, clientName, keyPrefix, commands, acks, acksTimeoutMs, acksOtherwise, ...rest } = config
  const { timeoutMs, otherwise } = ackDefaults
  return {
    ...rest,
    ...(acks === undefined
      ? {}
      : { acks: { of: acks, timeoutMs: acksTimeoutMs ?? timeoutMs, otherwise: acksOtherwise ?? otherwise } }),
    ...(user === undefined ? {} : { user: bytes(user) }),
    ...(clientName === undefined ? {} : { clientName: bytes(clientName) }),
    ...(keyPrefix === undefined ? {} : { keyPrefix: bytes(keyPrefix) }),
    ...(commands === undefined ? {} : { commands: commands.map(name => name.toLowerCase()) }),
  }
}

function bytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

function serverOptions({ tls }: ProxyConfig): TlsServerOptions {
  return {
    certFile: optional(tls.certFile),
    keyFile: optional(tls.keyFile),
    keyPass: optional(tls.keyPass),
    caFile: optional(tls.caFile),
    clientCertificates: tls.clientCertificates,
    minVersion: tls.minVersion,
    ciphers: optional(tls.ciphers),
  }
}

function clientOptions({ upstreamTls }: ProxyConfig): TlsClientOptions {
  return {
    certFile: optional(upstreamTls.certFile),
    keyFile: optional(upstreamTls.keyFile),
    keyPass: optional(upstreamTls.keyPass),
    caFile: optional(upstreamTls.caFile),
    serverName: optional(upstreamTls.serverName),
    insecure: upstreamTls.insecureSkipVerify,
  }
}

function optional(text: string): string | undefined {
  return text === '' ? undefined : text
}

function attempt<T>(option: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw new Error(`${option}: ${(error as Error).message}`)
  }
}
