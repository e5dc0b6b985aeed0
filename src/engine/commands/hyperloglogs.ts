/**
 * PFADD, PFCOUNT, PFMERGE: counting distinct elements in 12 KiB, give or take one in a hundred.
 */
import type { Bytes } from '../../base/units.js'
import { untilNul } from '../../command/table.js'
import { asString, type Call, type Handler } from '../call.js'
import {
  addElement,
  countElements,
  describeSparse,
  emptyRegisters,
  encodingOfSketch,
  knownCount,
  mergeRegisters,
  readSketch,
  type Sketch,
  writeSketch,
} from '../hyperloglog.js'
import { refuse } from '../refusal.js'

export const hyperLogLogCommands: Readonly<Record<string, Handler>> = {
  pfadd(call, args, reply) {
    const key = args[1] as Bytes
    const value = call.writeString(key)
    if (value !== undefined && args.length === 2) {
      encodingOfSketch(value)
      return reply.integer(0)
    }
    const sketch = value === undefined ? emptySketch() : readSketch(value)
    let changes = value === undefined ? 1 : 0
    for (let at = 2; at < args.length; at++) if (addElement(sketch.registers, args[at] as Bytes)) changes++
    if (changes > 0) {
      store(call, key, sketch)
      call.modified(key, '$', 'pfadd', changes)
    }
    reply.integer(changes > 0 ? 1 : 0)
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
    const known = knownCount(value)
    if (known !== undefined) return reply.integer(known)
    const count = countElements(readSketch(value).registers)
    // The count is kept with the sketch, by a replica in its own copy.
    call.write(key)
    const bytes = Buffer.from(typeof value === 'string' ? Buffer.from(value, 'latin1') : value)
    bytes.writeBigUInt64LE(count, 8)
    call.replace(key, bytes)
    call.changed(key)
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

  pfdebug(call, args, reply) {
    const [, word, key] = args as [Bytes, Bytes, Bytes]
    const value = call.writeString(key)
    if (value === undefined) refuse('ERR The specified key does not exist')
    const sketch = readSketch(value)
    switch (word.toUpperCase()) {
      case 'GETREG':
        makeDense(call, key, sketch)
        reply.array(sketch.registers.length)
        for (const register of sketch.registers) reply.integer(register)
        return
      case 'DECODE':
        if (!sketch.sparse) refuse('ERR HLL encoding is not sparse')
        return reply.simple(describeSparse(value))
      case 'ENCODING':
        return reply.simple(sketch.sparse ? 'sparse' : 'dense')
      case 'TODENSE':
        return reply.integer(makeDense(call, key, sketch) ? 1 : 0)
      default:
        refuse(`ERR Unknown PFDEBUG subcommand '${untilNul(word)}'`)
    }
  },

  /** Every value of every register survives being packed into six bits, and counting comes close to what was added. */
  pfselftest(_call, _args, reply) {
    const registers = emptyRegisters()
    for (let round = 0; round < 64; round++) {
      for (let index = 0; index < registers.length; index++) registers[index] = (index * 31 + round * 17) & 63
      const packed = writeSketch({ registers, sparse: false, cachedCount: 0n, stale: true }, 0)
      if (!readSketch(packed).registers.every((value, index) => value === registers[index]))
        refuse('ERR TESTFAILED Register set differs after packing')
    }
    registers.fill(0)
    for (let added = 1; added <= SELFTEST_ELEMENTS; added++) {
      addElement(registers, `element:${added}`)
      if (added % 10_000 !== 0) continue
      const error = Math.abs(Number(countElements(registers)) - added) / added
      // Four times the standard error of 0.81 %.
      if (error > 0.0325) refuse(`ERR TESTFAILED Too big error at ${added}`)
    }
    reply.ok()
  },
}

const SELFTEST_ELEMENTS = 100_000

/** Answers whether it was sparse before. */
function makeDense(call: Call, key: Bytes, sketch: Sketch): boolean {
  if (!sketch.sparse) return false
  call.replace(key, writeSketch({ ...sketch, sparse: false }, 0))
  call.dirty++
  return true
}

function emptySketch(): Sketch {
  return { registers: emptyRegisters(), sparse: true, cachedCount: 0n, stale: true }
}

/** Stores a sketch that has just changed, so that its count is stale. */
function store(call: Call, key: Bytes, sketch: Sketch): void {
  call.put(key, writeSketch({ ...sketch, stale: true }, call.settings.hllSparseMaxBytes), true)
}
