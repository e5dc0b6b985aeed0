/**
 * A hash: fields and their values.
 */
import type { Bytes } from '../../base/units.js'
import type { EngineSettings } from '../settings.js'
import { Members } from './members.js'

export class HashValue {
  readonly type = 'hash'
  /** What Redis would call the way it is stored. */
  encoding: 'listpack' | 'hashtable' = 'listpack'
  readonly fields = new Members<Bytes>()

  get size(): number {
    return this.fields.size
  }

  get(field: Bytes): Bytes | undefined {
    return this.fields.get(field)
  }

  /** Answers true when the field is new. */
  set(field: Bytes, value: Bytes, settings: EngineSettings): boolean {
    const added = this.fields.set(field, value)
    if (this.encoding === 'listpack' && outgrows(this.fields.size, field, value, settings)) this.encoding = 'hashtable'
    return added
  }

  delete(field: Bytes): boolean {
    return this.fields.delete(field)
  }

  forEach(visit: (field: Bytes, value: Bytes) => void): void {
    this.fields.forEach(visit)
  }

  copy(): HashValue {
    const twin = new HashValue()
    twin.encoding = this.encoding
    this.forEach((field, value) => twin.fields.set(field, value))
    return twin
  }
}

function outgrows(size: number, field: Bytes, value: Bytes, settings: EngineSettings): boolean {
  const longest = settings.hashMaxListpackValue
  return size > settings.hashMaxListpackEntries || field.length > longest || value.length > longest
}
