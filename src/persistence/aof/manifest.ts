/**
 * The manifest of a multi-part AOF: which files hold the data, in which order.
 *
 *     file appendonly.aof.2.base.rdb seq 2 type b        a snapshot (or commands) …
 *     file appendonly.aof.1.incr.aof seq 1 type h        … of what came before: to be deleted
 *     file appendonly.aof.2.incr.aof seq 2 type i        … and what was written since, in order
 *
 * A rewrite opens a new increment first, so that the snapshot's cut and the beginning of that increment are the same
 * moment; when the snapshot is whole it becomes the base, and what it replaces becomes history. Each step is a new
 * manifest that is written aside and renamed: a crash at any point leaves one that is true.
 */
import { splitWords } from '../../resp/decoder.js'
import { CorruptError } from '../encoding/corrupt.js'
import { Crc64 } from '../encoding/crc64.js'

export interface AofFile {
  readonly name: string
  readonly seq: number
}

export interface Manifest {
  readonly base: AofFile | undefined
  readonly increments: readonly AofFile[]
  /** Replaced and not deleted yet. */
  readonly history: readonly AofFile[]
}

export const emptyManifest: Manifest = { base: undefined, increments: [], history: [] }

const LINE_BYTES_MAX = 1024

export function manifestName(prefix: string): string {
  return `${prefix}.manifest`
}

/** The files to load, in order. */
export function filesToLoad(manifest: Manifest): AofFile[] {
  return [...(manifest.base === undefined ? [] : [manifest.base]), ...manifest.increments]
}

/** The increment that is being appended to. */
export function currentIncrement(manifest: Manifest): AofFile | undefined {
  return manifest.increments.at(-1)
}

// ── Changes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A new increment: at the start, and whenever a rewrite cuts. */
export function withIncrement(manifest: Manifest, prefix: string): Manifest {
  const seq = Math.max(0, ...manifest.increments.map(file => file.seq), ...historySeqs(manifest, 'incr')) + 1
  return { ...manifest, increments: [...manifest.increments, { name: `${prefix}.${seq}.incr.aof`, seq }] }
}

/**
 * A rewrite is whole: its file is the base, and everything that was there before `since` (the increment that began at its
 * cut; undefined: nothing is appended any more) is history, the newest first.
 */
export function withBase(
  manifest: Manifest,
  prefix: string,
  format: 'rdb' | 'aof',
  since: AofFile | undefined,
): Manifest & { readonly base: AofFile } {
  const seq = (manifest.base?.seq ?? 0) + 1
  const first = since?.seq ?? Number.POSITIVE_INFINITY
  const replaced = manifest.increments.filter(file => file.seq < first)
  const old = manifest.base === undefined ? [] : [manifest.base]
  return {
    base: { name: `${prefix}.${seq}.base.${format}`, seq },
    increments: manifest.increments.filter(file => file.seq >= first),
    history: [...replaced, ...old, ...manifest.history],
  }
}

/** A single file of a server before Redis 7 becomes the base. */
export function upgraded(prefix: string): Manifest {
  return { ...emptyManifest, base: { name: prefix, seq: 1 } }
}

/** The history has been deleted. */
export function withoutHistory(manifest: Manifest): Manifest {
  return { ...manifest, history: [] }
}

/** Sequence numbers of replaced increments: a name is not used twice while its file may still be there. */
function historySeqs(manifest: Manifest, kind: 'incr'): number[] {
  return manifest.history.filter(file => file.name.includes(`.${kind}.`)).map(file => file.seq)
}

// ── Text ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `sealed` (`aof-checksum`) adds a line, a comment to other servers, by which damage is found: `# sum <crc64>`. */
export function formatManifest(manifest: Manifest, sealed = false): string {
  const text = formatFiles(manifest)
  return sealed ? `${text}${SUM}${sumOf(text)}\n` : text
}

function formatFiles(manifest: Manifest): string {
  const lines: string[] = []
  if (manifest.base !== undefined) lines.push(formatFile(manifest.base, 'b'))
  for (const file of manifest.history) lines.push(formatFile(file, 'h'))
  for (const file of manifest.increments) lines.push(formatFile(file, 'i'))
  return lines.join('')
}

function formatFile({ name, seq }: AofFile, type: string): string {
  return `file ${quoted(name)} seq ${seq} type ${type}\n`
}

/** Throws CorruptError with Redis' words for what is wrong; its offset is that of the line. */
export function parseManifest(text: string): Manifest {
  if (text === '') throw bad('Found an empty AOF manifest', 0)
  let manifest = emptyManifest
  let at = 0
  for (const line of linesOf(text)) {
    if (line.startsWith(SUM) && line.slice(SUM.length) !== sumOf(text.slice(0, at))) {
      throw bad('The checksum of the AOF manifest is wrong', at)
    }
    if (!line.startsWith('#')) manifest = withLine(manifest, line, at)
    at += line.length + 1
  }
  return manifest
}

const SUM = '# sum '

function sumOf(text: string): string {
  return new Crc64().update(Buffer.from(text, 'latin1')).toString()
}

function linesOf(text: string): string[] {
  const lines = text.split('\n')
  // What follows the last line end is no line.
  const rest = lines.pop()
  if (rest !== undefined && rest !== '' && !rest.startsWith('#')) {
    throw bad('The AOF manifest file contains too long line', text.length - rest.length)
  }
  return lines
}

function withLine(manifest: Manifest, line: string, at: number): Manifest {
  if (line.length >= LINE_BYTES_MAX) throw bad('The AOF manifest file contains too long line', at)
  const words = splitWords(line.trim())
  if (words === undefined || words.length < 6 || words.length % 2 !== 0) throw bad(INVALID, at)
  const fields = new Map<string, string>()
  for (let index = 0; index < words.length; index += 2) {
    fields.set((words[index] as string).toLowerCase(), words[index + 1] as string)
  }
  const file = readFile(fields, at)
  switch (fields.get('type')?.charAt(0)) {
    case 'b':
      if (manifest.base !== undefined) throw bad('Found duplicate base file information', at)
      return { ...manifest, base: file }
    case 'h':
      return { ...manifest, history: [...manifest.history, file] }
    case 'i':
      if (file.seq <= (currentIncrement(manifest)?.seq ?? 0)) throw bad('Found a non-monotonic sequence number', at)
      return { ...manifest, increments: [...manifest.increments, file] }
    default:
      throw bad('Unknown AOF file type', at)
  }
}

function readFile(fields: ReadonlyMap<string, string>, at: number): AofFile {
  const name = fields.get('file')
  const seq = Number.parseInt(fields.get('seq') ?? '', 10)
  // Other fields belong to versions to come.
  if (name === undefined || !Number.isSafeInteger(seq) || seq <= 0 || !fields.get('type')) throw bad(INVALID, at)
  if (!isBaseName(name)) throw bad("File can't be a path, just a filename", at)
  return { name, seq }
}

const INVALID = 'Invalid AOF manifest file format'

function isBaseName(name: string): boolean {
  return name !== '' && !name.includes('/') && !name.includes('\\')
}

/** Names with blanks, quotes or control bytes are written as Redis writes strings for people. */
function quoted(name: string): string {
  if (name !== '' && !/[\s"'\\\x00-\x1f\x7f-\xff]/.test(name)) return name
  const escaped = name.replace(/[\\"\x00-\x1f\x7f-\xff]/g, byte => ESCAPES.get(byte) ?? hexEscape(byte))
  return `"${escaped}"`
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\\', '\\\\'],
  ['"', '\\"'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\x07', '\\a'],
  ['\b', '\\b'],
])

function hexEscape(byte: string): string {
  return `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`
}

function bad(detail: string, at: number): CorruptError {
  return new CorruptError('bad-aof', detail, at)
}
