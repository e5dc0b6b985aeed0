/** The sentinel section of INFO. */
import type { Watcher } from './watcher.js'

export function sentinelInfo({ council, scripts, clock }: Watcher): string {
  const { tiltSince, simulate } = council
  const flags = (simulate.crashAfterElection ? 1 : 0) + (simulate.crashAfterPromotion ? 2 : 0)
  const lines = [
    '# Sentinel',
    `sentinel_masters:${council.masters.size}`,
    `sentinel_tilt:${tiltSince === undefined ? 0 : 1}`,
    `sentinel_tilt_since_seconds:${tiltSince === undefined ? -1 : Math.floor((clock.now() - tiltSince) / 1000)}`,
    `sentinel_running_scripts:${scripts.running}`,
    `sentinel_scripts_queue_length:${scripts.jobs.length}`,
    `sentinel_simulate_failure_flags:${flags}`,
  ]
  for (const [index, master] of [...council.masters.values()].entries()) {
    const status = master.odown ? 'odown' : master.sdown ? 'sdown' : 'ok'
    const address = `${council.shown(master.place)}:${master.place.port}`
    lines.push(
      `master${index}:name=${master.name},status=${status},address=${address},slaves=${master.replicas.size},sentinels=${master.peers.size + 1}`,
    )
  }
  return `${lines.join('\r\n')}\r\n`
}
