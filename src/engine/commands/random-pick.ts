/**
 * Some distinct entries, every choice as likely as the others: for HRANDFIELD, SRANDMEMBER and ZRANDMEMBER with a count.
 */
import type { Bytes } from '../../base/units.js'

interface Pickable<V> {
  readonly size: number
  forEach(visit: (name: Bytes, value: V) => void): void
  random(random: () => number): [Bytes, V]
}

/** When more than a third is wanted, drawing until enough are distinct takes longer than looking at all. */
const MANY = 3

export function pickDistinct<V>(
  from: Pickable<V>,
  count: number,
  random: () => number,
  pick: (name: Bytes, value: V) => void,
): void {
  if (count >= from.size) {
    from.forEach(pick)
    return
  }
  if (count * MANY > from.size) {
    // Walk all; each is taken with the likelihood that fills what is still missing.
    let left = from.size
    let missing = count
    from.forEach((name, value) => {
      if (random() * left-- < missing) {
        missing--
        pick(name, value)
      }
    })
    return
  }
  const seen = new Set<Bytes>()
  while (seen.size < count) {
    const [name, value] = from.random(random)
    if (seen.has(name)) continue
    seen.add(name)
    pick(name, value)
  }
}
