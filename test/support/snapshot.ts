/** A whole snapshot in one buffer. */
import type { Database } from '../../src/engine/database.js'
import { defaultSettings } from '../../src/engine/settings.js'
import { Snapshot, type SnapshotOptions } from '../../src/persistence/snapshot.js'

export const snapshotDefaults: SnapshotOptions = {
  redisVersion: '7.0.15',
  now: 1_700_000_000_000,
  usedMemory: 1_000_000,
  replication: undefined,
  isAofBase: false,
  functions: [],
  filter: 'everything',
  compression: true,
  checksum: true,
}

export function snapshotBytes(databases: readonly Database[], options: Partial<SnapshotOptions> = {}): Buffer {
  const snapshot = Snapshot.begin(databases, defaultSettings(), { ...snapshotDefaults, ...options })
  const chunks: Buffer[] = []
  for (let done = false; !done; ) {
    done = snapshot.slice(4096)
    chunks.push(snapshot.take())
  }
  return Buffer.concat(chunks)
}
