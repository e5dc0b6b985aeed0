/**
 * The link of a replica to its master. Inputs: `options key=value …`, `cursor <replid> <offset> | none`, `at <ms>`, and the
 * events by their names; `line` takes the rest as the text.
 */

import type { Cursor } from '../../../src/replication/history.js'
import {
  beginLink,
  defaultLinkOptions,
  type Link,
  type LinkEffect,
  type LinkEvent,
  type LinkOptions,
  step,
} from '../../../src/replication/link.js'
import { runScenarios } from '../../support/scenario.js'

runScenarios(import.meta.dirname, 'link', () => {
  let link: Link = beginLink(0)
  let options: LinkOptions = { ...defaultLinkOptions, announcePort: 6402 }
  let cursor: Cursor | undefined
  let now = 0

  return input => {
    const [word = '', ...rest] = input.split(' ')
    switch (word) {
      case 'options':
        options = { ...options, ...Object.fromEntries(rest.map(readOption)) }
        return [rest.join(' ')]
      case 'cursor':
        cursor = rest[0] === 'none' ? undefined : { replid: long(rest[0] ?? ''), offset: Number(rest[1]) }
        return [rest.join(' ')]
      case 'at':
        now = Number(rest[0])
        return play({ type: 'tick' })
      case 'line':
        return play({ type: 'line', text: rest.map(long).join(' ') })
      default:
        return play(readEvent(word, rest))
    }
  }

  function play(event: LinkEvent): string[] {
    const before = link
    const after = step(link, event, cursor, options, now)
    link = after.link
    const lines = after.effects.map(describeEffect)
    const [from, to] = [describeLink(before), describeLink(link)]
    return from === to ? lines : [`${from} -> ${to}`, ...lines]
  }
})

function readOption(pair: string): [string, unknown] {
  const [key = '', value = ''] = pair.split('=')
  return [key, /^\d+$/.test(value) ? Number(value) : value === 'true' ? true : value]
}

function readEvent(word: string, rest: readonly string[]): LinkEvent {
  if (word === 'refused') return { type: 'refused', reason: rest[0] as 'corrupt-snapshot' }
  return { type: word } as LinkEvent
}

function describeLink(link: Link): string {
  switch (link.status) {
    case 'connect':
      return `connect (${link.because}, retry at ${link.retryAt})`
    case 'handshake':
      return `handshake (awaiting ${link.awaiting})`
    case 'transfer':
      return `transfer (${link.phase}${link.start === undefined ? '' : ` ${short(link.start.replid)} from ${link.start.offset}`})`
    case 'connected':
      return `connected (${link.protocol})`
    default:
      return link.status
  }
}

function describeEffect(effect: LinkEffect): string {
  const { do: verb, ...fields } = effect
  if (effect.do === 'send') return `send ${effect.command.map(short).join(' ')}`
  return Object.keys(fields).length === 0
    ? verb
    : `${verb} ${JSON.stringify(fields, (_key, value) => (typeof value === 'string' ? short(value) : value))}`
}

/** In the files `A…` is the id of forty As. */
function long(text: string): string {
  return /^[a-f]…$/.test(text) ? text.charAt(0).repeat(40) : text
}

function short(text: string): string {
  return /^([a-f])\1{39}$/.test(text) ? `${text.charAt(0)}…` : text
}
