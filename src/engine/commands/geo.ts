/**
 * Places: sorted sets whose scores are squares of the map (see geohash.ts). Distances and searches are in geo-search.ts.
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { doubleArg, isWord } from '../arguments.js'
import type { Handler } from '../call.js'
import { decodePlace, distance, encodePlace, geohashText, LATITUDE_MAX, LONGITUDE_MAX, type Place } from '../geohash.js'
import { refuse, SYNTAX } from '../refusal.js'
import { sortedSetCommands } from './sorted-sets.js'

export const geoCommands: Readonly<Record<string, Handler>> = {
  geoadd(call, args, reply) {
    let at = 2
    const words: Bytes[] = []
    while (isWord(args[at], 'NX') || isWord(args[at], 'XX') || isWord(args[at], 'CH')) words.push(args[at++] as Bytes)
    const has = (wanted: Bytes): boolean => words.some(word => isWord(word, wanted))
    if ((args.length - at) % 3 !== 0 || (has('NX') && has('XX'))) throw SYNTAX
    // In the stream as Redis writes it there, byte for byte.
    const zadd: Bytes[] = ['zadd', args[1] as Bytes, ...words]
    for (; at < args.length; at += 3)
      zadd.push(String(encodePlace(placeArg(args[at], args[at + 1]))), args[at + 2] as Bytes)
    ;(sortedSetCommands.zadd as Handler)(call, zadd, reply)
    call.propagateAs(...zadd)
  },

  geodist(call, args, reply) {
    const unit = args.length === 5 ? unitArg(args[4] as Bytes) : 1
    if (args.length > 5) throw SYNTAX
    const zset = call.readSortedSet(args[1] as Bytes)
    const a = zset?.score(args[2] as Bytes)
    const b = zset?.score(args[3] as Bytes)
    if (a === undefined || b === undefined) reply.null()
    else reply.bulk((distance(decodePlace(a), decodePlace(b)) / unit).toFixed(4))
  },

  geohash(call, args, reply) {
    const zset = call.readSortedSet(args[1] as Bytes)
    reply.array(args.length - 2)
    for (const member of args.slice(2)) {
      const score = zset?.score(member)
      if (score === undefined) reply.null()
      else reply.bulk(geohashText(decodePlace(score)))
    }
  },

  geopos(call, args, reply) {
    const zset = call.readSortedSet(args[1] as Bytes)
    reply.array(args.length - 2)
    for (const member of args.slice(2)) {
      const score = zset?.score(member)
      if (score === undefined) reply.nullArray()
      else replyPlace(decodePlace(score), reply)
    }
  },
}

export function placeArg(longitudeText: Bytes | undefined, latitudeText: Bytes | undefined): Place {
  const longitude = doubleArg(longitudeText)
  const latitude = doubleArg(latitudeText)
  if (Math.abs(longitude) > LONGITUDE_MAX || Math.abs(latitude) > LATITUDE_MAX)
    refuse(`ERR invalid longitude,latitude pair ${sixDigits(longitude)},${sixDigits(latitude)}`)
  return { longitude, latitude }
}

/** C's `%f`. */
function sixDigits(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  return Math.abs(value) < 1e21 ? value.toFixed(6) : `${BigInt(value)}.000000`
}

/** Metres in a unit. */
export function unitArg(text: Bytes | undefined): number {
  if (isWord(text, 'M')) return 1
  if (isWord(text, 'KM')) return 1000
  if (isWord(text, 'FT')) return 0.3048
  if (isWord(text, 'MI')) return 1609.34
  refuse('ERR unsupported unit provided. please use M, KM, FT, MI')
}

/** Coordinates with seventeen digits behind the point, without the zeros at the end. */
export function replyPlace({ longitude, latitude }: Place, reply: ReplyWriter): void {
  reply.array(2)
  for (const value of [longitude, latitude])
    if (reply.resp === 3) reply.double(Number(value.toFixed(17)))
    else reply.bulk(value.toFixed(17).replace(/\.?0+$/, ''))
}
