/**
 * A server that is something else than a node with data. Clients come in by the same door, log in, subscribe, are listed
 * and killed as ever; but other commands are behind it, and no data set.
 */
import type { CommandTable } from '../command/table.js'
import type { MetricStore } from '../metrics/store.js'
import type { NodeCommands } from './dispatch.js'

export interface ServerMode {
  /** As HELLO and INFO say it. */
  readonly name: 'sentinel'
  /** Everything that clients may call, and COMMAND lists. */
  readonly table: CommandTable
  /** In the place of the node's own commands of that name, and beside those that it has in common. */
  readonly commands: NodeCommands
  /** The whole of its INFO, for metrics. */
  readonly info: () => string
  /** Puts its own metrics beside the node's, whenever they are asked for. */
  readonly report: (metrics: MetricStore) => void
}
