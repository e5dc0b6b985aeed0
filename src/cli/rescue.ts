/**
 * `lagrange rescue list | show | apply`: writes that only an old master had. Over the admin API, as all operator commands;
 * and the same words made of what is on the disk, for that API.
 */
import type { ApplyRefusal, ApplyReport, ApplyRequest, RescueDetail, RescueEntry } from '../admin/rescue-model.js'
import { show } from '../proxy/insight.js'
import type { Rescuer } from '../sentinel/rescue.js'
import type { RescueIndex } from '../sentinel/rescue-files.js'
import { WriteReader } from '../topology/written.js'
import type { AdminClient } from './admin-client.js'
import type { Io } from './io.js'

/** What the backend of the admin API offers of it. */
export interface RescueBackend {
  rescues(): readonly RescueEntry[]
  rescue(id: string): RescueDetail | undefined
  applyRescue(id: string, request: ApplyRequest): Promise<ApplyReport | ApplyRefusal>
}

const COMMANDS_SHOWN = 100

export function makeRescueBackend(rescuer: Rescuer): RescueBackend {
  return {
    rescues: () => rescuer.files.list().map(entryOf),
    rescue(id) {
      const index = rescuer.files.find(id)
      if (index === undefined) return undefined
      const keys = index.keys.map(({ db, key, writes }) => ({ db, key: show(key), writes }))
      return { ...entryOf(index), keys, commands: commandsOf(rescuer, index) }
    },
    async applyRescue(id, request) {
      const answer = await rescuer.apply({ id, ...request })
      return 'refused' in answer
        ? answer
        : { ...answer, skippedKeys: [...answer.skippedKeys], firstError: answer.firstError ?? null }
    },
  }
}

function commandsOf(rescuer: Rescuer, index: RescueIndex): string[][] {
  if (index.writes === 0) return []
  const writes = new WriteReader(0).feed(rescuer.files.read(index))
  return writes
    .flatMap(write => write.commands)
    .slice(0, COMMANDS_SHOWN)
    .map(command => command.map(show))
}

function entryOf(index: RescueIndex): RescueEntry {
  const { id, at, node, master, writes, keyCount, bytes, from, until, file, missing, database, applied } = index
  return {
    id,
    at,
    node,
    master,
    writes,
    keyCount,
    bytes,
    from,
    until: until ?? null,
    file: file ?? null,
    missing: missing ?? null,
    database,
    appliedAt: applied?.at ?? null,
  }
}

// ── The commands ────────────────────────────────────────────────────────────────────────────────────────────────────

export async function listRescues(io: Io, client: AdminClient, json: boolean): Promise<number> {
  const { rescues } = await client.rescues()
  if (json) io.out(`${JSON.stringify({ rescues }, null, 2)}\n`)
  else if (rescues.length === 0) io.out('Nothing had to be rescued.\n')
  else for (const entry of rescues) io.out(entryText(entry))
  return 0
}

export async function showRescue(io: Io, client: AdminClient, id: string, json: boolean): Promise<number> {
  const detail = await client.rescue(id)
  if (json) io.out(`${JSON.stringify(detail, null, 2)}\n`)
  else {
    io.out(entryText(detail))
    for (const { db, key, writes } of detail.keys) io.out(`  db ${db}  ${key}  ${plural(writes, 'write')}\n`)
    for (const command of detail.commands) io.out(`  > ${command.join(' ')}\n`)
    if (detail.writes > detail.commands.length) io.out(`  … all ${detail.writes} are in ${detail.file}\n`)
  }
  return 0
}

export async function applyRescue(
  io: Io,
  client: AdminClient,
  id: string,
  request: ApplyRequest,
  json: boolean,
): Promise<number> {
  const report = await client.applyRescue(id, request)
  if (json) io.out(`${JSON.stringify(report, null, 2)}\n`)
  else {
    const verb = request.dryRun ? 'Would apply' : 'Applied'
    const because = report.skipped > 0 ? ', their keys were written since' : ''
    io.out(
      `${verb} ${plural(report.applied, 'write')}; left out ${report.skipped}${because}; ${report.failed} failed.\n`,
    )
    for (const key of report.skippedKeys) io.out(`  left out: ${key}\n`)
    if (report.firstError !== null) io.out(`  first error: ${report.firstError}\n`)
  }
  return report.failed === 0 ? 0 : 1
}

function entryText(entry: RescueEntry): string {
  const { id, node, master, writes, keyCount, missing, appliedAt } = entry
  const applied = appliedAt === null ? 'not applied' : `applied ${new Date(appliedAt).toISOString()}`
  const lacking = missing === null ? '' : `; missing: ${missing}`
  return `${id}  ${node} (master then: ${master}): ${plural(writes, 'write')}, ${plural(keyCount, 'key')}; ${applied}${lacking}\n`
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
