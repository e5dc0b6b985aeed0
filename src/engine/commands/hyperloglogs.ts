/**
 * PFADD, PFCOUNT, PFMERGE: counting distinct elements in 12 KiB, give or take one in a hundred.
 */
import type { Bytes } from '../../base/units.js'
import { asString, type Call, type Handler } from '../call.js'
import {
  addElement,
  countElements,
  emptyRegisters,
  encodingOfSketch,
  mergeRegisters,
  readSketch,
  type Sketch,
  writeSketch,
} from '../hyperloglog.js'

export const hyperLogLogCommands: Readonly<Record<string, Handler>> = {
  pfadd(call, args, reply) {
    const key = args[1] as Bytes
    const value = call.writeString(key)
    if (value !== undefined && args.length === 2) {
      encodingOfSketch(value)
      return reply.integer(0)
    }
    const sketch = value === undefined ? emptySketch() : readSketch(value)
    let grown = value === undefined
    for (let at = 2; at < args.length; at++) if (addElement(sketch.registers, args[at] as Bytes)) grown = true
    if (grown) {
      store(call, key, sketch)
      call.modified(key, '$', 'pfadd')
    }
    reply.integer(grown ? 1 : 0)
  },

  pfcount(call, args, reply) {
    if (args.length > 2) {
      const union = emptyRegisters()
      for (const key of args.slice(1)) {
        const value = asString(call.read(key))
        if (value !== undefined) mergeRegisters(union, readSketch(value).registers)
      }
      return reply.integer(countElements(union))
    }
    const key = args[1] as Bytes
    const value = call.readString(key)
    if (value === undefined) return reply.integer(0)
    const sketch = readSketch(value)
    const count = sketch.stale ? countElements(sketch.registers) : sketch.cachedCount
    // The count is kept with the sketch; a replica waits for its master to do so.
    if (sketch.stale && !(call.engine.isReplica && call.caller.origin !== 'master')) {
      call.write(key)
      const bytes = Buffer.from(typeof value === 'string' ? Buffer.from(value, 'latin1') : value)
      bytes.writeBigUInt64LE(count, 8)
      call.replace(key, bytes)
      call.changed(key)
    }
    reply.integer(count)
  },

  pfmerge(call, args, reply) {
    const union = emptyRegisters()
    let sparse = true
    for (const key of args.slice(1)) {
      const value = asString(call.read(key))
      if (value === undefined) continue
      const sketch = readSketch(value)
      mergeRegisters(union, sketch.registers)
      if (!sketch.sparse) sparse = false
    }
    const key = args[1] as Bytes
    const before = asString(call.write(key))
    const cachedCount = before === undefined ? 0n : readSketch(before).cachedCount
    store(call, key, { registers: union, sparse, cachedCount, stale: true })
    call.modified(key, '$', 'pfadd')
    reply.ok()
  },
}

function emptySketch(): Sketch {
  return { registers: emptyRegisters(), sparse: true, cachedCount: 0n, stale: true }
}

/** Stores a sketch that has just changed, so that its count is stale. */
function store(call: Call, key: Bytes, sketch: Sketch): void {
  call.put(key, writeSketch({ ...sketch, stale: true }, call.settings.hllSparseMaxBytes), true)
}
