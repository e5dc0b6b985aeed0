/**
 * Options about where the proxy learns who is master: from the instances themselves, or from sentinels.
 */
import { parseAddress } from '../base/address.js'
import type { OptionTree } from './option.js'

export const topologySources = ['static', 'sentinel'] as const
export type TopologySource = (typeof topologySources)[number]

export interface TopologyConfig {
  readonly topology: {
    readonly source: TopologySource
    readonly sentinels: readonly string[]
    readonly sentinelUser: string
    readonly sentinelPassword: string
    readonly sentinelPasswordFile: string
  }
}

export const topologyOptions: OptionTree = {
  topology: {
    source: {
      doc: 'Who says which instance is master. static: the instances themselves, found from upstreams, and our agent where failover is on. sentinel: the sentinels of topology.sentinels, which know the group by the name in group; upstreams and failover are not used, and switches ordered here are ordered from them.',
      default: 'static',
      format: topologySources,
      env: 'LAGRANGE_TOPOLOGY_SOURCE',
      flag: 'topology-source',
      placeholder: 'source',
      reload: 'restart',
    },
    sentinels: {
      doc: 'Sentinels to ask, host:port each; any of them will do, the others are learnt from them, also while we run.',
      default: [],
      format: 'texts',
      allowed: 'a list of host:port, with ports from 1 to 65535',
      env: 'LAGRANGE_SENTINELS',
      flag: 'sentinels',
      placeholder: 'host:port,…',
      reload: 'restart',
    },
    sentinelUser: {
      doc: 'The ACL user we log in with at the sentinels; empty is the default user.',
      default: '',
      format: 'text',
      allowed: 'text',
      env: 'LAGRANGE_SENTINEL_USER',
      reload: 'restart',
    },
    sentinelPassword: {
      doc: 'The password we log in with at the sentinels; empty logs in nowhere.',
      default: '',
      format: 'text',
      allowed: 'text',
      env: 'LAGRANGE_SENTINEL_PASSWORD',
      reload: 'restart',
      sensitive: true,
    },
    sentinelPasswordFile: {
      doc: 'A file that holds the password we log in with at the sentinels, readable by its owner only.',
      default: '',
      format: 'text',
      allowed: 'a path',
      env: 'LAGRANGE_SENTINEL_PASSWORD_FILE',
      flag: 'sentinel-password-file',
      placeholder: 'path',
      reload: 'restart',
      fileFor: 'topology.sentinelPassword',
    },
  },
}

/** What is wrong between these options and others. */
export function checkTopology({ topology, failover }: TopologyConfig & { readonly failover: boolean }): string[] {
  const { source, sentinels } = topology
  const wrong = sentinels.filter(text => parseAddress(text) === undefined)
  return [
    ...wrong.map(
      text => `topology.sentinels: must be host:port with a port from 1 to 65535, not ${JSON.stringify(text)}`,
    ),
    ...(source === 'sentinel' && sentinels.length === 0
      ? ['topology.sentinels: at least one is needed when topology.source is sentinel']
      : []),
    ...(source === 'sentinel' && failover
      ? ['failover: must be off when topology.source is sentinel: the sentinels fail over']
      : []),
  ]
}
