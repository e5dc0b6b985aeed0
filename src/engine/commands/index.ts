/**
 * Every handler by the full name of its command; one file per group.
 */
import type { Handler } from '../call.js'
import { blockingListCommands } from './blocking-lists.js'
import { expiryCommands } from './expiry.js'
import { hashCommands } from './hashes.js'
import { keyCommands } from './keys.js'
import { listCommands } from './lists.js'
import { scanCommands } from './scan.js'
import { setCommands } from './sets.js'
import { stringCommands } from './strings.js'

const groups: readonly Readonly<Record<string, Handler>>[] = [
  stringCommands,
  keyCommands,
  expiryCommands,
  scanCommands,
  hashCommands,
  listCommands,
  blockingListCommands,
  setCommands,
]

export const handlers: ReadonlyMap<string, Handler> = new Map(groups.flatMap(group => Object.entries(group)))
