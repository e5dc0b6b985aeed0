/**
 * The log: one line per event of the bus. JSON for machines, a short line for people on a terminal.
 *
 *     {"level":"warn","time":"2024-05-01T10:00:00.000Z","event":"+sdown","node":"127.0.0.1:6401"}
 *     10:00:00.000 warn  +sdown node=127.0.0.1:6401
 */
import { type DestinationStream, destination, type Logger, pino } from 'pino'
import type { EventBus, LagrangeEvent } from '../base/bus.js'
import type { LogLevel } from '../config/schema.js'
import { paint } from './paint.js'

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'auto' | 'json' | 'pretty'
}

export interface Log {
  setLevel(level: LogLevel): void
  stop(): void
}

/** Where lines go, and whether a person reads them there. */
export interface LogTarget extends DestinationStream {
  readonly isTTY: boolean
}

/** Lines are written at once: a process that dies has said what it had to say. */
export function standardOutput(): LogTarget {
  return Object.assign(destination({ fd: 1, sync: true }), { isTTY: process.stdout.isTTY === true })
}

export function logEvents(bus: EventBus, target: LogTarget, options: LogOptions): Log {
  const pretty = options.format === 'pretty' || (options.format === 'auto' && target.isTTY)
  const logger = makeLogger(target, options.level)
  const stop = bus.listen(event => {
    if (!pretty) writeJson(logger, event)
    else if (logger.isLevelEnabled(event.level)) target.write(`${prettyLine(event, target.isTTY)}\n`)
  })
  return {
    setLevel(level) {
      logger.level = level
    },
    stop,
  }
}

function makeLogger(target: DestinationStream, level: LogLevel): Logger {
  // The event says when it happened; pino's own time would be when it was written.
  return pino({ level, base: null, timestamp: false, formatters: { level: label => ({ level: label }) } }, target)
}

const reserved = ['level', 'time', 'event']

function writeJson(logger: Logger, event: LagrangeEvent): void {
  const fields = Object.entries(event.fields).map(([name, value]) => [
    reserved.includes(name) ? `${name}_` : name,
    value,
  ])
  logger[event.level]({ time: new Date(event.at).toISOString(), event: event.name, ...Object.fromEntries(fields) })
}

const colours = { debug: 'gray', info: 'green', warn: 'yellow', error: 'red' } as const

/** One line whatever the fields hold: line ends and other control characters are escaped. */
export function prettyLine(event: LagrangeEvent, colour: boolean): string {
  const time = new Date(event.at).toISOString().slice(11, 23)
  const level = event.level.padEnd(5)
  const fields = Object.entries(event.fields).flatMap(([name, value]) =>
    value === undefined || value === null ? [] : ` ${name}=${prettyValue(value)}`,
  )
  return `${time} ${colour ? paint(colours[event.level], level) : level} ${event.name}${fields.join('')}`
}

function prettyValue(value: string | number | boolean): string {
  if (typeof value === 'number') return String(Number.isInteger(value) ? value : Number(value.toFixed(3)))
  if (typeof value === 'boolean') return String(value)
  return /^[^\s"\p{C}]+$/u.test(value) ? value : JSON.stringify(value).replace(/[\p{Cc}\p{Cf}]/gu, escapeControl)
}

function escapeControl(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
