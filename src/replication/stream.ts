/**
 * What a master's stream looks like: commands with their effects, as in an AOF, and between them what masters and replicas
 * have to tell each other.
 */
import { CommandEncoder } from '../persistence/aof/encoder.js'

export type { PropagatedCommand } from '../persistence/aof/encoder.js'

const PING = Buffer.from('*1\r\n$4\r\nPING\r\n')
const GETACK = Buffer.from('*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n')

export class StreamEncoder extends CommandEncoder {
  /** The offset moves, and replicas know that we live. */
  ping(): void {
    this.out.raw(PING)
  }

  /** Asks all replicas to acknowledge now: WAIT and FAILOVER need it. */
  getack(): void {
    this.out.raw(GETACK)
  }
}
