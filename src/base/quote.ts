/**
 * Bytes as people are shown them: between quotes, what is not printable as an escape.
 */
import type { Bytes } from './units.js'

const named: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\x07': '\\a', '\b': '\\b' }

export function quote(text: Bytes): string {
  const body = text
    .replace(/[\\"]/g, '\\$&')
    .replace(/[^\x20-\x7e]/g, char => named[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
  return `"${body}"`
}
