/**
 * `oom-score-adj`: tells the kernel whom to end first when the machine is out of memory: a replica rather than a master.
 *
 * Switched off again it puts back the score it found. Elsewhere than on Linux there is nothing to tell.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import type { NodeServer } from './server.js'

const FILE = '/proc/self/oom_score_adj'
const MIN = -1000
const MAX = 1000

export class OomScore {
  /** The score that was there before ours. */
  #found: number | undefined

  constructor(private readonly server: NodeServer) {}

  /** By the role and the configuration of this moment; answers why it could not be set. */
  apply(): string | undefined {
    const mode = this.server.config.text('oom-score-adj')
    if (mode === 'no' && this.#found === undefined) return undefined
    try {
      this.#found ??= Number(readFileSync(FILE, 'latin1'))
      writeFileSync(FILE, String(this.#wanted(mode, this.#found)))
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? String(error)
      this.server.log.warning(`Unable to write oom_score_adj: ${reason}`)
      return 'Failed to set current oom_score_adj. Check server logs.'
    }
    if (mode === 'no') this.#found = undefined
    return undefined
  }

  #wanted(mode: string, found: number): number {
    if (mode === 'no') return found
    const [master = 0, replica = 0] = this.server.config.text('oom-score-adj-values').split(' ').map(Number)
    const score = this.server.role === 'master' ? master : replica
    return Math.max(MIN, Math.min(MAX, mode === 'absolute' ? score : found + score))
  }
}
