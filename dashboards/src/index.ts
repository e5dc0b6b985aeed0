import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { freshness } from './freshness.js'
import { node } from './node.js'
import { overview } from './overview.js'
import { replication } from './replication.js'
import { switches } from './switches.js'

/** By the name of its file. */
export const dashboards: Readonly<Record<string, Dashboard>> = {
  overview,
  replication,
  freshness,
  switches,
  node,
}

/** As it is committed. */
export function toJson(dashboard: Dashboard): string {
  return `${JSON.stringify(dashboard, null, 2)}\n`
}
