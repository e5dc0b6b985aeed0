/**
 * `lagrange up`: a whole group on this machine. The endpoint of proxy.ts, and the nodes it routes to.
 *
 *     claim the data folder and every port ─▶ start the nodes, the last master first ─▶ observe ─▶ serve
 *     asked to stop: clients finish ─▶ the agent stops ─▶ the master ends, then the replicas, each with its AOF synced
 */
import { join } from 'node:path'
import { type UpConfig, upSchema } from '../config/schema.js'
import { bind } from '../proxy/supervision/bound.js'
import { DataDir, DataDirError, type GroupState, isAlive } from './data-dir.js'
import { Endpoint, StartError } from './endpoint.js'
import { Fleet } from './fleet.js'
import type { Started } from './program.js'
import type { Executable } from './proxy.js'
import { InForce } from './reload.js'
import { describeRules } from './rules.js'
import { untilAskedToStop } from './signals.js'

const HOST = '127.0.0.1'

/**
 * What every node is told. Replicas ping and time out fast, so that they know of a dead master as soon as we do, and
 * need not wait for company before they are sent a snapshot. What they acknowledge is in an append-only file, so that all of
 * them may be killed at once: it outlives the processes at any moment, and the machine but for the last second. It says
 * where it stands in the replication stream as well, so whoever returns continues there. Snapshots of earlier versions
 * are taken over.
 */
const directives = [
  ['--repl-ping-replica-period', '1'],
  ['--repl-timeout', '5'],
  ['--repl-diskless-sync-delay', '0'],
  ['--repl-backlog-size', '16mb'],
  ['--save', ''],
  ['--appendonly', 'yes'],
  ['--appendfsync', 'everysec'],
  ['--aof-checksum', 'yes'],
  ['--aof-adopt-rdb', 'yes'],
  ['--refuse-empty-master', 'yes'],
].flat()

export async function runUp(started: Started<UpConfig>, executable: Executable): Promise<number> {
  const { config } = started
  let running: Running | undefined
  const asked = untilAskedToStop(() => {
    running?.endpoint.reload()
  })
  let dataDir: DataDir | undefined
  try {
    dataDir = new DataDir(config.dataDir)
    running = await start(started, dataDir, executable)
  } catch (error) {
    dataDir?.release()
    if (!(error instanceof StartError || error instanceof DataDirError)) throw error
    process.stderr.write(`lagrange: ${error.message}\n`)
    return 1
  }
  greet(config)
  await asked
  await running.endpoint.stop()
  await running.fleet.stop()
  dataDir.release()
  return 0
}

interface Running {
  readonly endpoint: Endpoint
  readonly fleet: Fleet
}

async function start(started: Started<UpConfig>, dataDir: DataDir, executable: Executable): Promise<Running> {
  const { config } = started
  const inForce = new InForce(upSchema, started)
  const ports = Array.from({ length: config.replicas + 1 }, (_, index) => config.nodePort + index)
  const state = dataDir.read()
  const endpoint = new Endpoint({
    config,
    listeners: [{ host: HOST, port: config.port }],
    seeds: ports.map(port => ({ host: HOST, port })),
    zones: new Map(),
    upstreamAuth: { username: undefined, password: undefined },
    failover: true,
    admin: {
      address: { host: HOST, port: config.adminPort },
      grants: [],
      allowedHosts: [],
      auditFile: join(config.dataDir, 'audit.log'),
    },
    rescueFolder: join(config.dataDir, 'rescue'),
    lastMaster: state && `${HOST}:${state.masterPort}`,
    members: ports.length,
    portOptions: { listen: '--port', admin: '--admin-port' },
    describeConfig: () => inForce.describe(),
    describeOptions: () => inForce.options(),
    describeRules: () => describeRules(inForce.config.consistency, [], []),
    reload: running => inForce.reload(running),
    ...executable,
  })
  const fleet = new Fleet(endpoint.clock, endpoint.events, dataDir, {
    host: HOST,
    ports,
    program: executable.program,
    // A master in a long script answers nothing until it is called busy; BUSY is a sign of life, silence is not.
    directives: [...directives, '--busy-reply-threshold', String(Math.floor(config.detection.downAfterMs / 2))],
  })
  endpoint.observer.onView(view => {
    const port = view.groups[0]?.master?.port
    if (port !== undefined) fleet.setMaster(port)
  })
  try {
    await refuseTakenPorts(ports, state)
    await endpoint.claim()
    await fleet.start()
    await endpoint.start()
    await untilReady(endpoint)
  } catch (error) {
    await endpoint.stop()
    await fleet.stop()
    throw error instanceof StartError || error instanceof DataDirError
      ? error
      : new StartError((error as Error).message)
  }
  return { endpoint, fleet }
}

/** A node that finds its port taken would end with a line of its own; found here, nothing has been started yet. */
async function refuseTakenPorts(ports: readonly number[], state: GroupState | undefined): Promise<void> {
  for (const port of ports) {
    // A node that outlived an earlier `up` holds its port rightly; whether it is ours is found out when it is adopted.
    if (isAlive(state?.pids[port] ?? 0)) continue
    try {
      ;(await bind({ host: HOST, port })).close()
    } catch (error) {
      throw new StartError(`node: ${(error as Error).message}; --node-port chooses other ports`)
    }
  }
}

/** A writable master and linked replicas: what a user expects behind the prompt. Not reached in time is no failure. */
async function untilReady(endpoint: Endpoint): Promise<void> {
  const deadline = endpoint.clock.now() + 10_000
  while (endpoint.clock.now() < deadline) {
    if (endpoint.ready().ok) return
    await new Promise<void>(resolve => endpoint.clock.after(20, resolve))
  }
}

function greet(config: UpConfig): void {
  const last = config.nodePort + config.replicas
  const nodes = config.replicas === 0 ? `node ${config.nodePort}` : `nodes ${config.nodePort}–${last}`
  process.stdout.write(
    `\nLagrange is up.\n  redis-cli -p ${config.port}                     the endpoint, in front of ${nodes}\n` +
      `  http://${HOST}:${config.adminPort}/                console, metrics, admin API\n  Ctrl-C stops everything and loses nothing.\n\n`,
  )
}
