/**
 * Commands that nobody asks us for: those of our master's stream, and those of an append-only file. They are applied as
 * they are, without checks that were made when they were first run, and answered to nobody.
 */
import type { Bytes } from '../base/units.js'
import type { CommandSpec } from '../command/table.js'
import type { Caller } from '../engine/host.js'
import { Encoder } from '../resp/encoder.js'
import { restoreKey } from './commands/payload.js'
import { runFromMaster } from './commands/scripting.js'
import type { NodeServer } from './server.js'

const ERROR_BYTE = 0x2d

export class Applier implements Caller {
  /** What the stream or the file has selected. */
  db = 0
  readonly origin = 'master'
  readonly mayBlock = false
  readonly #nowhere = new Encoder(2, 1024)

  constructor(private readonly server: NodeServer) {}

  /** Answers the error: whoever wrote the stream may have more databases than we do. Then the one before stays selected. */
  select(db: number): Bytes | undefined {
    if (this.server.engine.databases[db] === undefined) return 'ERR DB index is out of range'
    this.db = db
    return undefined
  }

  /** Answers the error, if it was one: the data is not what it was where the command ran first. */
  run(spec: CommandSpec, args: readonly Bytes[]): Bytes | undefined {
    const { server } = this
    const reply = this.#nowhere
    if (server.engine.handles(spec)) server.engine.execute(spec, args, this, reply, server.clock.wall())
    else if (spec.group === 'scripting') runFromMaster(spec.name, this, args, reply, server)
    else if (spec.name === 'restore') restoreKey(server, this, args, reply)
    else reply.error(`ERR '${spec.name}' is nothing that can be applied`)
    const failed = reply.length > 0 && reply.byteAt(0) === ERROR_BYTE
    const error = failed ? reply.view().toString('latin1', 1).trim() : undefined
    reply.reset()
    return error
  }
}
