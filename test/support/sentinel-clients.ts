/**
 * Clients that follow sentinels, each with one writer, in a process that runs where a namespace lets it see the machines.
 * They are used as their documentation says, with short retries.
 *
 *     node --import tsx sentinel-clients.ts plain|ioredis|node-redis <master name> <sentinel,…> [<proxy,…>]
 *
 * Each kind has a process of its own: what one does while it looks for its master would be a gap of all others. The plain
 * one brings a writer for each proxy.
 *
 * Every writer counts up in a key `c:<its name>`. Where it had to wait, it says so, one JSON line each: who, since when,
 * and for how long it had no answer. What it was told instead is said once on the standard error.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createSentinel } from 'redis'
import { type Address, parseAddress } from '../../src/base/address.js'
import { Client } from '../../src/net/client.js'
import { itemsOf, textOf } from '../../src/resp/protocol.js'

export interface Gap {
  readonly client: string
  /** Of the wall clock, in milliseconds. */
  readonly from: number
  readonly gapMs: number
}

const [kind = '', masterName = '', sentinelList = '', proxyList = ''] = process.argv.slice(2)
const addresses = (list: string): Address[] => list.split(',').flatMap(text => parseAddress(text) ?? [])
const sentinels = addresses(sentinelList)

const PACE_MS = 20
const TOLD_MS = 50

async function count(client: string, write: (key: string, value: string) => Promise<unknown>): Promise<never> {
  let lastAt = Date.now()
  const told = new Set<string>()
  for (let value = 1; ; value++) {
    try {
      await write(`c:${client}`, String(value))
      const now = Date.now()
      const gap: Gap = { client, from: lastAt, gapMs: now - lastAt }
      if (gap.gapMs > TOLD_MS) process.stdout.write(`${JSON.stringify(gap)}\n`)
      lastAt = now
      await sleep(PACE_MS)
    } catch (error) {
      const text = `${client}: ${String(error)}`
      if (!told.has(text) && told.size < 20) process.stderr.write(`${text}\n`)
      told.add(text)
      await sleep(2)
    }
  }
}

// ── The least that a client can do: ask the first sentinel that answers whenever the connection ends ────────────────

const asking = new Map<string, Client>()
let direct: Client | undefined

async function ask(): Promise<Address | undefined> {
  for (const address of sentinels) {
    let client = asking.get(address.host)
    if (client === undefined || client.closed) {
      client = new Client(address, { connectTimeoutMs: 200, replyTimeoutMs: 200 })
      asking.set(address.host, client)
    }
    try {
      const [host, port] = itemsOf(await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName))
      if (host !== undefined) return { host: textOf(host) ?? '', port: Number(port && textOf(port)) }
    } catch {
      // The next one.
    }
  }
  return undefined
}

async function writePlainly(key: string, value: string): Promise<void> {
  if (direct === undefined || direct.closed) {
    const address = await ask()
    if (address === undefined) throw new Error('no sentinel')
    direct = new Client(address, { connectTimeoutMs: 200, replyTimeoutMs: 300 })
  }
  try {
    await direct.call('SET', key, value)
  } catch (error) {
    direct.close()
    throw error
  }
}

// ── Libraries ───────────────────────────────────────────────────────────────────────────────────────────────────────

function startIoredis(): void {
  // Its failoverDetector is off, as by default: with it, a +switch-master that comes while it connects ends it for good.
  const ioredis = new Redis({
    sentinels,
    name: masterName,
    socketTimeout: 1000,
    connectTimeout: 500,
    retryStrategy: () => 20,
    sentinelRetryStrategy: () => 20,
  })
  ioredis.on('error', error => process.stderr.write(`ioredis: ${error}\n`))
  void count('ioredis', (key, value) => ioredis.set(key, value))
}

function startNodeRedis(): void {
  const nodeRedis = createSentinel({
    name: masterName,
    sentinelRootNodes: sentinels.map(({ host, port }) => ({ host, port })),
    nodeClientOptions: { socket: { connectTimeout: 500, socketTimeout: 1000 } },
    scanInterval: 1000,
  })
  nodeRedis.on('error', event => process.stderr.write(`node-redis: ${event.error ?? event}\n`))
  void nodeRedis.connect().then(
    () => count('node-redis', (key, value) => nodeRedis.set(key, value)),
    error => process.stderr.write(`node-redis: ${error}\n`),
  )
}

// ── Through our proxies, as through any Redis ───────────────────────────────────────────────────────────────────────

function startThrough(address: Address, name: string): void {
  let client: Client | undefined
  void count(name, async (key, value) => {
    if (client === undefined || client.closed) {
      client = new Client(address, { connectTimeoutMs: 1000, replyTimeoutMs: 20_000 })
    }
    await client.call('SET', key, value)
  })
}

if (kind === 'ioredis') startIoredis()
else if (kind === 'node-redis') startNodeRedis()
else {
  void count('plain', writePlainly)
  for (const [index, address] of addresses(proxyList).entries()) startThrough(address, `proxy${index + 1}`)
}
