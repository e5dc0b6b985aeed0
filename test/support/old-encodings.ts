/**
 * Encodings that only old servers wrote, built by hand: we read them and never write them.
 */

export function buildZiplist(elements: readonly (string | number)[]): Buffer {
  const parts: Buffer[] = []
  let previous = 0
  let tail = 10
  let at = 10
  for (const element of elements) {
    const head = previous < 254 ? Buffer.from([previous]) : Buffer.concat([Buffer.from([254]), uint32(previous)])
    const entry = Buffer.concat([head, typeof element === 'number' ? ziplistInteger(element) : ziplistText(element)])
    parts.push(entry)
    tail = at
    at += entry.length
    previous = entry.length
  }
  const header = Buffer.alloc(10)
  header.writeUInt32LE(at + 1, 0)
  header.writeUInt32LE(tail, 4)
  header.writeUInt16LE(elements.length, 8)
  return Buffer.concat([header, ...parts, Buffer.from([0xff])])
}

function ziplistText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  const { length } = bytes
  if (length < 64) return Buffer.concat([Buffer.from([length]), bytes])
  if (length < 16384) return Buffer.concat([Buffer.from([0x40 | (length >> 8), length & 0xff]), bytes])
  const header = Buffer.alloc(5)
  header[0] = 0x80
  header.writeUInt32BE(length, 1)
  return Buffer.concat([header, bytes])
}

function ziplistInteger(value: number): Buffer {
  if (value >= 0 && value <= 12) return Buffer.from([0xf1 + value])
  for (const [size, code] of [
    [1, 0xfe],
    [2, 0xc0],
    [3, 0xf0],
    [4, 0xd0],
  ] as const) {
    const bound = 2 ** (size * 8 - 1)
    if (value < -bound || value >= bound) continue
    const bytes = Buffer.alloc(1 + size)
    bytes[0] = code
    bytes.writeIntLE(value, 1, size)
    return bytes
  }
  const bytes = Buffer.alloc(9)
  bytes[0] = 0xe0
  bytes.writeBigInt64LE(BigInt(value), 1)
  return bytes
}

/** Fields and values in turn; every value is followed by two free bytes. */
export function buildZipmap(pairs: readonly string[]): Buffer {
  const parts: Buffer[] = [Buffer.from([pairs.length / 2])]
  for (const [index, text] of pairs.entries()) {
    const bytes = Buffer.from(text, 'latin1')
    const isValue = index % 2 === 1
    parts.push(
      bytes.length < 254 ? Buffer.from([bytes.length]) : Buffer.concat([Buffer.from([254]), uint32(bytes.length)]),
    )
    parts.push(isValue ? Buffer.from([2]) : Buffer.alloc(0), bytes, isValue ? Buffer.alloc(2) : Buffer.alloc(0))
  }
  return Buffer.concat([...parts, Buffer.from([0xff])])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value, 0)
  return bytes
}
