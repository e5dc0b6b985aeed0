/**
 * LATENCY: what blocked the server, and how long commands take.
 */
import { builtinTable, type CommandSpec, findCommand } from '../../command/table.js'
import type { NodeCommands } from '../dispatch.js'
import type { LatencySeries } from '../latency.js'
import type { NodeServer } from '../server.js'
import { lower } from './words.js'

const GRAPH_WIDTH = 80
/** From nothing to the highest sample. */
const LEVELS = '_.-=#'

export const latencyCommands: NodeCommands = {
  'latency|latest'(_session, _args, reply, server) {
    const { events } = server.latency
    reply.array(events.size)
    for (const [name, { samples, max }] of events) {
      const last = samples.at(-1)
      reply.array(4)
      reply.bulk(name)
      reply.integer(last?.unixSeconds ?? 0)
      reply.integer(last?.latency ?? 0)
      reply.integer(max)
    }
  },

  'latency|history'(_session, args, reply, server) {
    const samples = server.latency.events.get(args[2] ?? '')?.samples ?? []
    reply.array(samples.length)
    for (const { unixSeconds, latency } of samples) {
      reply.array(2)
      reply.integer(unixSeconds)
      reply.integer(latency)
    }
  },

  'latency|reset'(_session, args, reply, server) {
    reply.integer(server.latency.forget(args.slice(2)))
  },

  'latency|graph'(_session, args, reply, server) {
    const name = args[2] ?? ''
    const series = server.latency.events.get(name)
    if (series === undefined) return reply.error(`ERR No samples available for event '${name}'`)
    reply.verbatim('txt', graph(name, series))
  },

  'latency|doctor'(_session, _args, reply, server) {
    reply.verbatim('txt', report(server))
  },

  'latency|histogram'(_session, args, reply, server) {
    const specs = args.length > 2 ? args.slice(2).flatMap(name => named(lower(name))) : builtinTable.specs
    const called = [...new Set(specs)].flatMap(spec => {
      const histogram = server.latency.histogramOf(spec)
      return histogram === undefined ? [] : [{ name: spec.name, histogram }]
    })
    reply.map(called.length)
    for (const { name, histogram } of called) {
      const limits = histogram.limits()
      reply.bulk(name)
      reply.map(2)
      reply.bulk('calls')
      reply.integer(histogram.calls)
      reply.bulk('histogram_usec')
      reply.map(limits.length)
      for (const [micros, calls] of limits) {
        reply.integer(micros)
        reply.integer(calls)
      }
    }
  },
}

/** A command, or for a container all that it contains. */
function named(name: string): CommandSpec[] {
  const spec = builtinTable.byFullName(name) ?? findCommand(name)
  if (spec === undefined) return []
  return [spec, ...(spec.subcommands?.values() ?? [])]
}

/** One column per sample, the newest at the right. */
function graph(name: string, { samples, max }: LatencySeries): string {
  const shown = samples.slice(-GRAPH_WIDTH).map(sample => sample.latency)
  const high = Math.max(...shown)
  const low = Math.min(...shown)
  const columns = shown.map(latency => LEVELS[Math.round((latency / Math.max(1, high)) * (LEVELS.length - 1))])
  const title = `${name} - high ${high} ms, low ${low} ms (all time high ${max} ms)`
  return `${title}\n${'-'.repeat(GRAPH_WIDTH)}\n${columns.join('')}\n`
}

function report(server: NodeServer): string {
  const { events, threshold } = server.latency
  if (threshold === Number.POSITIVE_INFINITY) {
    return 'Latency monitoring is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n'
  }
  if (events.size === 0) return `Nothing has taken ${threshold} ms or more since monitoring began.\n`
  const lines = [...events].map(([name, { samples, max }]) => {
    const mean = samples.reduce((sum, { latency }) => sum + latency, 0) / samples.length
    return `${name}: ${samples.length} samples of ${threshold} ms or more, mean ${mean.toFixed(1)} ms, worst ${max} ms.`
  })
  if (events.has('command')) lines.push('SLOWLOG GET shows which commands were slow.')
  if (events.has('expire-cycle')) lines.push('Many keys expire at the same moment; spread their times to live.')
  return `${lines.join('\n')}\n`
}
