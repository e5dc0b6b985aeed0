/**
 * Channels, patterns and shard channels, and who listens to them. Each map keeps its listeners in the order they came.
 */
import type { Bytes } from '../base/units.js'
import { matchesGlob } from '../command/glob.js'
import { listedBytes } from './client-memory.js'
import type { Session } from './session.js'

/** The three kinds of subscription and the words of their messages. */
export type Kind = 'channel' | 'pattern' | 'shard'

interface Words {
  readonly subscribe: string
  readonly unsubscribe: string
}

const words: Readonly<Record<Kind, Words>> = {
  channel: { subscribe: 'subscribe', unsubscribe: 'unsubscribe' },
  pattern: { subscribe: 'psubscribe', unsubscribe: 'punsubscribe' },
  shard: { subscribe: 'ssubscribe', unsubscribe: 'sunsubscribe' },
}

export class PubSub {
  readonly #listeners: Readonly<Record<Kind, Map<Bytes, Set<Session>>>> = {
    channel: new Map(),
    pattern: new Map(),
    shard: new Map(),
  }

  subscribe(kind: Kind, session: Session, name: Bytes): void {
    const own = session.subscriptions[kind]
    if (!own.has(name)) {
      own.add(name)
      session.listedBytes += listedBytes(name)
      const listeners = this.#listeners[kind].get(name)
      if (listeners === undefined) this.#listeners[kind].set(name, new Set([session]))
      else listeners.add(session)
    }
    confirm(session, words[kind].subscribe, name, countOf(session, kind))
  }

  /** Without names: from everything of this kind; then even one who had nothing gets one answer. */
  unsubscribe(kind: Kind, session: Session, names: readonly Bytes[]): void {
    const own = session.subscriptions[kind]
    const left = names.length > 0 ? names : [...own]
    for (const name of left) {
      this.#remove(kind, session, name)
      confirm(session, words[kind].unsubscribe, name, countOf(session, kind))
    }
    if (left.length === 0) confirm(session, words[kind].unsubscribe, undefined, countOf(session, kind))
  }

  /** Without a word: the connection is gone, or RESET. */
  forget(session: Session): void {
    for (const kind of ['channel', 'pattern', 'shard'] as const) {
      for (const name of [...session.subscriptions[kind]]) this.#remove(kind, session, name)
    }
  }

  /** Answers how many received it. */
  publish(channel: Bytes, message: Bytes): number {
    let receivers = 0
    for (const session of this.#listeners.channel.get(channel) ?? []) {
      push(session, 'message', channel, message)
      receivers++
    }
    if (this.#listeners.pattern.size === 0) return receivers
    for (const [pattern, listeners] of this.#listeners.pattern) {
      if (!matchesGlob(pattern, channel)) continue
      for (const session of listeners) {
        session.out.push(4)
        for (const part of ['pmessage', pattern, channel, message]) session.out.bulk(part)
        session.peer.flushSoon()
        receivers++
      }
    }
    return receivers
  }

  publishShard(channel: Bytes, message: Bytes): number {
    const listeners = this.#listeners.shard.get(channel)
    for (const session of listeners ?? []) push(session, 'smessage', channel, message)
    return listeners?.size ?? 0
  }

  /** Names with listeners, for PUBSUB CHANNELS and SHARDCHANNELS. */
  names(kind: Kind, pattern: Bytes | undefined): Bytes[] {
    const all = [...this.#listeners[kind].keys()]
    return pattern === undefined ? all : all.filter(name => matchesGlob(pattern, name))
  }

  listenersOf(kind: Kind, name: Bytes): number {
    return this.#listeners[kind].get(name)?.size ?? 0
  }

  /** Different names of this kind. */
  count(kind: Kind): number {
    return this.#listeners[kind].size
  }

  /** Nobody listens to anything: keyspace notifications need not be built. */
  get silent(): boolean {
    return this.#listeners.channel.size === 0 && this.#listeners.pattern.size === 0
  }

  #remove(kind: Kind, session: Session, name: Bytes): void {
    if (!session.subscriptions[kind].delete(name)) return
    session.listedBytes -= listedBytes(name)
    const listeners = this.#listeners[kind].get(name)
    listeners?.delete(session)
    if (listeners?.size === 0) this.#listeners[kind].delete(name)
  }
}

/** Channels and patterns count together, shard channels by themselves. */
function countOf(session: Session, kind: Kind): number {
  const { channel, pattern, shard } = session.subscriptions
  return kind === 'shard' ? shard.size : channel.size + pattern.size
}

function confirm(session: Session, word: string, name: Bytes | undefined, count: number): void {
  session.pushed = true
  session.out.push(3)
  session.out.bulk(word)
  if (name === undefined) session.out.null()
  else session.out.bulk(name)
  session.out.integer(count)
}

function push(session: Session, word: string, channel: Bytes, message: Bytes): void {
  session.out.push(3)
  session.out.bulk(word)
  session.out.bulk(channel)
  session.out.bulk(message)
  session.peer.flushSoon()
}
