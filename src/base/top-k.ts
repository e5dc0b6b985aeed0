/**
 * The heaviest items of a long stream in little memory: Space-Saving (Metwally, Agrawal, El Abbadi, 2005).
 *
 * `capacity` items are counted. A new item takes the place of the lightest and inherits its weight as `error`, so that a
 * weight is never too low and too high by at most `error`; whatever has more than 1/capacity of the whole is in the list.
 */
export interface Heavy {
  readonly item: string
  readonly weight: number
  readonly error: number
}

export class TopK {
  readonly #counted = new Map<string, { weight: number; error: number }>()
  #total = 0
  /** Some of those that weigh least, and what that was when they were found; they may have grown since. */
  readonly #lightest: string[] = []
  #least = 0

  constructor(private readonly capacity: number) {}

  /** The weight of everything that was added. */
  get total(): number {
    return this.#total
  }

  add(item: string, weight = 1): void {
    this.#total += weight
    const known = this.#counted.get(item)
    if (known !== undefined) {
      known.weight += weight
      return
    }
    const error = this.#counted.size < this.capacity ? 0 : this.#dropLightest()
    this.#counted.set(item, { weight: error + weight, error })
  }

  /** Heaviest first. */
  list(): readonly Heavy[] {
    const all = [...this.#counted].map(([item, { weight, error }]) => ({ item, weight, error }))
    return all.sort((a, b) => b.weight - a.weight)
  }

  /** The weight of the one that goes. Many weigh as little: who they are is found once for all of them. */
  #dropLightest(): number {
    for (;;) {
      for (let item = this.#lightest.pop(); item !== undefined; item = this.#lightest.pop()) {
        if (this.#counted.get(item)?.weight === this.#least && this.#counted.delete(item)) return this.#least
      }
      this.#findLightest()
    }
  }

  #findLightest(): void {
    this.#least = Number.POSITIVE_INFINITY
    for (const { weight } of this.#counted.values()) if (weight < this.#least) this.#least = weight
    for (const [item, { weight }] of this.#counted) if (weight === this.#least) this.#lightest.push(item)
  }
}
