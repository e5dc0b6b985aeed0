/**
 * sentinel.conf: the lines that begin with `sentinel`, read into a council and written from one. The same file is what the
 * operator wrote and what the sentinel remembers: epochs, votes, replicas and peers stand beside the settings.
 *
 * Order does not matter to the reader: settings first, then masters, then what is said about them. The writer keeps each
 * line where a line of its kind stood; what is new goes to the end, what is gone leaves a gap.
 */
import type { Millis } from '../../base/units.js'
import { splitWords } from '../../resp/decoder.js'
import type { Council } from './council.js'
import { readEpoch } from './hello.js'
import { addMaster, addPeer, addReplica, type RosterRefusal } from './roster.js'
import { currentPlace, type MasterWatch, samePlace } from './watched.js'

/** One line of the file: its words without the leading `sentinel`. */
export interface SentinelLine {
  /** File and line, for the mistake that it may be. */
  readonly where: string
  readonly words: readonly string[]
}

/** What cannot be looked at from here: whether a script may be run. */
export interface ConfChecks {
  readonly executable: (path: string) => boolean
}

const settingsFirst = new Set([
  ...['announce-ip', 'announce-port', 'deny-scripts-reconfig', 'sentinel-user', 'sentinel-pass', 'current-epoch'],
  ...['myid', 'resolve-hostnames', 'announce-hostnames'],
])

/** Reads all lines; answers what is wrong, one text per mistake. */
export function readSentinelLines(
  council: Council,
  lines: readonly SentinelLine[],
  checks: ConfChecks,
  now: Millis,
): readonly string[] {
  const rank = ({ words }: SentinelLine): number => {
    const name = words[0]?.toLowerCase() ?? ''
    return settingsFirst.has(name) ? 0 : name === 'monitor' ? 1 : 2
  }
  const mistakes: string[] = []
  for (const line of [...lines].sort((one, other) => rank(one) - rank(other))) {
    const refusal = readLine(council, line.words, checks, now)
    if (refusal !== undefined) mistakes.push(`${line.where}: sentinel ${line.words[0] ?? ''}: ${refusal}`)
  }
  return mistakes
}

type Refusal = string | undefined

function readLine(council: Council, words: readonly string[], checks: ConfChecks, now: Millis): Refusal {
  const [raw = '', ...args] = words
  const name = raw.toLowerCase()
  // Written back as they are, such characters would become other lines.
  if (args.some(arg => hasControlCharacters(arg))) return 'control characters are not allowed'
  if (name === 'monitor' && args.length === 4) return readMonitor(council, args, now)
  const setting = args.length === 1 ? readSetting(council, name, args[0] as string) : 'unknown'
  if (setting !== 'unknown') return setting
  const masterName = args[0]
  const reader = ofMaster[name]
  if (reader === undefined || masterName === undefined || !reader.counts.includes(args.length)) {
    return 'Unrecognized sentinel configuration statement.'
  }
  const master = council.masters.get(masterName)
  if (master === undefined) return 'No such master with specified name.'
  return reader.read(council, master, args.slice(1), checks, now)
}

export function hasControlCharacters(text: string): boolean {
  return [...text].some(char => char < ' ' || char === '\x7f')
}

function readMonitor(council: Council, args: readonly string[], now: Millis): Refusal {
  const [name, host, port, quorum] = args as [string, string, string, string]
  if (!isMasterName(name)) return 'Names of masters have letters, digits and . - _ only.'
  if (!(Number(quorum) >= 1 && Number.isInteger(Number(quorum)))) return 'Quorum must be 1 or greater.'
  const wish = { name, host, port: readPort(port), quorum: Number(quorum) }
  return refusalText(addMaster(council, wish, now), 'Duplicate master name.')
}

/** They travel between commas, and stand in lines of words. */
export function isMasterName(name: string): boolean {
  return /^[\w.-]+$/.test(name)
}

function readPort(text: string): number {
  return /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
}

export function refusalText(result: RosterRefusal | object, duplicate: string): Refusal {
  if (result === 'duplicate') return duplicate
  if (result === 'unresolved') return "Can't resolve instance hostname."
  return result === 'port' ? 'Invalid port number.' : undefined
}

function readSetting(council: Council, name: string, value: string): Refusal | 'unknown' {
  const { settings } = council
  switch (name) {
    case 'myid':
      if (!/^[0-9a-f]{40}$/i.test(value)) return 'Malformed Sentinel id in myid option.'
      council.myid = value
      return undefined
    case 'current-epoch': {
      const epoch = readEpoch(value)
      if (Number.isNaN(epoch)) return 'not an epoch.'
      council.epoch = Math.max(council.epoch, epoch)
      return undefined
    }
    case 'announce-ip':
      settings.announceIp = value
      return undefined
    case 'announce-port':
      if (!(readPort(value) <= 65535)) return 'Invalid port number.'
      settings.announcePort = readPort(value)
      return undefined
    case 'sentinel-user':
      settings.sentinelUser = value
      return undefined
    case 'sentinel-pass':
      settings.sentinelPass = value
      return undefined
    case 'deny-scripts-reconfig':
      return readFlag(value, `deny-scripts-reconfig options`, on => (settings.denyScriptsReconfig = on))
    case 'resolve-hostnames':
      return readFlag(value, 'resolve-hostnames option', on => (settings.resolveHostnames = on))
    case 'announce-hostnames':
      return readFlag(value, 'announce-hostnames option', on => (settings.announceHostnames = on))
    default:
      return 'unknown'
  }
}

function readFlag(value: string, what: string, set: (on: boolean) => void): Refusal {
  const word = value.toLowerCase()
  if (word !== 'yes' && word !== 'no') return `Please specify yes or no for the ${what}.`
  set(word === 'yes')
  return undefined
}

interface MasterLine {
  /** How many arguments it may have, the master's name included. */
  readonly counts: readonly number[]
  read(council: Council, master: MasterWatch, args: readonly string[], checks: ConfChecks, now: Millis): Refusal
}

const ofMaster: Readonly<Record<string, MasterLine>> = {
  'down-after-milliseconds': milliseconds((master, value) => setDownAfter(master, value)),
  'failover-timeout': milliseconds((master, value) => (master.failoverTimeoutMs = value)),
  'parallel-syncs': {
    counts: [2],
    read(_council, master, [value = '']) {
      if (!/^\d{1,9}$/.test(value)) return 'not a number.'
      master.parallelSyncs = Number(value)
      return undefined
    },
  },
  'master-reboot-down-after-period': {
    counts: [2],
    read(_council, master, [value = '']) {
      if (!/^\d{1,12}$/.test(value)) return 'negative time parameter.'
      master.rebootDownAfterMs = Number(value)
      return undefined
    },
  },
  'notification-script': {
    counts: [2],
    read(_council, master, [path = ''], { executable }) {
      if (!executable(path)) return 'Notification script seems non existing or non executable.'
      master.notificationScript = path
      return undefined
    },
  },
  'client-reconfig-script': {
    counts: [2],
    read(_council, master, [path = ''], { executable }) {
      if (!executable(path)) return 'Client reconfiguration script seems non existing or non executable.'
      master.reconfigScript = path
      return undefined
    },
  },
  'auth-pass': text((master, value) => (master.authPass = value)),
  'auth-user': text((master, value) => (master.authUser = value)),
  'config-epoch': {
    counts: [2],
    read(council, master, [value = '']) {
      const epoch = readEpoch(value)
      if (Number.isNaN(epoch)) return 'not an epoch.'
      master.configEpoch = epoch
      council.epoch = Math.max(council.epoch, epoch)
      return undefined
    },
  },
  'leader-epoch': {
    counts: [2],
    read(_council, master, [value = '']) {
      const epoch = readEpoch(value)
      if (Number.isNaN(epoch)) return 'not an epoch.'
      master.leaderEpoch = epoch
      return undefined
    },
  },
  'known-replica': { counts: [3], read: readReplicaLine },
  'known-slave': { counts: [3], read: readReplicaLine },
  'known-sentinel': {
    counts: [3, 4],
    read(council, master, [host = '', port = '', id], _checks, now) {
      // The old form without an id says nothing that can be used.
      if (id === undefined) return undefined
      const peer = addPeer(council, master, { id, host, port: readPort(port) }, now)
      return refusalText(peer, 'Duplicate runid for sentinel.')
    },
  },
  'rename-command': {
    counts: [3],
    read(_council, master, [from = '', to = '']) {
      if (master.renames.has(from.toLowerCase())) return 'Same command renamed multiple times with rename-command.'
      master.renames.set(from.toLowerCase(), to)
      return undefined
    },
  },
}

function milliseconds(set: (master: MasterWatch, value: Millis) => void): MasterLine {
  return {
    counts: [2],
    read(_council, master, [value = '']) {
      if (!/^\d{1,12}$/.test(value) || Number(value) === 0) return 'negative or zero time parameter.'
      set(master, Number(value))
      return undefined
    },
  }
}

function text(set: (master: MasterWatch, value: string) => void): MasterLine {
  return {
    counts: [2],
    read(_council, master, [value = '']) {
      set(master, value)
      return undefined
    },
  }
}

/** Of the master and everybody around it. */
export function setDownAfter(master: MasterWatch, downAfterMs: Millis): void {
  for (const watched of [master, ...master.replicas.values(), ...master.peers.values()]) {
    watched.downAfterMs = downAfterMs
  }
}

function readReplicaLine(
  council: Council,
  master: MasterWatch,
  [host = '', port = '']: readonly string[],
  _checks: ConfChecks,
  now: Millis,
): Refusal {
  return refusalText(addReplica(council, master, host, readPort(port), now), 'Duplicate hostname and port for replica.')
}

// ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Every line that says the present state, in order. */
export function sentinelLines(council: Council): readonly string[] {
  const { settings, epoch, myid } = council
  const lines: (readonly string[])[] = [['myid', myid]]
  if (!settings.denyScriptsReconfig) lines.push(['deny-scripts-reconfig', 'no'])
  if (settings.resolveHostnames) lines.push(['resolve-hostnames', 'yes'])
  if (settings.announceHostnames) lines.push(['announce-hostnames', 'yes'])
  for (const master of council.masters.values()) lines.push(...linesOfMaster(council, master))
  lines.push(['current-epoch', String(epoch)])
  if (settings.announceIp !== '') lines.push(['announce-ip', settings.announceIp])
  if (settings.announcePort !== 0) lines.push(['announce-port', String(settings.announcePort)])
  if (settings.sentinelUser !== '') lines.push(['sentinel-user', settings.sentinelUser])
  if (settings.sentinelPass !== '') lines.push(['sentinel-pass', settings.sentinelPass])
  return lines.map(words => `sentinel ${words.map(quote).join(' ')}`)
}

function linesOfMaster(council: Council, master: MasterWatch): (readonly string[])[] {
  const { timing } = council
  const { name } = master
  const place = currentPlace(master)
  const lines: (readonly string[])[] = [
    ['monitor', name, council.shown(place), String(place.port), String(master.quorum)],
  ]
  const said = (isSaid: boolean, word: string, value: string | number | undefined): void => {
    if (isSaid) lines.push([word, name, String(value)])
  }
  said(master.downAfterMs !== timing['default-down-after'], 'down-after-milliseconds', master.downAfterMs)
  said(master.failoverTimeoutMs !== timing['default-failover-timeout'], 'failover-timeout', master.failoverTimeoutMs)
  said(master.parallelSyncs !== 1, 'parallel-syncs', master.parallelSyncs)
  said(master.notificationScript !== undefined, 'notification-script', master.notificationScript)
  said(master.reconfigScript !== undefined, 'client-reconfig-script', master.reconfigScript)
  said(master.authPass !== undefined, 'auth-pass', master.authPass)
  said(master.authUser !== undefined, 'auth-user', master.authUser)
  said(master.rebootDownAfterMs !== 0, 'master-reboot-down-after-period', master.rebootDownAfterMs)
  said(true, 'config-epoch', master.configEpoch)
  said(true, 'leader-epoch', master.leaderEpoch)
  for (const replica of master.replicas.values()) {
    // While the promoted replica is written as the master, the old master takes its line.
    const at = samePlace(replica.place, place) ? master.place : replica.place
    lines.push(['known-replica', name, council.shown(at), String(at.port)])
  }
  for (const peer of master.peers.values()) {
    lines.push(['known-sentinel', name, council.shown(peer.place), String(peer.place.port), peer.name])
  }
  for (const [from, to] of master.renames) lines.push(['rename-command', name, from, to])
  return lines
}

/** Words that the reader would take apart stand in quotes. */
function quote(word: string): string {
  if (/^[^\s"'\\#]+$/.test(word) && !hasControlCharacters(word)) return word
  const body = word.replace(/[\\"]/g, '\\$&').replace(/[^\x20-\x7e]/g, char => {
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
  return `"${body}"`
}

/** The text of a file with these lines in the place of the `sentinel` lines it has. */
export function placeSentinelLines(file: string, wanted: readonly string[], signature: string): string {
  const lines = file.replace(/\n$/, '').split('\n')
  const places = new Map<string, number[]>()
  for (const [at, line] of lines.entries()) {
    const kind = kindOf(line)
    if (kind === undefined) continue
    lines[at] = ''
    places.set(kind, [...(places.get(kind) ?? []), at])
  }
  const added: string[] = []
  for (const line of wanted) {
    const at = places.get(kindOf(line) ?? '')?.shift()
    if (at === undefined) added.push(line)
    else lines[at] = line
  }
  if (added.length > 0 && !lines.includes(signature)) lines.push(signature)
  const all = [...lines, ...added]
  // Gaps do not add up over thousands of rewrites.
  const kept = all.filter((line, at) => line !== '' || all[at - 1] !== '')
  return `${kept.join('\n')}\n`
}

/** `known-slave` is what older versions wrote for `known-replica`. */
function kindOf(line: string): string | undefined {
  const words = /^\s*sentinel\s/i.test(line) ? splitWords(line) : undefined
  const kind = words?.[1]?.toLowerCase()
  return kind === 'known-slave' ? 'known-replica' : kind
}
