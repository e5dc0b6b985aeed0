/**
 * FUNCTION DUMP and RESTORE: the code of all libraries outside of any snapshot.
 *
 *     [opcode │ code] … │ version, 2 bytes │ checksum, 8 bytes
 */
import type { Bytes } from '../base/units.js'
import { FOOTER_BYTES, hasGoodFooter } from './dump.js'
import { CorruptError } from './encoding/corrupt.js'
import { Opcode, RDB_VERSION } from './rdb/format.js'
import { MORE, RdbInput } from './rdb/input.js'
import { RdbOutput } from './rdb/output.js'

export function dumpFunctions(sources: readonly Bytes[]): Buffer {
  const out = new RdbOutput(true)
  for (const source of sources) {
    out.byte(Opcode.function)
    out.string(source)
  }
  out.byte(RDB_VERSION & 0xff)
  out.byte(RDB_VERSION >> 8)
  out.checksum()
  return out.take()
}

export type RestoredFunctions =
  | { readonly sources: readonly Bytes[] }
  | { readonly refused: 'bad-footer' | 'not-a-function' | 'bad-format' }

export function readFunctions(payload: Bytes): RestoredFunctions {
  const bytes = Buffer.from(payload, 'latin1')
  if (!hasGoodFooter(bytes, 0)) return { refused: 'bad-footer' }
  const input = new RdbInput()
  input.feed(bytes.subarray(0, bytes.length - FOOTER_BYTES))
  const sources: Bytes[] = []
  try {
    while (input.pending > 0) {
      if (input.byte() !== Opcode.function) return { refused: 'not-a-function' }
      sources.push(input.string())
      input.commit()
    }
  } catch (error) {
    if (error !== MORE && !(error instanceof CorruptError)) throw error
    return { refused: 'bad-format' }
  }
  return { sources }
}
