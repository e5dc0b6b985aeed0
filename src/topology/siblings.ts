/**
 * Who has to be told of a new master.
 *
 * Not a replica that is chained behind another one that lives: that one follows, and it with it. Not one that knows the old
 * master by another address than we do (NAT, a relay), as long as that lives on as a replica: it may not reach the new one
 * by our address, and goes on through the old.
 */
import { formatAddress } from '../base/address.js'
import type { Millis } from '../base/units.js'
import { type Group, instanceAt, isUp, type JudgeOptions } from './group.js'

export function siblingsOf(
  group: Group,
  to: string,
  from: string | undefined,
  options: JudgeOptions,
  now: Millis,
): readonly string[] {
  const old = group.instances.find(instance => instance.id === from)
  const oldLives = old !== undefined && isUp(old, options, now)
  const siblings = group.instances.filter(instance => {
    if (instance.id === to || instance.role !== 'replica' || instance.master === undefined) return false
    if (!isUp(instance, options, now)) return false
    const at = instanceAt(group, instance.master.address)
    if (at === undefined || (at.id === from && formatAddress(instance.master.address) !== from)) return !oldLives
    return at.id === from || at.role !== 'replica' || !isUp(at, options, now)
  })
  return siblings.map(instance => instance.id)
}
