/**
 * `lagrange proxy`: the endpoint alone, in front of instances that somebody else runs.
 */
import { join } from 'node:path'
import { readGrants } from '../admin/access.js'
import { formatAddress, parseAddress } from '../base/address.js'
import { type ProxyConfig, proxySchema } from '../config/schema.js'
import { type Access, accessOf, liveOf } from './access.js'
import { Endpoint, type EndpointOptions, StartError } from './endpoint.js'
import type { Started } from './program.js'
import { InForce } from './reload.js'
import { describeRules } from './rules.js'
import { untilAskedToStop } from './signals.js'

export interface Executable {
  /** Path of main.js: workers and nodes are started from it. */
  readonly program: string
  readonly version: string
}

export async function runProxy(started: Started<ProxyConfig>, executable: Executable): Promise<number> {
  const { config } = started
  const inForce = new InForce(proxySchema, started, liveOf)
  let access: Access
  try {
    access = accessOf(config)
  } catch (error) {
    process.stderr.write(`lagrange: ${(error as Error).message}\n`)
    return 2
  }
  const asked = untilAskedToStop(() => endpoint.reload())
  const adminAddress = parseAddress(config.admin.listen)
  const endpoint = new Endpoint({
    config,
    listeners: config.listeners,
    seeds: config.topology.source === 'sentinel' ? [] : config.upstreams,
    zones: new Map(
      config.upstreams.flatMap(({ zone, ...address }) => (zone === undefined ? [] : [[formatAddress(address), zone]])),
    ),
    upstreamAuth: {
      username: config.upstreamAuth.user || undefined,
      password: config.upstreamAuth.password || undefined,
    },
    access,
    failover: config.failover,
    ...followed(config),
    admin: adminAddress && {
      address: adminAddress,
      grants: readGrants(config.admin.token, config.admin.tokens),
      allowedHosts: config.admin.allowedHosts,
      auditFile: config.admin.auditFile || undefined,
    },
    lastMaster: undefined,
    rescueFolder: join(config.dataDir, 'rescue'),
    members: undefined,
    portOptions: { listen: '--listen', admin: '--admin' },
    describeConfig: () => inForce.describe(),
    describeOptions: () => inForce.options(),
    describeRules: () => describeRules(inForce.config.consistency, config.listeners, inForce.config.rules),
    reload: running => inForce.reload(running),
    ...executable,
  })
  try {
    await endpoint.claim()
    await endpoint.start()
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    process.stderr.write(`lagrange: ${error.message}\n`)
    await endpoint.stop()
    return 1
  }
  await asked
  await endpoint.stop()
  return 0
}

/** Sentinels know the group by its name. */
function followed({ topology, group }: ProxyConfig): Pick<EndpointOptions, 'sentinels'> {
  if (topology.source !== 'sentinel') return {}
  const sentinels = topology.sentinels.flatMap(text => parseAddress(text) ?? [])
  const credentials = { username: topology.sentinelUser || undefined, password: topology.sentinelPassword || undefined }
  return { sentinels: { sentinels, masterName: group, credentials } }
}
