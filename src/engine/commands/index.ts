/**
 * Every handler by the full name of its command; one file per group.
 */
import type { Handler } from '../call.js'
import { stringCommands } from './strings.js'

export const handlers: ReadonlyMap<string, Handler> = new Map([stringCommands].flatMap(group => Object.entries(group)))
