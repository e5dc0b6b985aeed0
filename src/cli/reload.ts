/**
 * The configuration in force, and its reload, by SIGHUP or over the admin API: reads it again, takes over what can change
 * while it runs (its rows in the schema say so) and tells of every other change that it waits for a restart.
 */
import type { ConfigDescription, OptionList, ReloadReport } from '../admin/model.js'
import { describeOptions, diffConfig, maskConfig, withLive } from '../config/describe.js'
import type { ConfigSchema } from '../config/option.js'
import type { SharedConfig } from '../config/schema.js'
import type { LiveOptions } from '../proxy/worker.js'
import type { Endpoint } from './endpoint.js'
import type { Started } from './program.js'

export class InForce<C extends SharedConfig> {
  /** What was started with, and what later reloads have taken over. */
  config: C
  #origins: ReadonlyMap<string, string>

  constructor(
    private readonly schema: ConfigSchema<C>,
    private readonly started: Started<C>,
    private readonly liveOf?: (config: C) => LiveOptions,
  ) {
    this.config = started.config
    this.#origins = started.origins
  }

  describe(): ConfigDescription {
    return { values: maskConfig(this.schema, this.config), origins: Object.fromEntries(this.#origins) }
  }

  /** Every option, for the admin API. */
  options(): OptionList {
    const options = describeOptions(this.schema).map(({ env, flag, ...option }) => ({
      ...option,
      env: env ?? null,
      flag: flag ?? null,
    }))
    return { options }
  }

  reload(endpoint: Endpoint): ReloadReport | { readonly errors: readonly string[] } {
    const { events, metrics, clock } = endpoint
    const successful = metrics.gauge('lagrange_config_last_reload_successful')
    const loaded = this.started.reload()
    if ('errors' in loaded) {
      successful.value = 0
      for (const error of loaded.errors) events.event('error', '-config-reload', { reason: error })
      return loaded
    }
    successful.value = 1
    metrics.gauge('lagrange_config_last_reload_success_timestamp_seconds').value = clock.wall() / 1000
    const changes = diffConfig(this.schema, this.config, loaded.config)
    const origins = new Map(this.#origins)
    for (const { path, reload } of changes) {
      if (reload === 'restart') events.event('warn', '+config-needs-restart', { option: path })
      else setOrDelete(origins, path, loaded.origins.get(path))
    }
    this.config = withLive(this.schema, this.config, loaded.config)
    this.#origins = origins
    endpoint.setLogLevel(this.config.log.level)
    if (this.liveOf !== undefined) endpoint.takeOver(this.liveOf(this.config))
    events.event('info', '+config-reload', { changes: changes.length })
    return { changes: changes.map(({ path, from, to, reload }) => ({ path, from, to, effect: reload })) }
  }
}

function setOrDelete(map: Map<string, string>, key: string, value: string | undefined): void {
  if (value === undefined) map.delete(key)
  else map.set(key, value)
}
