/**
 * SENTINEL SET: options of one master, one after the other; a mistake ends it, what was set before stays.
 */
import type { Bytes } from '../../base/units.js'
import { hasControlCharacters, setDownAfter } from '../../topology/quorum/conf.js'
import type { Council } from '../../topology/quorum/council.js'
import type { MasterWatch } from '../../topology/quorum/watched.js'

export interface SetResult {
  readonly changes: number
  readonly error: Bytes | undefined
  /** Credentials changed: whoever is connected with the old ones connects again. */
  readonly dropConnections: boolean
}

/** Answers why the values are refused: `invalid`, or an error of its own. */
type Setter = (context: SetContext, master: MasterWatch, values: readonly Bytes[]) => 'invalid' | Bytes | undefined

export interface SetContext {
  readonly council: Council
  readonly executable: (path: string) => boolean
}

const DENIED =
  'ERR Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig configuration directive in your Sentinel configuration'

const setters: Readonly<Record<string, { readonly values: number; readonly set: Setter }>> = {
  'down-after-milliseconds': whole(1, (master, value) => setDownAfter(master, value)),
  'failover-timeout': whole(1, (master, value) => (master.failoverTimeoutMs = value)),
  'parallel-syncs': whole(1, (master, value) => (master.parallelSyncs = value)),
  quorum: whole(1, (master, value) => (master.quorum = value)),
  'master-reboot-down-after-period': whole(0, (master, value) => (master.rebootDownAfterMs = value)),
  'notification-script': script('Notification script', (master, path) => (master.notificationScript = path)),
  'client-reconfig-script': script('Client reconfiguration script', (master, path) => (master.reconfigScript = path)),
  'auth-pass': credential((master, value) => (master.authPass = value)),
  'auth-user': credential((master, value) => (master.authUser = value)),
  'rename-command': {
    values: 2,
    set(_context, master, [from = '', to = '']) {
      if (!/^[!-~]+$/.test(from) || !/^[!-~]+$/.test(to)) return 'invalid'
      master.renames.delete(from.toLowerCase())
      if (from.toLowerCase() !== to.toLowerCase()) master.renames.set(from.toLowerCase(), to)
      return undefined
    },
  },
}

export function setOptions(context: SetContext, master: MasterWatch, words: readonly Bytes[]): SetResult {
  let changes = 0
  let dropConnections = false
  let error: Bytes | undefined
  for (let at = 0; at < words.length && error === undefined; ) {
    const option = words[at] as Bytes
    const name = option.toLowerCase()
    const setter = Object.hasOwn(setters, name) ? setters[name] : undefined
    const values = words.slice(at + 1, at + 1 + (setter?.values ?? 0))
    at += 1 + values.length
    if (setter === undefined || values.length < setter.values) {
      error = `ERR Unknown option or number of arguments for SENTINEL SET '${option}'`
      break
    }
    const refusal = setter.set(context, master, values)
    if (refusal !== undefined) {
      const wrong = values.find(value => value === '') ?? values[0]
      error = refusal === 'invalid' ? `ERR Invalid argument '${wrong}' for SENTINEL SET '${option}'` : refusal
      break
    }
    changes++
    dropConnections ||= name.startsWith('auth-')
    const shown = name === 'auth-pass' ? ['******'] : values
    context.council.event('warning', '+set', master, [option, ...shown].join(' '))
  }
  return { changes, error, dropConnections }
}

function whole(min: number, set: (master: MasterWatch, value: number) => void): { values: 1; set: Setter } {
  return {
    values: 1,
    set(_context, master, [text = '']) {
      const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN
      if (!(value >= min)) return 'invalid'
      set(master, value)
      return undefined
    },
  }
}

function credential(set: (master: MasterWatch, value: Bytes | undefined) => void): { values: 1; set: Setter } {
  return {
    values: 1,
    set(_context, master, [value = '']) {
      if (hasControlCharacters(value)) return 'invalid'
      set(master, value === '' ? undefined : value)
      return undefined
    },
  }
}

function script(
  what: string,
  set: (master: MasterWatch, path: string | undefined) => void,
): { values: 1; set: Setter } {
  return {
    values: 1,
    set({ council, executable }, master, [path = '']) {
      if (council.settings.denyScriptsReconfig) return DENIED
      if (hasControlCharacters(path)) return 'invalid'
      if (path !== '' && !executable(path)) return `ERR ${what} seems non existing or non executable`
      set(master, path === '' ? undefined : path)
      return undefined
    },
  }
}
