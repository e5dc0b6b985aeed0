/**
 * One writer that remembers: `node --import tsx history-writer.ts <host:port> <list>` appends 1, 2, 3 … to a list, one after
 * the other, and prints a line for each: when it was sent, when it was answered, and whether with yes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAddress } from '../../src/base/address.js'
import { Client } from '../../src/net/client.js'

export interface Append {
  readonly value: number
  readonly from: number
  readonly to: number
  readonly ok: boolean
}

const [address = '', list = ''] = process.argv.slice(2)
const place = parseAddress(address)
if (place === undefined) throw new Error(`no address: ${address}`)

let client: Client | undefined
for (let value = 1; ; value++) {
  if (client === undefined || client.closed)
    client = new Client(place, { connectTimeoutMs: 1000, replyTimeoutMs: 20_000 })
  const from = Date.now()
  const ok = await client.send(['RPUSH', list, String(value)]).then(
    frame => frame.type !== 'error',
    () => false,
  )
  const append: Append = { value, from, to: Date.now(), ok }
  process.stdout.write(`${JSON.stringify(append)}\n`)
  await sleep(10)
}
