/**
 * What CONFIG SET may change about the engine. The node owns the names and their parsing; it writes here, handlers read.
 */
export interface EngineSettings {
  hashMaxListpackEntries: number
  hashMaxListpackValue: number
  setMaxIntsetEntries: number
  zsetMaxListpackEntries: number
  zsetMaxListpackValue: number
  /** As in Redis: positive counts elements, -1 … -5 mean 4 … 64 KiB. Only tells how lists are written to snapshots. */
  listMaxListpackSize: number
  streamNodeMaxBytes: number
  streamNodeMaxEntries: number
  hllSparseMaxBytes: number
  /** No string grows beyond this. */
  protoMaxBulkLen: number
  /** True when the eviction policy counts accesses (LFU) instead of noting their time (LRU). */
  lfu: boolean
  /** Small integers may stand under several keys, as OBJECT REFCOUNT tells. */
  sharesIntegers: boolean
  lfuLogFactor: number
  lfuDecayTime: number
  lazyfreeLazyEviction: boolean
  lazyfreeLazyExpire: boolean
  lazyfreeLazyServerDel: boolean
  lazyfreeLazyUserDel: boolean
  lazyfreeLazyUserFlush: boolean
}

export function defaultSettings(): EngineSettings {
  return {
    hashMaxListpackEntries: 128,
    hashMaxListpackValue: 64,
    setMaxIntsetEntries: 512,
    zsetMaxListpackEntries: 128,
    zsetMaxListpackValue: 64,
    listMaxListpackSize: -2,
    streamNodeMaxBytes: 4096,
    streamNodeMaxEntries: 100,
    hllSparseMaxBytes: 3000,
    protoMaxBulkLen: 512 * 1024 * 1024,
    lfu: false,
    sharesIntegers: true,
    lfuLogFactor: 10,
    lfuDecayTime: 1,
    lazyfreeLazyEviction: false,
    lazyfreeLazyExpire: false,
    lazyfreeLazyServerDel: false,
    lazyfreeLazyUserDel: false,
    lazyfreeLazyUserFlush: false,
  }
}
