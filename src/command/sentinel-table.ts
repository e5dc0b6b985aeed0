/**
 * The commands of a sentinel: what it has in common with a node, and SENTINEL. The same fifteen as Redis 7.0.
 */

import { dataRows } from './data-rows.js'
import type { CommandRow } from './row.js'
import { serverRows } from './server-rows.js'
import { type CommandTable, tableOf } from './table.js'

const common = new Set([
  ...['acl', 'auth', 'client', 'command', 'hello', 'info', 'ping', 'psubscribe', 'publish', 'punsubscribe', 'role'],
  ...['shutdown', 'subscribe', 'unsubscribe'],
])

const own: readonly (readonly [name: string, arity: number])[] = [
  ['ckquorum', 3],
  ['config', -3],
  ['debug', -2],
  ['failover', 3],
  ['flushconfig', 2],
  ['get-master-addr-by-name', 3],
  ['info-cache', -3],
  ['is-master-down-by-addr', 6],
  ['master', 3],
  ['masters', 2],
  ['monitor', 6],
  ['myid', 2],
  ['pending-scripts', 2],
  ['remove', 3],
  ['replicas', 3],
  ['reset', 3],
  ['sentinels', 3],
  ['set', -5],
  ['simulate-failure', -3],
  ['slaves', 3],
]

const sentinelRows: readonly CommandRow[] = [
  ['sentinel', -2, 'admin', 'sentinel', '2.8.4', '', '', ''],
  ['sentinel|help', 2, 'loading stale', 'sentinel', '6.2.0', '', '', ''],
  ...own.map(
    ([name, arity]): CommandRow => [`sentinel|${name}`, arity, 'admin', 'sentinel', '2.8.4', 'admin dangerous', '', ''],
  ),
]

function isCommon([name]: CommandRow): boolean {
  return common.has(name.split('|', 1)[0] as string)
}

export const sentinelTable: CommandTable = tableOf([...[...dataRows, ...serverRows].filter(isCommon), ...sentinelRows])
