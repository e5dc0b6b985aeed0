/** Which consistency applies to whom: the default, the listeners that have their own, and the rules, in their order. */
import type { RuleList } from '../admin/model.js'
import { formatAddress } from '../base/address.js'
import type { ListenerConfig, RuleConfig } from '../config/formats.js'
import type { ConsistencyConfig } from '../config/schema.js'

export function describeRules(
  { level, boundMs, waitMs, acks }: ConsistencyConfig,
  listeners: readonly ListenerConfig[],
  rules: readonly RuleConfig[],
): RuleList {
  const nothing = { level: null, boundMs: null, readFrom: null, acks: null, denied: false }
  return {
    rules: [
      { ...nothing, appliesTo: 'default', level, boundMs, acks: acks === 0 ? null : String(acks) },
      ...listeners.flatMap(listener =>
        listener.consistency === undefined
          ? []
          : [{ ...nothing, appliesTo: `listener ${formatAddress(listener)}`, level: listener.consistency, boundMs }],
      ),
      ...rules.map(rule => ({
        appliesTo: describeCondition(rule),
        level: rule.level ?? null,
        boundMs: rule.boundMs ?? null,
        readFrom: rule.readFrom ?? null,
        acks: rule.acks === undefined ? null : String(rule.acks),
        denied: rule.deny === true,
      })),
    ],
    waitMs,
  }
}

function describeCondition({ user, clientName, commands, keyPrefix }: RuleConfig): string {
  const parts = [
    user === undefined ? [] : [`user ${user}`],
    clientName === undefined ? [] : [`client name ${clientName}`],
    commands === undefined ? [] : [`commands ${commands.join(', ')}`],
    keyPrefix === undefined ? [] : [`keys ${keyPrefix}*`],
  ].flat()
  return parts.length === 0 ? 'everybody' : parts.join(', ')
}
