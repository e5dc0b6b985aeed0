/**
 * MEMORY, as far as it is about the server: what its memory is used for, and whether something about that is odd.
 */
import { ENTRY } from '../../engine/types/weight.js'
import type { Encoder } from '../../resp/encoder.js'
import type { NodeCommands } from '../dispatch.js'
import type { NodeServer } from '../server.js'

const MIB = 1024 * 1024
/** Too little for any ratio to mean something. */
const SMALL_BYTES = 5 * MIB
const EXPIRY = 8

export const memoryCommands: NodeCommands = {
  'memory|stats'(_session, _args, reply, server) {
    const stats = statsOf(server)
    reply.map(stats.length)
    for (const [name, value] of stats) {
      reply.bulk(name)
      if (typeof value === 'function') value(reply)
      else if (Number.isInteger(value)) reply.integer(value)
      else reply.double(value)
    }
  },

  'memory|doctor'(_session, _args, reply, server) {
    const findings = findingsOf(server)
    const text =
      findings.length === 0
        ? 'Nothing about the memory of this server looks odd.'
        : ['What looks odd about the memory of this server:', ...findings.map(one => ` * ${one}`)].join('\n')
    reply.verbatim('txt', `${text}\n`)
  },

  'memory|malloc-stats'(_session, _args, reply) {
    reply.verbatim('txt', 'Stats not supported for the current allocator')
  },

  'memory|purge'(_session, _args, reply) {
    // The collector is V8's: it does not wait to be told.
    reply.ok()
  },

  'memory|help'(_session, _args, reply) {
    const lines = [
      'MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
      'DOCTOR',
      '    What looks odd about the memory of the server.',
      'MALLOC-STATS',
      '    Statistics of the allocator, which V8 does not give.',
      'PURGE',
      '    Nothing: the collector needs no request.',
      'STATS',
      '    What the memory is used for.',
      'USAGE <key> [SAMPLES <count>]',
      '    What a key and its value weigh.',
      'HELP',
      '    This.',
    ]
    reply.array(lines.length)
    for (const line of lines) reply.simple(line)
  },
}

type Stat = readonly [name: string, value: number | ((reply: Encoder) => void)]

/** Redis' names, in its order. What only jemalloc knows is told of the process as a whole. */
function statsOf(server: NodeServer): Stat[] {
  const { memory } = server
  const { usedBytes: used, overheadBytes: overhead, keyCount, clients } = memory
  const { rss, heapTotal } = process.memoryUsage()
  const dataset = used - overhead
  return [
    ['peak.allocated', memory.peakBytes],
    ['total.allocated', used],
    ['startup.allocated', memory.startupBytes],
    ['replication.backlog', memory.backlogBytes - memory.replicaBytes],
    ['clients.slaves', memory.replicaBytes + clients.replicas],
    ['clients.normal', clients.normal],
    ['cluster.links', 0],
    ['aof.buffer', 0],
    ['lua.caches', memory.scriptBytes],
    ['functions.caches', 0],
    ...server.engine.databases
      .filter(({ size }) => size > 0)
      .map(
        ({ index, size, volatileSize }): Stat => [
          `db.${index}`,
          reply => {
            reply.map(3)
            reply.bulk('overhead.hashtable.main')
            reply.integer(size * ENTRY)
            reply.bulk('overhead.hashtable.expires')
            reply.integer(volatileSize * EXPIRY)
            reply.bulk('overhead.hashtable.slot-to-keys')
            reply.integer(0)
          },
        ],
      ),
    ['overhead.total', overhead],
    ['keys.count', keyCount],
    ['keys.bytes-per-key', keyCount === 0 ? 0 : Math.floor((used - memory.startupBytes) / keyCount)],
    ['dataset.bytes', dataset],
    ['dataset.percentage', share(dataset, used - memory.startupBytes)],
    ['peak.percentage', share(used, memory.peakBytes)],
    ['allocator.allocated', used],
    ['allocator.active', heapTotal],
    ['allocator.resident', rss],
    ['allocator-fragmentation.ratio', heapTotal / used],
    ['allocator-fragmentation.bytes', heapTotal - used],
    ['allocator-rss.ratio', rss / heapTotal],
    ['allocator-rss.bytes', rss - heapTotal],
    ['rss-overhead.ratio', 1],
    ['rss-overhead.bytes', 0],
    ['fragmentation', rss / used],
    ['fragmentation.bytes', rss - used],
  ]
}

function share(part: number, whole: number): number {
  return whole <= 0 ? 0 : (part / whole) * 100
}

/** Each finding with what to do about it. */
function findingsOf({ memory, clients, scripting, config }: NodeServer): string[] {
  const { usedBytes: used, peakBytes: peak, heapLimit } = memory
  const findings: string[] = []
  const { rss } = process.memoryUsage()
  const limit = config.number('maxmemory')
  if (limit > heapLimit)
    findings.push(
      `maxmemory is above the ${heapLimit} bytes at which V8 ends the process: give node --max-old-space-size`,
    )
  else if (limit === 0 && used > heapLimit * 0.75)
    findings.push(`no maxmemory is set, and the data fills most of the ${heapLimit} bytes that V8 allows: set one`)
  if (used < SMALL_BYTES) return findings
  if (peak > used * 1.5) findings.push('once more than one and a half times as much was used: V8 may still hold it')
  if (rss > used * 3) findings.push('the process holds three times what is used: MEMORY STATS shows where')
  const normal = memory.clients.normal / Math.max(1, clients.size)
  if (normal > 200 * 1024) findings.push('clients wait with more than 200 KiB each: see qbuf and omem in CLIENT LIST')
  if (memory.replicaBytes > 10 * MIB)
    findings.push('replicas are more than 10 MiB behind: see INFO replication and client-output-buffer-limit')
  if (scripting.scripts.count > 1000)
    findings.push('more than 1000 scripts are cached: use arguments instead of new texts')
  return findings
}
