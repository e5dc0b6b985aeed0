/**
 * The node's log: lines as Redis writes them, so that the tools that read its log read ours.
 *
 *     4711:M 21 Nov 2026 01:12:18.807 * Ready to accept connections
 *     pid:role                        level
 *
 * `event` is for what has a name and fields; both end up in the same place.
 */
import { openSync, writeSync } from 'node:fs'
import type { EventFields, EventLevel, EventSink } from '../base/bus.js'
import type { UnixMillis } from '../base/units.js'

export type LogLevel = 'debug' | 'verbose' | 'notice' | 'warning'

const rank: Readonly<Record<LogLevel, number>> = { debug: 0, verbose: 1, notice: 2, warning: 3 }
const mark: Readonly<Record<LogLevel, string>> = { debug: '.', verbose: '-', notice: '*', warning: '#' }
const levelOf: Readonly<Record<EventLevel, LogLevel>> = {
  debug: 'debug',
  info: 'notice',
  warn: 'warning',
  error: 'warning',
}
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

export class NodeLog implements EventSink {
  level: LogLevel = 'notice'
  /** M: master, S: replica, X: sentinel. */
  role: 'M' | 'S' | 'X' = 'M'

  constructor(
    readonly write: (line: string) => void,
    private readonly wall: () => UnixMillis,
    private readonly bus?: EventSink,
  ) {}

  debug(text: string): void {
    this.#line('debug', text)
  }

  verbose(text: string): void {
    this.#line('verbose', text)
  }

  notice(text: string): void {
    this.#line('notice', text)
  }

  warning(text: string): void {
    this.#line('warning', text)
  }

  event(level: EventLevel, name: string, fields: EventFields = {}): void {
    this.bus?.event(level, name, fields)
    const said = Object.entries(fields).map(([field, value]) => `${field}=${value}`)
    this.#line(levelOf[level], [name, ...said].join(' '))
  }

  #line(level: LogLevel, text: string): void {
    if (rank[level] < rank[this.level]) return
    this.write(`${process.pid}:${this.role} ${stamp(new Date(this.wall()))} ${mark[level]} ${text}\n`)
  }
}

/** Appends to `path`, or writes to standard output when it is empty. Throws when the file cannot be opened. */
export function openLog(path: string): (line: string) => void {
  const file = path === '' ? 1 : openSync(path, 'a')
  return line => {
    try {
      writeSync(file, line)
    } catch {
      // A full disk or a reader that went away must not stop the server: the line is lost.
    }
  }
}

function stamp(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${two(date.getDate())} ${months[date.getMonth()]} ${date.getFullYear()}`
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  return `${day} ${time}.${String(date.getMilliseconds()).padStart(3, '0')}`
}
