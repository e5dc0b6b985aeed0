/**
 * Streams as Redis 7.0 writes them: nodes of entries as listpacks, then the counters, then the groups.
 *
 *     node      key: the first entry's id │ listpack
 *     listpack  count │ deleted │ fields │ name … │ 0 │ entry …
 *     entry     flags │ ms and seq, relative to the key │ [fields] │ value … │ number of elements
 *
 * An entry whose field names are those of the node's first entry does not repeat them.
 */
import type { Bytes } from '../../base/units.js'
import type { EngineSettings } from '../../engine/settings.js'
import { idMs, idSeq, MAX_ID, type StreamId } from '../../engine/types/id-map.js'
import type { ConsumerGroup, StreamValue } from '../../engine/types/stream.js'
import { ListpackWriter } from '../encoding/listpack.js'
import { ENTRY_SAME_FIELDS } from './format.js'
import type { RdbOutput } from './output.js'
import type { Steps } from './value-writer.js'

const NODE_ENTRIES_MAX = 1000
/** A counter that is not known. */
const UNKNOWN_COUNT = 0xffffffffffffffffn

export function* writeStream(out: RdbOutput, value: StreamValue, settings: EngineSettings): Steps {
  const nodes = nodesOf(value, settings)
  out.length(nodes.length)
  for (const node of nodes) {
    writeNode(out, value, node.from, node.count)
    yield
  }
  out.length(value.length)
  writeId(out, value.lastId)
  writeId(out, value.firstId)
  writeId(out, value.maxDeletedId)
  out.length(value.entriesAdded)
  out.length(value.groups.size)
  for (const [name, group] of value.groups) {
    yield
    writeGroup(out, name, group)
  }
}

interface NodePlan {
  readonly from: StreamId
  count: number
}

function nodesOf(value: StreamValue, settings: EngineSettings): NodePlan[] {
  const entriesMax = settings.streamNodeMaxEntries || NODE_ENTRIES_MAX
  const bytesMax = settings.streamNodeMaxBytes || Number.POSITIVE_INFINITY
  const nodes: NodePlan[] = []
  let node: NodePlan | undefined
  let bytes = 0
  value.entries.forEach((id, fields) => {
    let size = 24
    for (const text of fields) size += text.length + 2
    if (node === undefined || node.count >= entriesMax || bytes + size > bytesMax) {
      node = { from: id, count: 0 }
      nodes.push(node)
      bytes = 0
    }
    node.count++
    bytes += size
  })
  return nodes
}

function writeNode(out: RdbOutput, value: StreamValue, from: StreamId, count: number): void {
  const pack = new ListpackWriter(4096)
  const keyMs = idMs(from)
  const keySeq = idSeq(from)
  let master: readonly Bytes[] | undefined
  let left = count
  value.entries.forRange(from, MAX_ID, (id, fields) => {
    if (master === undefined) {
      master = fields
      writeMaster(pack, count, fields)
    }
    writeNodeEntry(pack, idMs(id) - keyMs, idSeq(id) - keySeq, fields, master)
    return --left > 0
  })
  writeText(out, from)
  out.string(pack.finish())
}

function writeMaster(pack: ListpackWriter, count: number, fields: readonly Bytes[]): void {
  pack.integer(count)
  pack.integer(0)
  pack.integer(fields.length / 2)
  for (let index = 0; index < fields.length; index += 2) pack.text(fields[index] as Bytes)
  pack.integer(0)
}

function writeNodeEntry(
  pack: ListpackWriter,
  ms: bigint,
  seq: bigint,
  fields: readonly Bytes[],
  master: readonly Bytes[],
): void {
  const same = sameNames(fields, master)
  const begin = pack.count
  pack.integer(same ? ENTRY_SAME_FIELDS : 0)
  pack.bigint(BigInt.asIntN(64, ms))
  pack.bigint(BigInt.asIntN(64, seq))
  if (!same) pack.integer(fields.length / 2)
  for (let index = same ? 1 : 0; index < fields.length; index += same ? 2 : 1) pack.text(fields[index] as Bytes)
  pack.integer(pack.count - begin)
}

function sameNames(fields: readonly Bytes[], master: readonly Bytes[]): boolean {
  if (fields.length !== master.length) return false
  for (let index = 0; index < fields.length; index += 2) if (fields[index] !== master[index]) return false
  return true
}

function writeGroup(out: RdbOutput, name: Bytes, group: ConsumerGroup): void {
  out.string(name)
  writeId(out, group.lastId)
  if (group.entriesRead === undefined) out.length64(UNKNOWN_COUNT)
  else out.length(group.entriesRead)

  out.length(group.pending.size)
  group.pending.forEach((id, { deliveredAt, deliveries }) => {
    out.latin1(id)
    out.uint64(deliveredAt)
    out.length(deliveries)
  })

  out.length(group.consumers.size)
  for (const consumer of group.consumers.values()) {
    out.string(consumer.name)
    out.uint64(consumer.seenAt)
    out.length(consumer.pending.size)
    consumer.pending.forEach(id => out.latin1(id))
  }
}

function writeId(out: RdbOutput, id: StreamId): void {
  out.length64(idMs(id))
  out.length64(idSeq(id))
}

/** A node's key is 16 bytes of text, never shortened. */
function writeText(out: RdbOutput, text: Bytes): void {
  out.length(text.length)
  out.latin1(text)
}
