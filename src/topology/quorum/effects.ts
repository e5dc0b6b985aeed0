/**
 * What a sentinel decided, for those who act: src/sentinel/server performs each of these and decides nothing.
 */
import type { Millis } from '../../base/units.js'
import type { LinkFacts, MasterWatch, PeerWatch, Place, ServerWatch, Watched } from './watched.js'

/** Redis' levels: a `warning` runs the notification script, a `debug` one is not published. */
export type EventLevel = 'debug' | 'verbose' | 'notice' | 'warning'

/** Which connection: for commands, or for messages (the hello channel). */
export type LineKind = 'commands' | 'messages'

export type QuorumEffect =
  /** To the log, to the channel of that name, to the notification script when there is one. */
  | {
      readonly do: 'event'
      readonly level: EventLevel
      readonly name: string
      readonly text: string
      readonly master: string | undefined
      readonly script: string | undefined
    }
  | { readonly do: 'log'; readonly level: EventLevel; readonly text: string }
  | { readonly do: 'connect'; readonly to: Watched; readonly line: LineKind }
  | { readonly do: 'close'; readonly link: LinkFacts; readonly line: LineKind }
  | { readonly do: 'ping'; readonly to: Watched }
  | { readonly do: 'info' | 'kill-script'; readonly to: ServerWatch }
  | { readonly do: 'hello'; readonly to: Watched }
  /** Is it one of ours? */
  | { readonly do: 'ask-kind'; readonly to: PeerWatch }
  /** `place` undefined: become master. Always followed by a look at what came of it. */
  | { readonly do: 'slaveof'; readonly to: ServerWatch; readonly place: Place | undefined }
  /** The same for a master whose writers are paused: they are let go to the next one before their connections end. */
  | { readonly do: 'step-down'; readonly to: MasterWatch; readonly place: Place }
  /** CLIENT PAUSE for writers, then a look at what it has by then; and the end of that. */
  | { readonly do: 'pause'; readonly to: MasterWatch; readonly forMs: Millis }
  | { readonly do: 'unpause'; readonly to: MasterWatch }
  | { readonly do: 'ask'; readonly to: PeerWatch; readonly epoch: number; readonly candidate: string | undefined }
  /** What we have learnt goes to the disk when everybody who waits for it has been told. Votes do not wait: election.ts. */
  | { readonly do: 'save' }
  | { readonly do: 'run-script'; readonly path: string; readonly args: readonly string[] }
  /** SENTINEL SIMULATE-FAILURE. */
  | { readonly do: 'crash' }

/** What was heard and not believed; the label of a metric. */
export type Ignored =
  | 'malformed'
  | 'unknown-master'
  | 'impossible-epoch'
  | 'unresolved-name'
  | 'foreign-replica'
  | 'unwritable'

export const ignoredReasons: readonly Ignored[] = [
  'malformed',
  'unknown-master',
  'impossible-epoch',
  'unresolved-name',
  'foreign-replica',
  'unwritable',
]
