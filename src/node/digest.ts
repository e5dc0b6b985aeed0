/**
 * DEBUG DIGEST: forty hex digits that two servers with the same data have in common, whatever the order and the encoding
 * of what they hold. The algorithm is Redis', so that its tests can compare us with it.
 *
 * `mix` depends on the order of what is mixed in, `xor` does not.
 */
import { createHash } from 'node:crypto'
import type { Bytes } from '../base/units.js'
import type { Database } from '../engine/database.js'
import { idMs, idSeq } from '../engine/types/id-map.js'
import { isString, type Value } from '../engine/value.js'
import { formatDouble } from '../resp/encoder.js'

const DIGEST_BYTES = 20
const EXPIRES = '!!expire!!'
const typeNumbers = { string: 0, list: 1, set: 2, zset: 3, hash: 4, stream: 6 } as const

/** Of all databases. */
export function dataDigest(databases: readonly Database[]): string {
  const all = Buffer.alloc(DIGEST_BYTES)
  for (const db of databases) {
    if (db.size === 0) continue
    mix(all, numberBytes(db.index))
    db.table.forEach((key, value, slot) => {
      const entry = Buffer.alloc(DIGEST_BYTES)
      mix(entry, key)
      mixValue(entry, value, db.table.expireAt(slot) !== 0)
      xor(all, entry)
    })
  }
  return all.toString('hex')
}

/** Of one key's value; zeros when there is none. */
export function keyDigest(db: Database, key: Bytes): string {
  const digest = Buffer.alloc(DIGEST_BYTES)
  const value = db.get(key)
  if (value !== undefined) mixValue(digest, value, db.expireAt(key) !== 0)
  return digest.toString('hex')
}

function mixValue(digest: Buffer, value: Value, expires: boolean): void {
  mix(digest, numberBytes(isString(value) ? typeNumbers.string : typeNumbers[value.type]))
  mixContent(digest, value)
  if (expires) xor(digest, EXPIRES)
}

function mixContent(digest: Buffer, value: Value): void {
  if (isString(value)) return mix(digest, value)
  switch (value.type) {
    case 'list':
      for (const item of value) mix(digest, item)
      return
    case 'set':
      value.forEach(member => xor(digest, member))
      return
    case 'zset':
      value.forEach((member, score) => xorPair(digest, member, formatDouble(score)))
      return
    case 'hash':
      value.forEach((field, content) => xorPair(digest, field, content))
      return
    default:
      value.entries.forEach((id, fields) => {
        mix(digest, `${idMs(id)}.${idSeq(id)}`)
        for (const text of fields) mix(digest, text)
      })
  }
}

function xorPair(digest: Buffer, first: Bytes, second: Bytes): void {
  const pair = Buffer.alloc(DIGEST_BYTES)
  mix(pair, first)
  mix(pair, second)
  xor(digest, pair)
}

function mix(digest: Buffer, data: Bytes | Buffer): void {
  xor(digest, data)
  createHash('sha1').update(digest).digest().copy(digest)
}

function xor(digest: Buffer, data: Bytes | Buffer): void {
  const hash = createHash('sha1')
    .update(typeof data === 'string' ? Buffer.from(data, 'latin1') : data)
    .digest()
  for (let index = 0; index < DIGEST_BYTES; index++) {
    digest[index] = (digest[index] as number) ^ (hash[index] as number)
  }
}

/** In network order. */
function numberBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
