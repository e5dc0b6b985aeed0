/**
 * GEOSEARCH and the older GEORADIUS: members within a circle or a rectangle.
 *
 * The map is cut into squares large enough that the one with the centre and its eight neighbours cover the area; each is
 * one range of scores, and what lies in it is measured.
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { doubleArg, int64Arg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import {
  areaOf,
  boundingArea,
  type Cell,
  cellAt,
  decodePlace,
  distance,
  latitudeDistance,
  neighbour,
  type Place,
  scoresIn,
  stepsForRadius,
} from '../geohash.js'
import { Refusal, refuse, SYNTAX } from '../refusal.js'
import { SortedSetValue } from '../types/sorted-set.js'
import { placeArg, replyPlace, unitArg } from './geo.js'

type Kind = 'radius' | 'bymember' | 'search' | 'searchstore'

export const geoSearchCommands: Readonly<Record<string, Handler>> = {
  georadius: (call, args, reply) => search(call, args, 'radius', true, reply),
  georadius_ro: (call, args, reply) => search(call, args, 'radius', false, reply),
  georadiusbymember: (call, args, reply) => search(call, args, 'bymember', true, reply),
  georadiusbymember_ro: (call, args, reply) => search(call, args, 'bymember', false, reply),
  geosearch: (call, args, reply) => search(call, args, 'search', false, reply),
  geosearchstore: (call, args, reply) => search(call, args, 'searchstore', false, reply),
}

/** In metres; a circle is as wide as it is high. */
interface Shape {
  readonly kind: 'circle' | 'box'
  readonly width: number
  readonly height: number
  /** Metres in the unit that distances are replied in. */
  readonly unit: number
}

interface GeoQuery {
  centre: Place | undefined
  shape: Shape | undefined
  withDistance: boolean
  withHash: boolean
  withPlace: boolean
  count: number
  any: boolean
  sort: 'none' | 'asc' | 'desc'
  store: Bytes | undefined
  storeDistance: boolean
  /** Whether a centre was given: it stays unknown when the key is missing. */
  centred: 'no' | 'member' | 'place'
}

interface Hit {
  readonly member: Bytes
  readonly score: number
  readonly metres: number
}

function search(call: Call, args: readonly Bytes[], kind: Kind, mayStore: boolean, reply: ReplyWriter): void {
  const zset = call.readSortedSet(args[kind === 'searchstore' ? 2 : 1] as Bytes)
  const query = readQuery(zset, args, kind, mayStore)
  if (zset === undefined || query.centre === undefined || query.shape === undefined) {
    if (query.store !== undefined) return store(call, query.store, [], query, kind, reply)
    return reply.array(0)
  }
  const hits = findHits(zset, query.centre, query.shape, query.any ? query.count : 0)
  if (query.sort !== 'none') {
    const sign = query.sort === 'asc' ? 1 : -1
    hits.sort((a, b) => sign * (a.metres - b.metres))
  }
  const shown = query.count === 0 ? hits : hits.slice(0, query.count)
  if (query.store !== undefined) store(call, query.store, shown, query, kind, reply)
  else replyHits(shown, query, query.shape.unit, reply)
}

// ── Arguments ───────────────────────────────────────────────────────────────────────────────────────────────────────

function readQuery(zset: SortedSetValue | undefined, args: readonly Bytes[], kind: Kind, mayStore: boolean): GeoQuery {
  const query = startOf(zset, args, kind)
  const isSearch = kind === 'search' || kind === 'searchstore'
  let by: 'radius' | 'box' | undefined
  for (let at = { radius: 6, bymember: 5, search: 2, searchstore: 3 }[kind]; at < args.length; at++) {
    const left = args.length - at - 1
    if (isWord(args[at], 'WITHDIST')) query.withDistance = true
    else if (isWord(args[at], 'WITHHASH')) query.withHash = true
    else if (isWord(args[at], 'WITHCOORD')) query.withPlace = true
    else if (isWord(args[at], 'ANY')) query.any = true
    else if (isWord(args[at], 'ASC')) query.sort = 'asc'
    else if (isWord(args[at], 'DESC')) query.sort = 'desc'
    else if (isWord(args[at], 'COUNT') && left >= 1) {
      query.count = Number(int64Arg(args[++at]))
      if (query.count <= 0) refuse('ERR COUNT must be > 0')
    } else if (mayStore && left >= 1 && (isWord(args[at], 'STORE') || isWord(args[at], 'STOREDIST'))) {
      query.storeDistance = isWord(args[at], 'STOREDIST')
      query.store = args[++at]
    } else if (isSearch && isWord(args[at], 'FROMMEMBER') && left >= 1 && query.centred !== 'place') {
      query.centred = 'member'
      query.centre = memberPlace(zset, args[++at] as Bytes)
    } else if (isSearch && isWord(args[at], 'FROMLONLAT') && left >= 2 && query.centred !== 'member') {
      query.centred = 'place'
      query.centre = placeArg(args[at + 1], args[at + 2])
      at += 2
    } else if (isSearch && isWord(args[at], 'BYRADIUS') && left >= 2 && by !== 'box') {
      by = 'radius'
      query.shape = circleArg(args[at + 1], args[at + 2])
      at += 2
    } else if (isSearch && isWord(args[at], 'BYBOX') && left >= 3 && by !== 'radius') {
      by = 'box'
      query.shape = boxArg(args[at + 1], args[at + 2], args[at + 3])
      at += 3
    } else if (kind === 'searchstore' && isWord(args[at], 'STOREDIST')) query.storeDistance = true
    else throw SYNTAX
  }
  checkQuery(query, args[0] as Bytes, kind)
  // The nearest few are meant, unless any will do.
  if (query.count !== 0 && query.sort === 'none' && !query.any) query.sort = 'asc'
  return query
}

/** What stands before the options. */
function startOf(zset: SortedSetValue | undefined, args: readonly Bytes[], kind: Kind): GeoQuery {
  const byMember = kind === 'bymember' && zset !== undefined
  const centre =
    kind === 'radius' ? placeArg(args[2], args[3]) : byMember ? memberPlace(zset, args[2] as Bytes) : undefined
  const shape = kind === 'radius' ? circleArg(args[4], args[5]) : byMember ? circleArg(args[3], args[4]) : undefined
  return {
    centre,
    shape,
    withDistance: false,
    withHash: false,
    withPlace: false,
    count: 0,
    any: false,
    sort: 'none',
    store: kind === 'searchstore' ? args[1] : undefined,
    storeDistance: false,
    centred: 'no',
  }
}

function checkQuery(query: GeoQuery, command: Bytes, kind: Kind): void {
  if (query.store !== undefined && (query.withDistance || query.withHash || query.withPlace)) {
    const what = kind === 'searchstore' ? 'GEOSEARCHSTORE' : 'STORE option in GEORADIUS'
    refuse(`ERR ${what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options`)
  }
  if (kind === 'search' || kind === 'searchstore') {
    if (query.centred === 'no') refuse(`ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ${command}`)
    if (query.shape === undefined) refuse(`ERR exactly one of BYRADIUS and BYBOX can be specified for ${command}`)
  }
  if (query.any && query.count === 0) refuse('ERR the ANY argument requires COUNT argument')
}

function memberPlace(zset: SortedSetValue | undefined, member: Bytes): Place | undefined {
  if (zset === undefined) return undefined
  const score = zset.score(member)
  if (score === undefined) refuse('ERR could not decode requested zset member')
  return decodePlace(score)
}

function lengthArg(text: Bytes | undefined, what: 'radius' | 'width' | 'height'): number {
  return doubleArg(text, new Refusal(`ERR need numeric ${what}`))
}

function circleArg(radiusText: Bytes | undefined, unitText: Bytes | undefined): Shape {
  const radius = lengthArg(radiusText, 'radius')
  if (radius < 0) refuse('ERR radius cannot be negative')
  const unit = unitArg(unitText)
  return { kind: 'circle', width: radius * unit * 2, height: radius * unit * 2, unit }
}

function boxArg(widthText: Bytes | undefined, heightText: Bytes | undefined, unitText: Bytes | undefined): Shape {
  const width = lengthArg(widthText, 'width')
  const height = lengthArg(heightText, 'height')
  if (width < 0 || height < 0) refuse('ERR height or width cannot be negative')
  const unit = unitArg(unitText)
  return { kind: 'box', width: width * unit, height: height * unit, unit }
}

// ── Searching ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Stops at `limit` hits when it is not 0. */
function findHits(zset: SortedSetValue, centre: Place, shape: Shape, limit: number): Hit[] {
  const hits: Hit[] = []
  for (const cell of cellsAround(centre, shape)) {
    const [from, to] = scoresIn(cell)
    const first = zset.countWhile(score => score < from)
    const count = zset.countWhile(score => score < to) - first
    zset.forRange(first, count, false, (member, score) => {
      if (limit !== 0 && hits.length >= limit) return
      const metres = metresWithin(centre, decodePlace(score), shape)
      if (metres !== undefined) hits.push({ member, score, metres })
    })
  }
  return hits
}

function metresWithin(centre: Place, place: Place, { kind, width, height }: Shape): number | undefined {
  if (kind === 'circle') {
    const metres = distance(centre, place)
    return metres > width / 2 ? undefined : metres
  }
  if (latitudeDistance(place.latitude, centre.latitude) > height / 2) return undefined
  const across = distance(place, { longitude: centre.longitude, latitude: place.latitude })
  return across > width / 2 ? undefined : distance(centre, place)
}

/** Centre, north, south, east, west and the corners, without those that cannot hold anything. */
function cellsAround(centre: Place, shape: Shape): Cell[] {
  const bounds = boundingArea(centre, shape.width, shape.height)
  const reach = shape.kind === 'circle' ? shape.width / 2 : Math.hypot(shape.width / 2, shape.height / 2)
  let middle = cellAt(centre, stepsForRadius(reach, centre.latitude))
  if (middle.steps > 1 && !reachesBounds(middle, bounds)) middle = cellAt(centre, middle.steps - 1)

  const area = areaOf(middle)
  const fine = middle.steps >= 2
  const south = fine && area.minLatitude < bounds.minLatitude
  const north = fine && area.maxLatitude > bounds.maxLatitude
  const west = fine && area.minLongitude < bounds.minLongitude
  const east = fine && area.maxLongitude > bounds.maxLongitude
  const cells: Cell[] = []
  for (const [x, y] of [
    [0, 0],
    [0, 1],
    [0, -1],
    [1, 0],
    [-1, 0],
    [1, 1],
    [-1, 1],
    [1, -1],
    [-1, -1],
  ] as const) {
    if ((y < 0 && south) || (y > 0 && north) || (x < 0 && west) || (x > 0 && east)) continue
    const cell = neighbour(middle, x, y)
    // With few large squares, neighbours on both sides are the same one.
    const last = cells[cells.length - 1]
    if (last === undefined || last.x !== cell.x || last.y !== cell.y) cells.push(cell)
  }
  return cells
}

function reachesBounds(middle: Cell, bounds: ReturnType<typeof boundingArea>): boolean {
  return (
    areaOf(neighbour(middle, 0, 1)).maxLatitude >= bounds.maxLatitude &&
    areaOf(neighbour(middle, 0, -1)).minLatitude <= bounds.minLatitude &&
    areaOf(neighbour(middle, 1, 0)).maxLongitude >= bounds.maxLongitude &&
    areaOf(neighbour(middle, -1, 0)).minLongitude <= bounds.minLongitude
  )
}

// ── Results ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function replyHits(hits: readonly Hit[], query: GeoQuery, unit: number, reply: ReplyWriter): void {
  const { withDistance, withHash, withPlace } = query
  const extras = Number(withDistance) + Number(withHash) + Number(withPlace)
  reply.array(hits.length)
  for (const { member, score, metres } of hits) {
    if (extras > 0) reply.array(extras + 1)
    reply.bulk(member)
    if (withDistance) reply.bulk((metres / unit).toFixed(4))
    if (withHash) reply.integer(score)
    if (withPlace) replyPlace(decodePlace(score), reply)
  }
}

function store(
  call: Call,
  key: Bytes,
  hits: readonly Hit[],
  { storeDistance, shape }: GeoQuery,
  kind: Kind,
  reply: ReplyWriter,
): void {
  if (hits.length > 0) {
    const result = new SortedSetValue()
    for (const { member, score, metres } of hits)
      result.set(member, storeDistance ? metres / (shape?.unit ?? 1) : score, call.settings)
    call.put(key, result)
    call.modified(key, 'z', kind === 'searchstore' ? 'geosearchstore' : 'georadiusstore', hits.length)
  } else if (call.remove(key)) call.modified(key, 'g', 'del')
  reply.integer(hits.length)
}
