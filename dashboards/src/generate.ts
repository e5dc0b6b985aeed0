/** `npm run dashboards`: writes dashboards/*.json. */
import { writeFileSync } from 'node:fs'
import { dashboards, toJson } from './index.js'

for (const [name, dashboard] of Object.entries(dashboards)) {
  writeFileSync(new URL(`../${name}.json`, import.meta.url), toJson(dashboard))
}
