/**
 * The digest of a data set, as DEBUG DIGEST and DEBUG DIGEST-VALUE compute it: equal on equal data, whatever the order in
 * which keys and members lie, and equal to a real server's.
 *
 * `mix` depends on the order of what is mixed in (list items, field then value); `fold` does not (members of a set).
 */
import { createHash } from 'node:crypto'
import type { Bytes } from '../base/units.js'
import { formatDouble } from '../resp/encoder.js'
import type { Database } from './database.js'
import { textOfString } from './string-bytes.js'
import { HashValue } from './types/hash.js'
import { idText } from './types/id-map.js'
import { ListValue } from './types/list.js'
import { SetValue } from './types/set.js'
import { SortedSetValue } from './types/sorted-set.js'
import { isString, typeOf, type Value } from './value.js'

const DIGEST_BYTES = 20
const TYPE_NUMBERS = { string: 0, list: 1, set: 2, zset: 3, hash: 4, stream: 6 } as const

/** Forty hexadecimal digits over all databases. */
export function digestOf(databases: readonly Database[]): string {
  const digest = Buffer.alloc(DIGEST_BYTES)
  for (const db of databases) {
    if (db.size === 0) continue
    mix(digest, bigEndian(db.index))
    db.table.forEach((key, value, slot) => {
      const entry = Buffer.alloc(DIGEST_BYTES)
      mix(entry, key)
      mixValue(entry, value, db.table.expireAt(slot) !== 0)
      fold(digest, entry)
    })
  }
  return digest.toString('hex')
}

/** The digest of one key's value; forty zeros when there is none. */
export function digestOfKey(db: Database, key: Bytes): string {
  const digest = Buffer.alloc(DIGEST_BYTES)
  const slot = db.table.slotOf(key)
  if (slot >= 0) mixValue(digest, db.table.valueAt(slot), db.table.expireAt(slot) !== 0)
  return digest.toString('hex')
}

function mixValue(digest: Buffer, value: Value, volatile: boolean): void {
  mix(digest, bigEndian(TYPE_NUMBERS[typeOf(value)]))
  if (isString(value)) mix(digest, textOfString(value))
  else if (value instanceof ListValue) for (const item of value) mix(digest, item)
  else if (value instanceof SetValue) value.forEach(member => fold(digest, member))
  else if (value instanceof HashValue) value.forEach((field, text) => foldPair(digest, field, text))
  else if (value instanceof SortedSetValue)
    value.forEach((member, score) => foldPair(digest, member, formatDouble(score)))
  else
    value.entries.forEach((id, fields) => {
      mix(digest, idText(id).replace('-', '.'))
      for (const text of fields) mix(digest, text)
    })
  if (volatile) fold(digest, '!!expire!!')
}

function foldPair(digest: Buffer, name: Bytes, value: Bytes): void {
  const pair = Buffer.alloc(DIGEST_BYTES)
  mix(pair, name)
  mix(pair, value)
  fold(digest, pair)
}

function mix(digest: Buffer, data: Bytes | Buffer): void {
  fold(digest, data)
  sha1(digest).copy(digest)
}

function fold(digest: Buffer, data: Bytes | Buffer): void {
  const hash = sha1(data)
  for (let at = 0; at < DIGEST_BYTES; at++) digest[at] = (digest[at] as number) ^ (hash[at] as number)
}

function sha1(data: Bytes | Buffer): Buffer {
  const hash = createHash('sha1')
  return (typeof data === 'string' ? hash.update(data, 'latin1') : hash.update(data)).digest()
}

function bigEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
