/**
 * What each node of a group holds, and who should be master when nobody is.
 *
 * The last master is the natural choice, but not when others hold more: its snapshot may be gone or older than theirs,
 * or it died while they live on. Whoever is started as master empties the others into its own state, so this is
 * decided before anything is started.
 *
 * When a file was written says little of what is in it: a node that has just started notes where it stands, be it empty
 * or behind. So what is empty holds nothing, and of two histories the one that came out of the other is the later one.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { Bytes, Millis } from '../base/units.js'
import { defaultSettings } from '../engine/settings.js'
import { currentIncrement, type Manifest, parseManifest } from '../persistence/aof/manifest.js'
import { CorruptError } from '../persistence/encoding/corrupt.js'
import { RdbReader } from '../persistence/rdb/reader.js'

/** The state of the data that one node has, in memory or in its files. */
export interface Holding {
  readonly port: number
  /** The process lives: what it has in memory is newer than any file. */
  readonly alive: boolean
  /** It lives, and acts as a master: one that is fenced does not. */
  readonly isMaster: boolean
  /** The history it belongs to, if it says so. */
  readonly replid: Bytes | undefined
  readonly offset: number
  /** Those it came through before, as far as it still says so. */
  readonly past: readonly Bytes[]
  /** When it was so, as the machine's clock says. */
  readonly at: Millis
}

/**
 * The one to be master: who is, unless the last master has come out of its history, or the last master unless another holds more.
 * undefined: nobody holds anything.
 */
export function chooseMaster(holdings: readonly Holding[], lastMaster: number): Holding | undefined {
  const last = holdings.find(({ port }) => port === lastMaster)
  const masters = holdings.filter(holding => holding.isMaster && !(last !== undefined && cameOutOf(last, holding)))
  const [first, ...others] = (masters.length > 0 ? masters : holdings).toSorted(
    (a, b) => Number(b.port === lastMaster) - Number(a.port === lastMaster) || a.port - b.port,
  )
  if (first === undefined || masters.length > 0) return first
  return others.reduce((best, other) => (holdsMore(other, best, lastMaster) ? other : best), first)
}

/**
 * Of one history, more of it, or as much in a process that lives already. Of two, the one that came out of the other, but for
 * somebody who left that of the last master and was never made it; else the living, else the later. On a tie nothing is
 * gained by a change.
 */
function holdsMore(a: Holding, b: Holding, lastMaster: number): boolean {
  if (a.replid !== undefined && a.replid === b.replid) {
    return a.offset === b.offset ? a.alive && !b.alive : a.offset > b.offset
  }
  if (cameOutOf(b, a)) return false
  if (cameOutOf(a, b) && b.port !== lastMaster) return true
  if (a.alive !== b.alive) return a.alive
  return a.at > b.at
}

function cameOutOf(a: Holding, b: Holding): boolean {
  return b.replid !== undefined && a.past.includes(b.replid)
}

const HEAD_BYTES = 4096
/** So much of an AOF's end is looked through for its last notes; it repeats them more often, but for very large values. */
const TAIL_BYTES = 256 * 1024

/**
 * What the files in a node's folder say of themselves: the AOF, else the snapshot. undefined when there are none, or only those
 * of a node that started empty and has not been given anything yet.
 */
export function readHolding(folder: string, port: number): Holding | undefined {
  return readAof(join(folder, 'appendonlydir'), port) ?? readSnapshot(join(folder, 'dump.rdb'), port)?.holding
}

/** The last place in the stream that the AOF notes, else that of its base. Only ends and beginnings are read. */
function readAof(folder: string, port: number): Holding | undefined {
  const manifest = readManifest(join(folder, 'appendonly.aof.manifest'))
  if (manifest === undefined) return undefined
  const snapshot = manifest.base && readSnapshot(join(folder, manifest.base.name), port)
  const base = snapshot?.holding
  const last = currentIncrement(manifest)
  const tail = last && readPart(join(folder, last.name), 'tail', TAIL_BYTES)
  if (tail === undefined) return base
  const text = tail.bytes.toString('latin1')
  const places = placesOf(text)
  const replid = places.replids.at(-1) ?? base?.replid
  const hasNothing = snapshot?.isEmpty !== false && manifest.increments.length === 1 && !COMMAND.test(text)
  if (hasNothing && replid === undefined) return undefined
  return {
    port,
    alive: false,
    isMaster: false,
    replid,
    offset: places.replids.length === 0 ? (base?.offset ?? 0) : places.offset,
    past: [...new Set([...(base?.replid === undefined ? [] : [base.replid]), ...places.replids])].filter(
      earlier => earlier !== replid,
    ),
    at: tail.modifiedAt,
  }
}

/** Where a command begins; everything else between commands is a note. */
const COMMAND = /(^|\n)\*\d+\r\n/

function readManifest(path: string): Manifest | undefined {
  try {
    return parseManifest(readFileSync(path, 'latin1'))
  } catch {
    // None, or one that its node will refuse with a better reason.
    return undefined
  }
}

/** `#REPL:<offset>[:<database>:<replid>]`, see encoder.ts: the histories that are named, the last one last, and the last offset. */
function placesOf(text: string): { readonly replids: readonly Bytes[]; readonly offset: number } {
  const replids: Bytes[] = []
  let offset = 0
  for (const match of text.matchAll(/\r\n#REPL:(\d+)(?::\d+:([0-9a-f]{40}))?(?=\r\n)/g)) {
    if (match[2] !== undefined) replids.push(match[2])
    offset = Number(match[1])
  }
  return { replids, offset }
}

/** Only its beginning is read. */
function readSnapshot(
  path: string,
  port: number,
): { readonly holding: Holding; readonly isEmpty: boolean } | undefined {
  const head = readPart(path, 'head', HEAD_BYTES)
  if (head === undefined) return undefined
  const { aux, isEmpty } = readAux(head.bytes)
  const holding = {
    port,
    alive: false,
    isMaster: false,
    replid: aux.get('repl-id'),
    offset: Number(aux.get('repl-offset') ?? 0),
    past: [],
    at: Number(aux.get('ctime') ?? 0) * 1000,
  }
  return { holding, isEmpty }
}

interface FilePart {
  readonly bytes: Buffer
  /** Of the file. */
  readonly modifiedAt: Millis
}

function readPart(path: string, which: 'head' | 'tail', bytes: number): FilePart | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    // The node that is to load it tells better what is wrong.
    return undefined
  }
  try {
    const { size, mtimeMs } = fstatSync(file)
    const part = Buffer.alloc(Math.min(bytes, size))
    const from = which === 'head' ? 0 : size - part.length
    return { bytes: part.subarray(0, readSync(file, part, 0, part.length, from)), modifiedAt: mtimeMs }
  } finally {
    closeSync(file)
  }
}

/** Nothing of a file that is no snapshot: its node refuses it by itself. */
function readAux(head: Buffer): { readonly aux: ReadonlyMap<Bytes, Bytes>; readonly isEmpty: boolean } {
  const aux = new Map<Bytes, Bytes>()
  const reader = new RdbReader(defaultSettings())
  reader.feed(head)
  try {
    for (;;) {
      const item = reader.next()
      if (item === undefined || (item.kind !== 'version' && item.kind !== 'aux')) {
        return { aux, isEmpty: item?.kind === 'end' }
      }
      if (item.kind === 'aux') aux.set(item.name, item.value)
    }
  } catch (error) {
    if (error instanceof CorruptError) return { aux, isEmpty: false }
    throw error
  } finally {
    reader.release()
  }
}

/** What a running node says of itself in INFO; undefined when it has neither keys nor a history. */
export function holdingOf(info: string, port: number, now: Millis): Holding | undefined {
  const isReplica = /^role:slave/m.test(info)
  const told = isReplica ? /^slave_repl_offset:(\d+)/m : /^master_repl_offset:(\d+)/m
  const offset = Number(told.exec(info)?.[1] ?? 0)
  if (offset === 0 && !/^db\d+:keys=/m.test(info)) return undefined
  const replid = /^master_replid:([0-9a-f]{40})/m.exec(info)?.[1]
  const before = /^master_replid2:([0-9a-f]{40})/m.exec(info)?.[1]
  const past = before === undefined || /^0+$/.test(before) ? [] : [before]
  return { port, alive: true, isMaster: !isReplica && !/^fenced:1/m.test(info), replid, offset, past, at: now }
}
