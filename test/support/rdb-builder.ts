/**
 * Snapshots put together by hand, for encodings that we read and never write.
 */

import { ListpackWriter } from '../../src/persistence/encoding/listpack.js'
import { writeIntset } from '../../src/persistence/encoding/ziplist.js'
import { TypeCode } from '../../src/persistence/rdb/format.js'
import { RdbOutput } from '../../src/persistence/rdb/output.js'
import { buildZiplist, buildZipmap } from './old-encodings.js'

/** A whole snapshot of the given version around what `fill` writes. */
export function buildRdb(version: number, fill: (out: RdbOutput) => void): Buffer {
  const out = new RdbOutput(false)
  out.latin1(`REDIS${String(version).padStart(4, '0')}`)
  out.byte(254)
  out.length(0)
  fill(out)
  out.byte(255)
  if (version >= 5) out.checksum()
  return out.take()
}

export function entry(out: RdbOutput, type: number, key: string, value: () => void): void {
  out.byte(type)
  out.string(key)
  value()
}

/** One key of every encoding that the real server 7.0 reads and we do not write. */
export function oldEncodings(out: RdbOutput): void {
  entry(out, TypeCode.list, 'list', () => {
    out.length(3)
    for (const item of ['a', '', '12']) out.string(item)
  })
  entry(out, TypeCode.zset, 'zset', () => {
    out.length(3)
    for (const [member, score] of [
      ['low', '-1.5'],
      ['mid', '3'],
      ['high', '1e+20'],
    ] as const) {
      out.string(member)
      out.byte(score.length)
      out.latin1(score)
    }
    // Two scores that are lengths with a meaning of their own would follow here, were it a list of four.
  })
  entry(out, TypeCode.zset, 'endless', () => {
    out.length(2)
    out.string('most')
    out.byte(254)
    out.string('least')
    out.byte(255)
  })
  entry(out, TypeCode.hashZipmap, 'zipmap', () => out.string(buildZipmap(['field', 'value', 'other', '17'])))
  entry(out, TypeCode.listZiplist, 'listziplist', () => out.string(buildZiplist(['one', 2, -300, 'x'.repeat(300)])))
  entry(out, TypeCode.setIntset, 'intset', () => out.string(writeIntset([-3, 0, 70_000])))
  entry(out, TypeCode.zsetZiplist, 'zsetziplist', () => out.string(buildZiplist(['a', 1, 'b', '2.5', 'c', 'inf'])))
  entry(out, TypeCode.hashZiplist, 'hashziplist', () => out.string(buildZiplist(['f', 'v', 'n', 100_000])))
  entry(out, TypeCode.listQuicklist, 'quicklist', () => {
    out.length(2)
    out.string(buildZiplist(['head', 1]))
    out.string(buildZiplist([2, 'tail']))
  })
  entry(out, TypeCode.listQuicklist2, 'quicklist2', () => {
    out.length(2)
    out.length(1)
    out.string('a plain node')
    out.length(2)
    out.string(listpack(['packed', '5']))
  })
  entry(out, TypeCode.streamListpacks, 'stream', () => {
    out.length(1)
    out.string(`${'\0'.repeat(7)}\x05${'\0'.repeat(8)}`)
    // One entry, one of two deleted: 5-0 {f: v}, 5-1 deleted.
    out.string(listpack(['1', '1', '1', 'f', '0', '2', '0', '0', 'v', '4', '3', '0', '1', 'w', '4']))
    for (const count of [1, 5, 1, 1]) out.length(count)
    out.string('group')
    for (const count of [5, 0, 1]) out.length(count)
    out.latin1(`${'\0'.repeat(7)}\x05${'\0'.repeat(8)}`)
    out.uint64(1_600_000_000_000)
    for (const count of [3, 1]) out.length(count)
    out.string('consumer')
    out.uint64(1_600_000_000_001)
    out.length(1)
    out.latin1(`${'\0'.repeat(7)}\x05${'\0'.repeat(8)}`)
  })
  // Expiry in seconds, and hints about accesses.
  out.byte(253)
  out.raw(Buffer.from([0xff, 0xff, 0xff, 0x7f]))
  out.byte(249)
  out.byte(7)
  entry(out, TypeCode.string, 'seconds', () => out.string('until 2038'))
}

/** What only servers after 7.0 write: no server at hand can witness it. */
export function newEncodings(out: RdbOutput): void {
  out.byte(244)
  for (const size of [1, 2, 3]) out.length(size)
  entry(out, TypeCode.setListpack, 'setlistpack', () => out.string(listpack(['a', '5', 'c'])))
  entry(out, TypeCode.streamListpacks3, 'stream3', () => {
    out.length(0)
    for (const count of [0, 9, 1, 0, 0, 9, 0, 4, 1]) out.length(count)
    out.string('group')
    for (const count of [9, 1, 2, 0, 1]) out.length(count)
    out.string('consumer')
    out.uint64(1_600_000_000_001)
    out.uint64(1_600_000_000_002)
    out.length(0)
  })
}

function listpack(elements: readonly string[]): Buffer {
  const pack = new ListpackWriter()
  for (const element of elements) pack.text(element)
  return pack.finish()
}
