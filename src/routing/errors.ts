/**
 * What an error reply means for whoever has to decide about sending the command again.
 *
 * | reply                                  | executed? | what follows                                        |
 * |----------------------------------------|-----------|-----------------------------------------------------|
 * | READONLY                               | no        | that instance is no master: find it, send again     |
 * | LOADING, MASTERDOWN                    | no        | the instance does not serve: send elsewhere, later  |
 * | UNBLOCKED force unblock …              | no        | send again with the time that is left               |
 * | NOSCRIPT                               | no        | load the script if we know it, send again once      |
 * | NOREPLICAS, MISCONF, OOM, NOPERM, BUSY | no        | the client's to know                                |
 * | everything else                        | it is the command's answer                                      |
 */
import type { Bytes } from '../base/units.js'

export type ErrorMeaning = 'not-master' | 'not-serving' | 'unblocked' | 'no-script' | 'answer'

/**
 * `text` is the error without its dash. All of its words are looked at: a script may answer any code it likes, after it has
 * written, and CLIENT UNBLOCK is meant for the client.
 */
export function meaningOf(text: Bytes): ErrorMeaning {
  // EXEC on a master that was demoted after the commands were queued.
  if (text.startsWith(ABORTED)) return meaningOf(text.slice(ABORTED.length))
  if (text.startsWith('READONLY You can')) return 'not-master'
  if (LOADING.test(text) || text === MASTER_DOWN) return 'not-serving'
  if (text.startsWith('UNBLOCKED force unblock')) return 'unblocked'
  if (text === NO_SCRIPT) return 'no-script'
  return 'answer'
}

/** As Redis and Valkey say it. */
const LOADING = /^LOADING [A-Za-z]+ is loading the dataset in memory$/
const MASTER_DOWN = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
const NO_SCRIPT = 'NOSCRIPT No matching script. Please use EVAL.'
const ABORTED = 'EXECABORT Transaction discarded because of: '

/** Codes that are label values of their own; all others count as `other`, for scripts may invent as many as they like. */
const KNOWN_CODES = new Set(
  (
    'ERR WRONGTYPE READONLY LOADING MASTERDOWN UNBLOCKED NOSCRIPT NOREPLICAS MISCONF OOM BUSY EXECABORT NOAUTH ' +
    'WRONGPASS NOPERM BUSYGROUP NOGROUP BUSYKEY NOPROTO UNKNOWNRESULT LOSTWRITE NOREPLICA MOVED ASK CLUSTERDOWN TRYAGAIN CROSSSLOT ' +
    'UNKILLABLE NOTBUSY NOGOODSLAVE NOMASTERLINK INPROG DENIED'
  ).split(' '),
)

/** The first word of an error, as a label. */
export function errorCode(text: Bytes): string {
  const space = text.indexOf(' ')
  const code = space < 0 ? text : text.slice(0, space)
  return KNOWN_CODES.has(code) ? code : 'other'
}

/** Nothing was sent, and no master became writable in time. */
export const HOLD_EXPIRED = 'MASTERDOWN No master became writable in time, the command was not executed'
/** The same for a command that does not fit among those that wait. */
export const HOLD_FULL = 'MASTERDOWN Too much waits for a writable master already, the command was not executed'

/** Said once to a connection whose writes, or what it has read, the new master may not have. */
export const LOST_WRITE =
  'LOSTWRITE What was acknowledged to this connection may have been lost in a failover; this command was not executed'

/** By policy the master is not asked for what replicas shall answer. */
export const NO_REPLICA = 'NOREPLICA No replica is fresh enough for this read, and the master is spared by policy'

/** It was sent, and nobody will ever say what became of it. */
export const UNKNOWN_RESULT = 'UNKNOWNRESULT The connection to the instance was lost before it answered'
