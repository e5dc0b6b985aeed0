/**
 * The folder in which `lagrange up` keeps a group: a lock, the last known master, and one folder per node.
 *
 *     data/lock           process id of the `up` that owns the folder
 *     data/group.json     which node was master last, and the process ids of the nodes
 *     data/node-6401/     that node's append-only file, and node.log
 */
import { existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

/** What must survive a restart. */
export interface GroupState {
  readonly masterPort: number
  /** Node port → process id, so that a later `up` finds nodes that outlived this one. */
  readonly pids: Readonly<Record<string, number>>
}

/** Another process owns the folder, or it cannot be written; the message is one clear line. */
export class DataDirError extends Error {
  override readonly name = 'DataDirError'
}

const NODE_LOG = 'node.log'
/** Looked at when a node starts; a node prints a few lines when something happens to it. */
const NODE_LOG_BYTES = 8 * 1024 * 1024

export class DataDir {
  readonly path: string

  /** Takes the folder for this process. Throws DataDirError. */
  constructor(path: string) {
    this.path = resolve(path)
    try {
      makeFolder(this.path)
      this.#lock()
    } catch (error) {
      if (error instanceof DataDirError) throw error
      throw new DataDirError(`--data-dir ${path}: ${(error as Error).message}`)
    }
  }

  nodeFolder(port: number): string {
    const path = join(this.path, `node-${port}`)
    makeFolder(path)
    return path
  }

  /** A descriptor for what the node prints. The log of its earlier runs is kept, up to a size, and once more. */
  openNodeLog(port: number): number {
    const file = join(this.nodeFolder(port), NODE_LOG)
    if (existsSync(file) && statSync(file).size > NODE_LOG_BYTES) renameSync(file, `${file}.1`)
    return openSync(file, 'a', 0o600)
  }

  /** The last thing the node printed: the reason, when it could not start. */
  lastLogLine(port: number): string {
    try {
      const lines = readFileSync(join(this.nodeFolder(port), NODE_LOG), 'utf8')
        .trimEnd()
        .split('\n')
      return lines.at(-1) ?? ''
    } catch {
      return ''
    }
  }

  /** undefined when there is none yet. Throws DataDirError when it cannot be understood: guessing could lose data. */
  read(): GroupState | undefined {
    const file = join(this.path, 'group.json')
    let text: string
    try {
      text = readFileSync(file, 'utf8')
    } catch {
      return undefined
    }
    try {
      const state = JSON.parse(text) as GroupState
      if (typeof state.masterPort === 'number' && typeof state.pids === 'object' && state.pids !== null) return state
    } catch {
      // falls through to the refusal
    }
    throw new DataDirError(`${file}: not readable as the state of a group; move it away to start from the first node`)
  }

  /** Replaces the state as a whole: a crash leaves the old one or the new one. */
  write(state: GroupState): void {
    const file = join(this.path, 'group.json')
    writeFileSync(`${file}.new`, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 })
    renameSync(`${file}.new`, file)
  }

  release(): void {
    rmSync(join(this.path, 'lock'), { force: true })
  }

  #lock(): void {
    const file = join(this.path, 'lock')
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        writeFileSync(file, `${process.pid}\n`, { flag: 'wx', mode: 0o600 })
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const owner = Number(readFileSync(file, 'utf8'))
      // Our own id in a lock that we do not hold: a container started again, whose first process is always the same.
      if (owner !== process.pid && isAlive(owner)) {
        throw new DataDirError(`--data-dir ${this.path}: in use by another lagrange (process ${owner})`)
      }
      // Its owner was killed; whoever removes the file first wins the next round.
      rmSync(file, { force: true })
    }
    throw new DataDirError(`--data-dir ${this.path}: another lagrange is starting on it`)
  }
}

/** Makes the folder and those above it. (Node 20's own recursive mkdir never returns where nothing can be made, as in /proc.) */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || existsSync(dirname(path))) throw error
    makeFolder(dirname(path))
    mkdirSync(path, { mode: 0o700 })
  }
}

/** Whether a process with this id exists (a stranger may have inherited the id; callers that act on it check more). */
export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
