/**
 * Where the control socket of a proxy lies: found again by the address it serves, so that a later supervisor meets the
 * workers of an earlier one. Unix socket paths hold 107 bytes, which is why it is not in the data folder.
 */
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, statSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Makes the folder, readable by us only, if need be. Throws when it belongs to somebody else. */
export function controlPath(listeners: readonly string[]): string {
  const user = process.getuid?.() ?? 0
  const folder = join(tmpdir(), `lagrange-${user}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (statSync(folder).uid !== user) throw new Error(`${folder} belongs to somebody else`)
  chmodSync(folder, 0o700)
  const name = createHash('sha256').update(listeners.join(' ')).digest('hex').slice(0, 16)
  return join(folder, `${name}.sock`)
}

/** Whether a supervisor answers at `path`. */
export function isSupervised(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
