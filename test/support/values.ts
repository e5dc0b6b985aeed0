/**
 * Data sets as plain text that can be compared, whatever built them.
 */
import type { Database } from '../../src/engine/database.js'
import { idText } from '../../src/engine/types/id-map.js'
import { isString, type Value } from '../../src/engine/value.js'

/** Every key of every database with its expiry and value, in order. */
export function describeData(databases: readonly Database[]): string[] {
  const lines: string[] = []
  for (const { index, table } of databases) {
    table.forEach((key, value, slot) => {
      lines.push(`${index} ${JSON.stringify(key)} ${table.expireAt(slot)} ${describeValue(value)}`)
    })
  }
  return lines.sort()
}

export function describeValue(value: Value): string {
  if (isString(value)) return JSON.stringify(typeof value === 'string' ? value : value.toString('latin1'))
  const items: unknown[] = []
  switch (value.type) {
    case 'list':
      value.forRange(0, value.length, item => items.push(item))
      break
    case 'set':
      value.forEach(member => items.push(member))
      items.sort()
      break
    case 'hash':
      value.forEach((field, content) => items.push(`${field}\0${content}`))
      items.sort()
      break
    case 'zset':
      value.forEach((member, score) => items.push([member, Object.is(score, -0) ? '-0' : String(score)]))
      break
    case 'stream': {
      const { lastId, maxDeletedId, entriesAdded } = value
      value.entries.forEach((id, fields) => {
        items.push([idText(id), fields])
      })
      items.push([idText(lastId), idText(maxDeletedId), entriesAdded])
      for (const [name, group] of value.groups) {
        const pending: unknown[] = []
        group.pending.forEach((id, one) => {
          pending.push([idText(id), one.consumer.name, one.deliveredAt, one.deliveries])
        })
        items.push([name, idText(group.lastId), group.entriesRead ?? null, pending, [...group.consumers.keys()].sort()])
      }
    }
  }
  return `${value.type} ${JSON.stringify(items)}`
}
