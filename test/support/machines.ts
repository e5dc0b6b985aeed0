/**
 * Machines on one machine: a network namespace for each, wired to a switch that can be split.
 *
 *     10.0.0.1 ─veth─┐                          each namespace has an address of its own and nothing else;
 *     10.0.0.2 ─veth─┼─ switch ╎ island ─ …     who is moved to the island hears nobody who is not there:
 *     10.0.0.3 ─veth─┘                          packets are dropped, nothing is refused, as when a cable is cut
 *
 * The switch lives in a namespace as well, so that nothing of it is seen outside; it has 10.0.0.254, for clients. Root is
 * needed. Where namespaces cannot be made, what needs them is skipped, loudly.
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process'
import { test } from 'vitest'

/** Why machines cannot be made here; undefined when they can. */
export function machinesMissing(): string | undefined {
  const name = `lgp${process.pid}`
  try {
    ip('netns', 'add', name)
    ip('-n', name, 'link', 'add', 'bridge0', 'type', 'bridge')
    ip('-n', name, 'link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1')
    return undefined
  } catch (error) {
    return `no network namespaces: ${String((error as { stderr?: Buffer }).stderr ?? error).trim()}`
  } finally {
    try {
      ip('netns', 'del', name)
    } catch {
      // It was not made.
    }
  }
}

/** A test that is skipped where machines cannot be made. */
export function testWithMachines(title: string, body: () => Promise<void>, timeoutMs: number): void {
  const missing = machinesMissing()
  if (missing === undefined) return void test(title, body, timeoutMs)
  process.stderr.write(`SKIPPED: ${title}: ${missing}\n`)
  test.skip(`${title} (SKIPPED: ${missing})`, body)
}

let made = 0

export class Machines {
  readonly #name = `lg${process.pid}x${made++}`
  readonly #children = new Set<ChildProcess>()

  constructor(readonly count: number) {
    const { hub } = this
    ip('netns', 'add', hub)
    try {
      for (const bridge of ['switch', 'island']) {
        inHub(hub, 'link', 'add', bridge, 'type', 'bridge')
        inHub(hub, 'link', 'set', bridge, 'up')
      }
      inHub(hub, 'addr', 'add', '10.0.0.254/24', 'dev', 'switch')
      inHub(hub, 'link', 'set', 'lo', 'up')
      for (let machine = 1; machine <= count; machine++) this.#add(machine)
    } catch (error) {
      this.#remove()
      throw error
    }
  }

  /** The namespace of the switch: from there all machines are reached. */
  get hub(): string {
    return `${this.#name}h`
  }

  static address(machine: number): string {
    return `10.0.0.${machine}`
  }

  /** Machine 0 is the switch. */
  spawn(machine: number, program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.#space(machine), program, ...args], options)
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  /** These hear each other, and nobody else does. */
  isolate(...machines: readonly number[]): void {
    for (const machine of machines) inHub(this.hub, 'link', 'set', `m${machine}`, 'master', 'island')
  }

  heal(): void {
    for (let machine = 1; machine <= this.count; machine++) {
      inHub(this.hub, 'link', 'set', `m${machine}`, 'master', 'switch')
    }
  }

  /** Everything that runs there ends. */
  async stop(): Promise<void> {
    const ends = [...this.#children].map(child => new Promise(resolve => child.once('exit', resolve)))
    for (const child of this.#children) child.kill('SIGKILL')
    await Promise.all(ends)
    this.#remove()
  }

  #space(machine: number): string {
    return machine === 0 ? this.hub : `${this.#name}m${machine}`
  }

  #add(machine: number): void {
    const space = this.#space(machine)
    ip('netns', 'add', space)
    inHub(this.hub, 'link', 'add', `m${machine}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space)
    inHub(this.hub, 'link', 'set', `m${machine}`, 'master', 'switch', 'up')
    ip('-n', space, 'addr', 'add', `${Machines.address(machine)}/24`, 'dev', 'eth0')
    ip('-n', space, 'link', 'set', 'eth0', 'up')
    ip('-n', space, 'link', 'set', 'lo', 'up')
  }

  #remove(): void {
    for (let machine = 0; machine <= this.count; machine++) {
      try {
        ip('netns', 'del', this.#space(machine))
      } catch {
        // It was not made.
      }
    }
  }
}

function inHub(hub: string, ...args: readonly string[]): void {
  ip('-n', hub, ...args)
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
