/**
 * Places on earth as 52-bit numbers: the bits of longitude and latitude in turn, so that near places mostly have near
 * numbers, and a square of the map is one range of them.
 */

export const LONGITUDE_MAX = 180
/** The projection that is cut into squares ends here, as web maps do. */
export const LATITUDE_MAX = 85.05112878
const STEPS = 26
const EARTH_RADIUS = 6372797.560856
const MERCATOR_MAX = 20037726.37

export interface Place {
  readonly longitude: number
  readonly latitude: number
}

export interface Area {
  readonly minLongitude: number
  readonly maxLongitude: number
  readonly minLatitude: number
  readonly maxLatitude: number
}

/** A square of the map: the upper `2 × steps` bits of all numbers in it. */
export interface Cell {
  readonly x: number
  readonly y: number
  readonly steps: number
}

/** The score of a place. */
export function encodePlace(place: Place): number {
  return interleave(cellAt(place, STEPS))
}

/** The middle of the smallest square that a score names. */
export function decodePlace(score: number): Place {
  const area = areaOf(deinterleave(score))
  return {
    longitude: clamp((area.minLongitude + area.maxLongitude) / 2, LONGITUDE_MAX),
    latitude: clamp((area.minLatitude + area.maxLatitude) / 2, LATITUDE_MAX),
  }
}

export function cellAt({ longitude, latitude }: Place, steps: number, latitudeMax = LATITUDE_MAX): Cell {
  const size = 2 ** steps
  return {
    x: Math.floor(((longitude + LONGITUDE_MAX) / (2 * LONGITUDE_MAX)) * size),
    y: Math.floor(((latitude + latitudeMax) / (2 * latitudeMax)) * size),
    steps,
  }
}

export function areaOf({ x, y, steps }: Cell): Area {
  const size = 2 ** steps
  const longitude = (part: number) => -LONGITUDE_MAX + (part / size) * (2 * LONGITUDE_MAX)
  const latitude = (part: number) => -LATITUDE_MAX + (part / size) * (2 * LATITUDE_MAX)
  return {
    minLongitude: longitude(x),
    maxLongitude: longitude(x + 1),
    minLatitude: latitude(y),
    maxLatitude: latitude(y + 1),
  }
}

/** The square so many steps east and north of this one; the map is a torus. */
export function neighbour({ x, y, steps }: Cell, east: number, north: number): Cell {
  const size = 2 ** steps
  return { x: (x + east + size) % size, y: (y + north + size) % size, steps }
}

/** Scores of everything in a square: from the first up to, but without, the second. */
export function scoresIn(cell: Cell): readonly [from: number, to: number] {
  const factor = 2 ** (2 * (STEPS - cell.steps))
  const bits = interleave(cell)
  return [bits * factor, (bits + 1) * factor]
}

/** The eleven letters of the public geohash, which covers latitudes up to 90 and so differs from scores. */
export function geohashText(place: Place): string {
  const alphabet = '0123456789bcdefghjkmnpqrstuvwxyz'
  const bits = BigInt(interleave(cellAt(place, STEPS, 90)))
  let text = ''
  // 52 bits are ten letters and a bit; the eleventh is always the first of the alphabet.
  for (let letter = 0; letter < 10; letter++) text += alphabet[Number((bits >> BigInt(52 - (letter + 1) * 5)) & 31n)]
  return `${text}0`
}

/** Metres between two places on the sphere. */
export function distance(a: Place, b: Place): number {
  const lat1 = radians(a.latitude)
  const lat2 = radians(b.latitude)
  const u = Math.sin((radians(b.longitude) - radians(a.longitude)) / 2)
  const v = Math.sin((lat2 - lat1) / 2)
  if (u === 0) return EARTH_RADIUS * Math.abs(lat2 - lat1)
  return 2 * EARTH_RADIUS * Math.asin(Math.sqrt(v * v + Math.cos(lat1) * Math.cos(lat2) * u * u))
}

/** Metres between two latitudes. */
export function latitudeDistance(a: number, b: number): number {
  return EARTH_RADIUS * Math.abs(radians(b) - radians(a))
}

/** The rectangle around everything within `height / 2` and `width / 2` of a place. */
export function boundingArea({ longitude, latitude }: Place, width: number, height: number): Area {
  const lat = degrees(height / 2 / EARTH_RADIUS)
  const atTop = degrees(width / 2 / EARTH_RADIUS / Math.cos(radians(latitude + lat)))
  const atBottom = degrees(width / 2 / EARTH_RADIUS / Math.cos(radians(latitude - lat)))
  const long = latitude < 0 ? atBottom : atTop
  return {
    minLongitude: longitude - long,
    maxLongitude: longitude + long,
    minLatitude: latitude - lat,
    maxLatitude: latitude + lat,
  }
}

/** How fine a square must be so that nine of them cover the circle. */
export function stepsForRadius(radius: number, latitude: number): number {
  if (radius === 0) return STEPS
  let steps = 1
  for (let reach = radius; reach < MERCATOR_MAX; reach *= 2) steps++
  steps -= 2
  // Towards the poles squares shrink.
  if (Math.abs(latitude) > 66) steps--
  if (Math.abs(latitude) > 80) steps--
  return Math.min(STEPS, Math.max(1, steps))
}

function interleave({ x, y }: Cell): number {
  // Longitude has the higher bit of each pair. 52 bits do not fit into 32: two halves of 26.
  const low = spread(y & 0x1fff) | (spread(x & 0x1fff) << 1)
  const high = spread(Math.floor(y / 0x2000)) | (spread(Math.floor(x / 0x2000)) << 1)
  return high * 0x4000000 + low
}

function deinterleave(score: number): Cell {
  const high = Math.floor(score / 0x4000000)
  const low = score % 0x4000000
  return {
    x: squeeze(high >> 1) * 0x2000 + squeeze(low >> 1),
    y: squeeze(high) * 0x2000 + squeeze(low),
    steps: STEPS,
  }
}

/** Puts a zero between the bits of a number of up to 16. */
function spread(bits: number): number {
  bits = (bits | (bits << 8)) & 0x00ff00ff
  bits = (bits | (bits << 4)) & 0x0f0f0f0f
  bits = (bits | (bits << 2)) & 0x33333333
  return (bits | (bits << 1)) & 0x55555555
}

function squeeze(bits: number): number {
  bits &= 0x55555555
  bits = (bits | (bits >> 1)) & 0x33333333
  bits = (bits | (bits >> 2)) & 0x0f0f0f0f
  bits = (bits | (bits >> 4)) & 0x00ff00ff
  return (bits | (bits >> 8)) & 0x0000ffff
}

function clamp(value: number, limit: number): number {
  return Math.min(limit, Math.max(-limit, value))
}

function radians(value: number): number {
  return value * (Math.PI / 180)
}

function degrees(value: number): number {
  return value / (Math.PI / 180)
}
