/**
 * A running sentinel: the machine of topology/quorum with a clock, connections, a file and a voice. It decides nothing.
 */
import { accessSync, constants } from 'node:fs'
import { resolve } from 'node:path'
import { type Clock, every } from '../../base/clock.js'
import { unreachable } from '../../base/invariant.js'
import type { Bytes, Millis } from '../../base/units.js'
import { Council } from '../../topology/quorum/council.js'
import type { EventLevel, QuorumEffect } from '../../topology/quorum/effects.js'
import { Quorum } from '../../topology/quorum/quorum.js'
import { Links } from './links.js'
import { Names } from './names.js'
import { Scripts } from './scripts.js'

/** Through whom a sentinel is heard: its log and its channels. */
export interface Voice {
  log(level: EventLevel, text: string): void
  publish(channel: string, message: string): void
}

export interface WatcherOptions {
  /** Writes the state to the disk; answers whether that worked. */
  readonly save: () => boolean
  /** Why the last attempt did not work. */
  readonly failure: () => string | undefined
  readonly ownPassword: () => Bytes
  readonly ownPort: () => number
  /** Scripts with relative names are found from here. */
  readonly dir: string
  readonly voice: Voice
  /** SENTINEL SIMULATE-FAILURE. */
  readonly crash: () => void
}

/** Often enough for a failover; between ticks, whatever is heard is acted upon at once. */
const TICK_MS: Millis = 25

export class Watcher {
  readonly names: Names
  readonly council: Council
  readonly quorum: Quorum
  readonly links: Links
  readonly scripts: Scripts
  /** How often each has happened; their names are a closed list. */
  readonly events = new Map<string, number>()
  #cancel: () => void = () => undefined
  #performing = false
  #unsaved = false

  constructor(
    readonly clock: Clock,
    private readonly options: WatcherOptions,
  ) {
    this.names = new Names(clock)
    const lookup = (name: string): string | undefined => this.names.lookup(name)
    this.council = new Council({ chance: Math.random, durable: () => this.#save(), lookup })
    this.quorum = new Quorum(this.council)
    this.links = new Links(clock, this.quorum, options.ownPassword, options.ownPort, () => this.perform())
    this.scripts = new Scripts(clock, this.council.timing, options.dir, (level, name, text) =>
      this.#event(level, name, text),
    )
  }

  readonly executable = (path: string): boolean => {
    try {
      accessSync(resolve(this.options.dir, path), constants.X_OK)
      return true
    } catch {
      return false
    }
  }

  start(): void {
    this.options.voice.log('warning', `Sentinel ID is ${this.council.myid}`)
    for (const master of this.council.masters.values()) {
      this.council.event('warning', '+monitor', master, `quorum ${master.quorum}`)
    }
    this.#cancel = every(this.clock, TICK_MS, () => this.tick())
    this.tick()
  }

  stop(): void {
    this.#cancel()
    if (this.#unsaved) this.#save()
    this.scripts.stop()
    this.links.closeAll()
  }

  tick(): void {
    this.quorum.tick(this.clock.now())
    this.perform()
    this.scripts.tick()
  }

  /** Does what has been decided. Doing may lead to more. */
  perform(): void {
    if (this.#performing) return
    this.#performing = true
    for (let effects = this.council.drain(); effects.length > 0; effects = this.council.drain()) {
      for (const effect of effects) this.#perform(effect)
    }
    this.#performing = false
  }

  #perform(effect: QuorumEffect): void {
    switch (effect.do) {
      case 'event':
        this.#event(effect.level, effect.name, effect.text)
        if (effect.script !== undefined) this.scripts.schedule(effect.script, [effect.name, effect.text])
        return
      case 'log':
        return this.options.voice.log(effect.level, effect.text)
      case 'connect':
        return this.links.connect(effect.to, effect.line)
      case 'close':
        return this.links.close(effect.link, effect.line)
      case 'ping':
        return this.links.ping(effect.to)
      case 'info':
        return this.links.info(effect.to)
      case 'kill-script':
        return this.links.killScript(effect.to)
      case 'hello':
        return this.links.hello(effect.to)
      case 'ask-kind':
        return this.links.askKind(effect.to)
      case 'slaveof':
        return this.links.slaveof(effect.to, effect.place)
      case 'step-down':
        return this.links.stepDown(effect.to, effect.place)
      case 'pause':
        return this.links.pause(effect.to, effect.forMs)
      case 'unpause':
        return this.links.unpause(effect.to)
      case 'ask':
        return this.links.ask(effect.to, effect.epoch, effect.candidate)
      case 'save':
        return this.#saveSoon()
      case 'run-script':
        return this.scripts.schedule(effect.path, effect.args)
      case 'crash':
        this.options.voice.log('warning', 'Sentinel CRASH because of SENTINEL simulate-failure')
        return this.options.crash()
      default:
        return unreachable(effect)
    }
  }

  #event(level: EventLevel, name: string, text: string): void {
    this.options.voice.log(level, `${name} ${text}`)
    if (level !== 'debug') this.options.voice.publish(name, text)
    this.events.set(name, (this.events.get(name) ?? 0) + 1)
  }

  /** In a later turn: what was decided in this one is on its way to whoever waits for it. */
  #saveSoon(): void {
    if (this.#unsaved) return
    this.#unsaved = true
    this.clock.after(0, () => {
      if (this.#unsaved) this.#save()
    })
  }

  #save(): boolean {
    this.#unsaved = false
    const saved = this.options.save()
    if (saved) this.options.voice.log('notice', 'Sentinel new configuration saved on disk')
    else {
      const text = 'WARNING: Sentinel was not able to save the new configuration on disk!!!'
      this.options.voice.log('warning', `${text}: ${this.options.failure() ?? 'no reason'}`)
    }
    return saved
  }
}
