/**
 * Our own hash table for the keyspace and for big collections. A JS Map grows by copying everything at once (half a
 * second at ten million keys), has no cursor that survives growth, and cannot name a random entry.
 *
 *     buckets   Int32Array     hash & mask → first slot + 1
 *     pages     1024 slots     keys[] values[] and, interleaved, hash and next slot + 1
 *
 * An entry keeps its slot as long as it lives, whatever the buckets do. So whoever walks slots in order (a snapshot, the
 * expiry cycle) is undisturbed by growth, and knows by comparing two numbers whether an entry lies ahead or behind.
 *
 * Growth is incremental: a second bucket array appears and every change moves a few chains over; moving a chain touches
 * only numbers. `scan` follows both arrays with Redis' cursor (the bits counted from the top), which returns everything that
 * was there all the time, and may return something twice.
 */
import type { Bytes } from '../base/units.js'
import { ENTRY, textBytes } from './types/weight.js'

export const PAGE_BITS = 10
export const PAGE_SLOTS = 1 << PAGE_BITS
const PAGE_MASK = PAGE_SLOTS - 1
const FIRST_BUCKETS = 16
const FIRST_META = 64
/** Chains moved per change while growing; one would be enough to be done before the next growth. */
const CHAINS_PER_CHANGE = 4
const NO_META = new Int32Array(0)
const NO_BUCKETS = new Int32Array(0)

interface Page<V> {
  /** undefined: the slot is free. */
  keys: (Bytes | undefined)[]
  values: (V | undefined)[]
  /** Per slot: hash, next slot of the chain + 1 (in a free slot: next free index + 1). */
  meta: Int32Array
  /** Expiry per slot in Unix milliseconds, 0 for none; made when the first entry of the page gets one. */
  expires: Float64Array | undefined
  volatile: number
  /** What the eviction policy notes about an access; made when first noted. */
  stamps: Uint32Array | undefined
  count: number
  /** Slots handed out from the front so far. */
  used: number
  freeHead: number
}

export class HashTable<V> {
  size = 0
  /** What all entries weigh; who changes a value in its place adds the difference. */
  weight = 0
  /** Entries with an expiry. */
  volatileSize = 0
  readonly #seed: number
  readonly #weigh: (value: V) => number
  readonly #pages: Page<V>[] = []
  /** Pages that may have a free slot. */
  readonly #roomy: number[] = []
  /** Pages below this one take no new entries while somebody walks them. */
  #frozenPages = 0
  #frozen = 0
  #buckets: Int32Array
  #mask: number
  /** While growing or shrinking: the buckets to be; chains below #moved of the old ones are there already. */
  #next: Int32Array = NO_BUCKETS
  #nextMask = -1
  #moved = 0

  /** `seed` makes collisions unforeseeable; `weigh` says what a value weighs beside the pointer to it. */
  constructor(seed: number, weigh: (value: V) => number = weightless) {
    this.#seed = seed
    this.#weigh = weigh
    this.#buckets = new Int32Array(FIRST_BUCKETS)
    this.#mask = FIRST_BUCKETS - 1
  }

  // ── Entries by key ────────────────────────────────────────────────────────────────────────────────────────────────

  /** The slot of `key`, or -1. */
  slotOf(key: Bytes): number {
    return this.#find(key, hashBytes(key, this.#seed))
  }

  has(key: Bytes): boolean {
    return this.slotOf(key) >= 0
  }

  get(key: Bytes): V | undefined {
    const slot = this.#find(key, hashBytes(key, this.#seed))
    return slot < 0 ? undefined : this.valueAt(slot)
  }

  /** Sets or adds; answers the slot. The key's stored text stays the one that was added first. */
  set(key: Bytes, value: V): number {
    const hash = hashBytes(key, this.#seed)
    const slot = this.#find(key, hash)
    if (slot < 0) return this.#insert(key, value, hash)
    this.setValueAt(slot, value)
    return slot
  }

  /** Adds a key that the caller knows to be absent. */
  add(key: Bytes, value: V): number {
    return this.#insert(key, value, hashBytes(key, this.#seed))
  }

  /** Adds a key unless it is there; then -1. */
  addNew(key: Bytes, value: V): number {
    const hash = hashBytes(key, this.#seed)
    return this.#find(key, hash) < 0 ? this.#insert(key, value, hash) : -1
  }

  delete(key: Bytes): boolean {
    const hash = hashBytes(key, this.#seed)
    if (this.#nextMask >= 0) this.#moveChains(CHAINS_PER_CHANGE)
    const slot = this.#unlink(key, hash)
    if (slot < 0) return false
    this.#release(slot)
    this.#shrinkIfSparse()
    return true
  }

  // ── Entries by slot ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Slots run from 0 up to here; many may be free. */
  get slotEnd(): number {
    return this.#pages.length << PAGE_BITS
  }

  keyAt(slot: number): Bytes | undefined {
    return this.#pages[slot >> PAGE_BITS]?.keys[slot & PAGE_MASK]
  }

  valueAt(slot: number): V {
    return (this.#pages[slot >> PAGE_BITS] as Page<V>).values[slot & PAGE_MASK] as V
  }

  setValueAt(slot: number, value: V): void {
    const { values } = this.#pages[slot >> PAGE_BITS] as Page<V>
    const at = slot & PAGE_MASK
    this.weight += this.#weigh(value) - this.#weigh(values[at] as V)
    values[at] = value
  }

  /** When the entry expires, in Unix milliseconds; 0 when it does not. */
  expireAt(slot: number): number {
    const { expires } = this.#pages[slot >> PAGE_BITS] as Page<V>
    return expires === undefined ? 0 : (expires[slot & PAGE_MASK] as number)
  }

  /** 0 takes the expiry away. */
  setExpireAt(slot: number, at: number): void {
    const page = this.#pages[slot >> PAGE_BITS] as Page<V>
    if (page.expires === undefined) {
      if (at === 0) return
      page.expires = new Float64Array(PAGE_SLOTS)
    }
    const change = (at === 0 ? 0 : 1) - (page.expires[slot & PAGE_MASK] === 0 ? 0 : 1)
    page.expires[slot & PAGE_MASK] = at
    page.volatile += change
    this.volatileSize += change
    if (page.volatile === 0) page.expires = undefined
  }

  stampAt(slot: number): number {
    const { stamps } = this.#pages[slot >> PAGE_BITS] as Page<V>
    return stamps === undefined ? 0 : (stamps[slot & PAGE_MASK] as number)
  }

  setStampAt(slot: number, stamp: number): void {
    const page = this.#pages[slot >> PAGE_BITS] as Page<V>
    page.stamps ??= new Uint32Array(PAGE_SLOTS)
    page.stamps[slot & PAGE_MASK] = stamp
  }

  /** The keys of `slot`'s page, from `slot` on, whose time is over at `now`; and where the next page begins. */
  expiredFrom(slot: number, now: number): { readonly dead: Bytes[]; readonly next: number } {
    const page = this.#pages[slot >> PAGE_BITS]
    const dead: Bytes[] = []
    if (page?.expires !== undefined)
      for (let at = slot & PAGE_MASK; at < page.used; at++) {
        const expireAt = page.expires[at] as number
        if (expireAt !== 0 && now > expireAt) dead.push(page.keys[at] as Bytes)
      }
    return { dead, next: ((slot >> PAGE_BITS) + 1) << PAGE_BITS }
  }

  /**
   * From now until `thaw`, new entries get slots behind the answered end: a walker of [0, end) never meets them. Entries
   * deleted and added again count as new.
   */
  freeze(): number {
    this.#frozen++
    this.#frozenPages = this.#pages.length
    return this.slotEnd
  }

  thaw(): void {
    this.#frozen--
    if (this.#frozen > 0) return
    this.#frozenPages = 0
    this.#roomy.length = 0
    for (let index = 0; index < this.#pages.length; index++) if (this.#hasRoom(index)) this.#roomy.push(index)
  }

  /** The keys, slot by slot. Entries may come and go meanwhile; added ones may or may not be seen. */
  *keys(): Generator<Bytes> {
    for (let index = 0; index < this.#pages.length; index++) {
      const page = this.#pages[index] as Page<V>
      for (let at = 0; at < page.used; at++) {
        const key = page.keys[at]
        if (key !== undefined) yield key
      }
    }
  }

  /** Calls back with every entry, without allocating. */
  forEach(visit: (key: Bytes, value: V, slot: number) => void): void {
    for (let index = 0; index < this.#pages.length; index++) {
      const page = this.#pages[index] as Page<V>
      for (let at = 0; at < page.used; at++) {
        const key = page.keys[at]
        if (key !== undefined) visit(key, page.values[at] as V, (index << PAGE_BITS) | at)
      }
    }
  }

  /** Some entry's slot, every one as likely as the others; -1 when there is none. `random` gives [0, 1). */
  randomSlot(random: () => number): number {
    if (this.size === 0) return -1
    const last = this.#pages.length - 1
    const end = (last << PAGE_BITS) + (this.#pages[last] as Page<V>).used
    for (let tries = 0; tries < 200; tries++) {
      const slot = Math.floor(random() * end)
      if (this.keyAt(slot) !== undefined) return slot
    }
    // Few are left of many: draw a number and count up to it, page by page.
    let wanted = Math.floor(random() * this.size)
    for (let index = 0; index < this.#pages.length; index++) {
      const page = this.#pages[index] as Page<V>
      if (wanted < page.count) return (index << PAGE_BITS) | nthUsed(page, wanted)
      wanted -= page.count
    }
    return -1
  }

  /** The slot of some entry that expires, every one as likely as the others; -1 when none does. */
  randomVolatileSlot(random: () => number): number {
    for (let tries = 0; tries < 16 && this.volatileSize > 0; tries++) {
      const slot = this.randomSlot(random)
      if (this.expireAt(slot) !== 0) return slot
    }
    // Few of many expire: draw a number and count up to it, page by page.
    let wanted = Math.floor(random() * this.volatileSize)
    for (let index = 0; index < this.#pages.length; index++) {
      const { expires, volatile, used } = this.#pages[index] as Page<V>
      if (expires !== undefined && wanted < volatile)
        for (let at = 0; at < used; at++) if (expires[at] !== 0 && wanted-- === 0) return (index << PAGE_BITS) | at
      wanted -= volatile
    }
    return -1
  }

  // ── Cursor ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Visits the chains at `cursor` and answers the next cursor; 0 begins and ends. */
  scan(cursor: number, visit: (key: Bytes, value: V, slot: number) => void): number {
    if (this.#nextMask < 0) {
      this.#visitChain(this.#buckets[cursor & this.#mask] as number, visit)
      return nextCursor(cursor, this.#mask)
    }
    // The bucket of the smaller array, then all buckets of the larger one that it splits into (or was joined from).
    const small = this.#mask < this.#nextMask ? this.#buckets : this.#next
    const large = this.#mask < this.#nextMask ? this.#next : this.#buckets
    const smallMask = small.length - 1
    const largeMask = large.length - 1
    this.#visitChain(small[cursor & smallMask] as number, visit)
    do {
      this.#visitChain(large[cursor & largeMask] as number, visit)
      cursor = nextCursor(cursor, largeMask)
    } while ((cursor & (smallMask ^ largeMask)) !== 0)
    return cursor
  }

  #visitChain(link: number, visit: (key: Bytes, value: V, slot: number) => void): void {
    while (link !== 0) {
      const slot = link - 1
      const page = this.#pages[slot >> PAGE_BITS] as Page<V>
      const at = slot & PAGE_MASK
      link = page.meta[at * 2 + 1] as number
      visit(page.keys[at] as Bytes, page.values[at] as V, slot)
    }
  }

  // ── Growth ────────────────────────────────────────────────────────────────────────────────────────────────────────

  get bucketCount(): number {
    return this.#buckets.length + this.#next.length
  }

  get rehashing(): boolean {
    return this.#nextMask >= 0
  }

  /** Moves up to `chains` chains; for idle moments. Answers whether there is more to move. */
  rehash(chains: number): boolean {
    if (this.#nextMask >= 0) this.#moveChains(chains)
    return this.#nextMask >= 0
  }

  /** Room for `count` entries at once: for a loader that knows how many will come. */
  reserve(count: number): void {
    let size = FIRST_BUCKETS
    while (size < count) size *= 2
    if (size > this.#buckets.length && this.#nextMask < 0) this.#resize(size)
  }

  #resize(size: number): void {
    this.#next = new Int32Array(size)
    this.#nextMask = size - 1
    this.#moved = 0
    if (this.size === 0) this.#finishMoving()
  }

  #finishMoving(): void {
    this.#buckets = this.#next
    this.#mask = this.#nextMask
    this.#next = NO_BUCKETS
    this.#nextMask = -1
  }

  #moveChains(count: number): void {
    const buckets = this.#buckets
    let empty = count * 10
    while (count > 0 && empty > 0 && this.#moved < buckets.length) {
      let link = buckets[this.#moved] as number
      if (link === 0) empty--
      else count--
      buckets[this.#moved++] = 0
      while (link !== 0) {
        const { meta } = this.#pages[(link - 1) >> PAGE_BITS] as Page<V>
        const at = ((link - 1) & PAGE_MASK) * 2
        const following = meta[at + 1] as number
        const index = (meta[at] as number) & this.#nextMask
        meta[at + 1] = this.#next[index] as number
        this.#next[index] = link
        link = following
      }
    }
    if (this.#moved === buckets.length) this.#finishMoving()
  }

  #shrinkIfSparse(): void {
    if (this.#nextMask >= 0 || this.#buckets.length <= FIRST_BUCKETS || this.size * 8 > this.#buckets.length) return
    let size = FIRST_BUCKETS
    while (size < this.size * 2) size *= 2
    this.#resize(size)
  }

  // ── Chains and slots ──────────────────────────────────────────────────────────────────────────────────────────────

  #find(key: Bytes, hash: number): number {
    let link = this.#buckets[hash & this.#mask] as number
    while (link !== 0) {
      const slot = link - 1
      const page = this.#pages[slot >> PAGE_BITS] as Page<V>
      const at = slot & PAGE_MASK
      if (page.meta[at * 2] === hash && page.keys[at] === key) return slot
      link = page.meta[at * 2 + 1] as number
    }
    return this.#nextMask < 0 ? -1 : this.#findInNext(key, hash)
  }

  #findInNext(key: Bytes, hash: number): number {
    let link = this.#next[hash & this.#nextMask] as number
    while (link !== 0) {
      const slot = link - 1
      const page = this.#pages[slot >> PAGE_BITS] as Page<V>
      const at = slot & PAGE_MASK
      if (page.meta[at * 2] === hash && page.keys[at] === key) return slot
      link = page.meta[at * 2 + 1] as number
    }
    return -1
  }

  #insert(key: Bytes, value: V, hash: number): number {
    if (this.#nextMask >= 0) this.#moveChains(CHAINS_PER_CHANGE)
    else if (this.size >= this.#buckets.length) this.#resize(this.#buckets.length * 2)
    const slot = this.#takeSlot()
    const page = this.#pages[slot >> PAGE_BITS] as Page<V>
    const at = slot & PAGE_MASK
    const growing = this.#nextMask >= 0
    const buckets = growing ? this.#next : this.#buckets
    const index = hash & (growing ? this.#nextMask : this.#mask)
    page.keys[at] = key
    page.values[at] = value
    page.meta[at * 2] = hash
    page.meta[at * 2 + 1] = buckets[index] as number
    buckets[index] = slot + 1
    page.count++
    this.size++
    this.weight += ENTRY + textBytes(key) + this.#weigh(value)
    return slot
  }

  /** Takes the entry out of its chain; its slot stays filled. */
  #unlink(key: Bytes, hash: number): number {
    const slot = this.#unlinkFrom(this.#buckets, hash & this.#mask, key, hash)
    if (slot >= 0 || this.#nextMask < 0) return slot
    return this.#unlinkFrom(this.#next, hash & this.#nextMask, key, hash)
  }

  #unlinkFrom(buckets: Int32Array, index: number, key: Bytes, hash: number): number {
    let before: Int32Array | undefined
    let beforeAt = 0
    let link = buckets[index] as number
    while (link !== 0) {
      const slot = link - 1
      const page = this.#pages[slot >> PAGE_BITS] as Page<V>
      const at = slot & PAGE_MASK
      const following = page.meta[at * 2 + 1] as number
      if (page.meta[at * 2] === hash && page.keys[at] === key) {
        if (before === undefined) buckets[index] = following
        else before[beforeAt] = following
        return slot
      }
      before = page.meta
      beforeAt = at * 2 + 1
      link = following
    }
    return -1
  }

  #takeSlot(): number {
    while (this.#roomy.length > 0) {
      const index = this.#roomy[this.#roomy.length - 1] as number
      if (index >= this.#frozenPages && this.#hasRoom(index)) return this.#takeFrom(index)
      this.#roomy.pop()
    }
    this.#pages.push(emptyPage())
    this.#roomy.push(this.#pages.length - 1)
    return this.#takeFrom(this.#pages.length - 1)
  }

  #hasRoom(index: number): boolean {
    const page = this.#pages[index] as Page<V>
    return page.freeHead !== 0 || page.used < PAGE_SLOTS
  }

  #takeFrom(index: number): number {
    const page = this.#pages[index] as Page<V>
    let at = page.freeHead - 1
    if (at >= 0) page.freeHead = page.meta[at * 2 + 1] as number
    else {
      at = page.used++
      if (at * 2 >= page.meta.length) growPage(page, index > 0)
    }
    return (index << PAGE_BITS) | at
  }

  #release(slot: number): void {
    const index = slot >> PAGE_BITS
    const page = this.#pages[index] as Page<V>
    const at = slot & PAGE_MASK
    if (page.expires !== undefined) this.setExpireAt(slot, 0)
    this.weight -= ENTRY + textBytes(page.keys[at] as Bytes) + this.#weigh(page.values[at] as V)
    page.keys[at] = undefined
    page.values[at] = undefined
    page.count--
    this.size--
    const wasFull = page.freeHead === 0 && page.used === PAGE_SLOTS
    if (page.count === 0) Object.assign(page, emptyPage())
    else {
      page.meta[at * 2 + 1] = page.freeHead
      page.freeHead = at + 1
    }
    if (wasFull && index >= this.#frozenPages) this.#roomy.push(index)
  }
}

export function weightless(): number {
  return 0
}

/** A 32-bit hash of the bytes (the mixing step of MurmurHash2, byte by byte); the seed comes from outside. */
export function hashBytes(key: Bytes, seed: number): number {
  let hash = seed ^ key.length
  for (let index = 0; index < key.length; index++) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x5bd1e995)
    hash ^= hash >>> 15
  }
  hash = Math.imul(hash, 0x85ebca6b)
  return hash ^ (hash >>> 13)
}

/** Adds one to the cursor as if its bits, within the mask, were written backwards. Unsigned 32 bits. */
function nextCursor(cursor: number, mask: number): number {
  return reverseBits((reverseBits((cursor | ~mask) >>> 0) + 1) >>> 0)
}

function reverseBits(value: number): number {
  value = ((value >>> 1) & 0x55555555) | ((value & 0x55555555) << 1)
  value = ((value >>> 2) & 0x33333333) | ((value & 0x33333333) << 2)
  value = ((value >>> 4) & 0x0f0f0f0f) | ((value & 0x0f0f0f0f) << 4)
  value = ((value >>> 8) & 0x00ff00ff) | ((value & 0x00ff00ff) << 8)
  return ((value >>> 16) | (value << 16)) >>> 0
}

function emptyPage<V>(): Page<V> {
  return {
    keys: [],
    values: [],
    meta: NO_META,
    expires: undefined,
    volatile: 0,
    stamps: undefined,
    count: 0,
    used: 0,
    freeHead: 0,
  }
}

/** The first page of a table grows with it; later ones come at full size, so that their arrays never carry slack. */
function growPage<V>(page: Page<V>, whole: boolean): void {
  if (whole) {
    page.keys = new Array<Bytes | undefined>(PAGE_SLOTS).fill(undefined)
    page.values = new Array<V | undefined>(PAGE_SLOTS).fill(undefined)
    page.meta = new Int32Array(PAGE_SLOTS * 2)
    return
  }
  const meta = new Int32Array(Math.min(PAGE_SLOTS * 2, Math.max(FIRST_META, page.meta.length * 2)))
  meta.set(page.meta)
  page.meta = meta
}

function nthUsed<V>(page: Page<V>, wanted: number): number {
  for (let at = 0; at < page.used; at++) if (page.keys[at] !== undefined && wanted-- === 0) return at
  return -1
}
