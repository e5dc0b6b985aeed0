/**
 * A reload, by SIGHUP or over the admin API: reads the configuration again, takes over what can change while it runs (its
 * rows in the schema say so) and tells of every other change that it waits for a restart.
 */
import type { OptionList, ReloadReport } from '../admin/model.js'
import { describeOptions, diffConfig } from '../config/describe.js'
import type { ConfigSchema } from '../config/option.js'
import type { SharedConfig } from '../config/schema.js'
import type { LiveOptions } from '../proxy/worker.js'
import type { Endpoint } from './endpoint.js'
import type { Started } from './program.js'

export function reloadConfig<C extends SharedConfig>(
  endpoint: Endpoint,
  schema: ConfigSchema<C>,
  started: Started<C>,
  liveOf?: (config: C) => LiveOptions,
): ReloadReport | { readonly errors: readonly string[] } {
  const { events, metrics, clock } = endpoint
  const successful = metrics.gauge('lagrange_config_last_reload_successful')
  const loaded = started.reload()
  if ('errors' in loaded) {
    successful.value = 0
    for (const error of loaded.errors) events.event('error', '-config-reload', { reason: error })
    return loaded
  }
  successful.value = 1
  metrics.gauge('lagrange_config_last_reload_success_timestamp_seconds').value = clock.wall() / 1000
  const changes = diffConfig(schema, started.config, loaded.config)
  for (const change of changes) {
    if (change.reload === 'restart') events.event('warn', '+config-needs-restart', { option: change.path })
  }
  endpoint.setLogLevel(loaded.config.log.level)
  if (liveOf !== undefined) endpoint.takeOver(liveOf(loaded.config))
  events.event('info', '+config-reload', { changes: changes.length })
  return { changes: changes.map(({ path, from, to, reload }) => ({ path, from, to, effect: reload })) }
}

/** Every option, for the admin API. */
export function listOptions<C>(schema: ConfigSchema<C>): OptionList {
  const options = describeOptions(schema).map(({ env, flag, ...option }) => ({
    ...option,
    env: env ?? null,
    flag: flag ?? null,
  }))
  return { options }
}
