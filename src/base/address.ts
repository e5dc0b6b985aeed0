/**
 * Where an instance listens. The text `host:port` is its name in views, logs and labels; that of a unix socket, whose host
 * is its path and whose port is 0, is `unix:/path`.
 */
export interface Address {
  readonly host: string
  readonly port: number
}

export function formatAddress(address: Address): string {
  if (address.host.startsWith('/')) return `unix:${address.host}`
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/** Reads `host:port`, `[v6]:port` or `unix:/path`; undefined when it is none of them. */
export function parseAddress(text: string): Address | undefined {
  if (text.startsWith('unix:/')) return { host: text.slice(5), port: 0 }
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const port = Number(match[3])
  if (port < 1 || port > 65535) return undefined
  return { host: (match[1] ?? match[2]) as string, port }
}
