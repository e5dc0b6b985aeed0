/**
 * A relay that is late: what the server sends reaches whoever connected `delayMs` later, in order. Between a replica and
 * its master it makes a replica that is always behind. `stall` stops delivery, `cut` ends every connection. Who connects
 * after `to` was changed is connected there.
 */
import { once } from 'node:events'
import net from 'node:net'

export interface DelayLink {
  readonly port: number
  delayMs: number
  to: { host: string; port: number }
  stall(stalled: boolean): void
  cut(): void
  close(): Promise<void>
}

export async function startDelayLink(to: { host: string; port: number }, delayMs: number): Promise<DelayLink> {
  const open = new Set<{ client: net.Socket; server: net.Socket; pump(): void }>()
  let stalled = false
  const link = { delayMs, to }

  const relay = net.createServer(client => {
    const server = net.connect(link.to)
    const queue: { readonly due: number; readonly bytes: Buffer }[] = []
    let timer: NodeJS.Timeout | undefined
    const pair = {
      client,
      server,
      pump(): void {
        clearTimeout(timer)
        timer = undefined
        while (!stalled && queue[0] !== undefined && queue[0].due <= performance.now()) {
          client.write((queue.shift() as { bytes: Buffer }).bytes)
        }
        if (!stalled && queue[0] !== undefined) timer = setTimeout(pair.pump, queue[0].due - performance.now() + 0.2)
      },
    }
    open.add(pair)
    client.setNoDelay(true)
    server.setNoDelay(true)
    server.on('data', bytes => {
      queue.push({ due: performance.now() + link.delayMs, bytes })
      if (timer === undefined) pair.pump()
    })
    client.on('data', bytes => server.write(bytes))
    const end = (): void => {
      clearTimeout(timer)
      open.delete(pair)
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) socket.on('close', end).on('error', end)
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  return {
    port: (relay.address() as net.AddressInfo).port,
    get delayMs() {
      return link.delayMs
    },
    set delayMs(value) {
      link.delayMs = value
    },
    get to() {
      return link.to
    },
    set to(value) {
      link.to = value
    },
    stall(value) {
      stalled = value
      for (const pair of open) pair.pump()
    },
    cut() {
      for (const { client } of open) client.destroy()
    },
    async close() {
      for (const { client } of open) client.destroy()
      relay.close()
      await once(relay, 'close')
    },
  }
}
