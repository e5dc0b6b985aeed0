/**
 * What a snapshot is written as. The walk (snapshot.ts) is the same for all of them.
 *
 *     rdb        header, aux fields, functions │ per database: selector, sizes, entries │ end, checksum
 *     commands   [#TS] FUNCTION LOAD … │ SELECT, the commands that make each entry │ nothing
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import type { EngineSettings } from '../engine/settings.js'
import type { Value } from '../engine/value.js'
import { CommandEntries } from './aof/entry-writer.js'
import { Opcode, RDB_VERSION } from './rdb/format.js'
import type { RdbOutput } from './rdb/output.js'
import { type Steps, stepsOf, typeCodeOf, writeEntry } from './rdb/value-writer.js'
import type { SnapshotOptions } from './snapshot.js'

export interface SnapshotForm {
  header(out: RdbOutput): void
  /** What follows belongs to `db`; its sizes are told the first time. */
  select(out: RdbOutput, db: number, sizes: { readonly keys: number; readonly volatileKeys: number } | undefined): void
  entry(out: RdbOutput, key: Bytes, value: Value, expireAt: UnixMillis): void
  /** The steps that write a big value; undefined when it has been written at once. */
  bigEntry(out: RdbOutput, key: Bytes, value: Value, expireAt: UnixMillis): Steps | undefined
  end(out: RdbOutput): void
}

export function formOf(settings: EngineSettings, options: SnapshotOptions): SnapshotForm {
  if (options.form !== 'commands') return new RdbForm(settings, options)
  return new CommandEntries({
    functions: options.functions,
    timestamp: options.timestamp === true ? options.now : undefined,
  })
}

class RdbForm implements SnapshotForm {
  constructor(
    private readonly settings: EngineSettings,
    private readonly options: SnapshotOptions,
  ) {}

  header(out: RdbOutput): void {
    const { options } = this
    out.latin1(`REDIS${String(RDB_VERSION).padStart(4, '0')}`)
    aux(out, 'redis-ver', options.redisVersion)
    aux(out, 'redis-bits', '64')
    aux(out, 'ctime', String(Math.floor(options.now / 1000)))
    aux(out, 'used-mem', String(Math.round(options.usedMemory)))
    if (options.replication !== undefined) {
      aux(out, 'repl-stream-db', String(options.replication.streamDb))
      aux(out, 'repl-id', options.replication.replid)
      aux(out, 'repl-offset', String(options.replication.offset))
    }
    aux(out, 'aof-base', options.isAofBase ? '1' : '0')
    if (options.filter === 'nothing') return
    for (const code of options.functions) {
      out.byte(Opcode.function)
      out.string(code)
    }
  }

  select(
    out: RdbOutput,
    db: number,
    sizes: { readonly keys: number; readonly volatileKeys: number } | undefined,
  ): void {
    out.byte(Opcode.selectDb)
    out.length(db)
    if (sizes === undefined) return
    out.byte(Opcode.resizeDb)
    out.length(sizes.keys)
    out.length(sizes.volatileKeys)
  }

  entry(out: RdbOutput, key: Bytes, value: Value, expireAt: UnixMillis): void {
    expiry(out, expireAt)
    writeEntry(out, key, value, this.settings)
  }

  bigEntry(out: RdbOutput, key: Bytes, value: Value, expireAt: UnixMillis): Steps | undefined {
    expiry(out, expireAt)
    out.byte(typeCodeOf(value))
    out.string(key)
    return stepsOf(out, value, this.settings)
  }

  end(out: RdbOutput): void {
    out.byte(Opcode.eof)
    if (this.options.checksum) out.checksum()
    else out.uint64(0)
  }
}

function aux(out: RdbOutput, name: Bytes, value: Bytes): void {
  out.byte(Opcode.aux)
  out.string(name)
  out.string(value)
}

function expiry(out: RdbOutput, expireAt: UnixMillis): void {
  if (expireAt === 0) return
  out.byte(Opcode.expireMs)
  out.uint64(expireAt)
}
