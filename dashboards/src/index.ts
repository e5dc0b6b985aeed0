import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { overview } from './overview.js'
import { replication } from './replication.js'

/** By the name of its file. */
export const dashboards: Readonly<Record<string, Dashboard>> = { overview, replication }

/** As it is committed. */
export function toJson(dashboard: Dashboard): string {
  return `${JSON.stringify(dashboard, null, 2)}\n`
}
