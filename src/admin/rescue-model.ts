/** What the admin API says of writes that only an old master had. */
import { z } from 'zod'

const key = z.strictObject({ db: z.int(), key: z.string(), writes: z.int() })

export const rescueEntry = z.strictObject({
  id: z.string(),
  at: z.number().describe('When, in milliseconds since 1970.'),
  node: z.string().describe('The old master.'),
  master: z.string().describe('Who was master then.'),
  writes: z.int().describe('Writes that nobody else had.'),
  keyCount: z.int(),
  bytes: z.number(),
  from: z.number().describe('The first byte of its stream that the group does not have.'),
  until: z.number().nullable().describe('The one after the last; null when only its data could be had.'),
  file: z.string().nullable().describe('Within the rescue folder: .aof are commands, .rdb is a data set.'),
  missing: z.string().nullable().describe('What could not be had; null when everything could.'),
  database: z.enum(['known', 'assumed']).describe('Whether the first writes name their database, or 0 was assumed.'),
  appliedAt: z.number().nullable(),
})
export type RescueEntry = z.infer<typeof rescueEntry>

export const rescueList = z.strictObject({ rescues: z.array(rescueEntry).describe('Newest first.') })

export const rescueDetail = rescueEntry.extend({
  keys: z.array(key),
  commands: z.array(z.array(z.string())).describe('The first of them, as text; long values are cut.'),
})
export type RescueDetail = z.infer<typeof rescueDetail>

export const applyRequest = z.strictObject({
  skipChanged: z.boolean().default(true).describe('Leave out writes to keys that were written since by others.'),
  dryRun: z.boolean().default(false).describe('Say what would be done, and do nothing.'),
})
export type ApplyRequest = z.infer<typeof applyRequest>

export const applyReport = z.strictObject({
  id: z.string(),
  applied: z.int(),
  skipped: z.int(),
  failed: z.int().describe('Answered with an error, and not applied.'),
  skippedKeys: z.array(z.string()),
  firstError: z.string().nullable(),
})
export type ApplyReport = z.infer<typeof applyReport>

/** Why nothing was applied. */
export interface ApplyRefusal {
  readonly refused: 'unknown-rescue' | 'no-writes' | 'no-master' | 'changes-unknown'
  readonly detail: string
}
