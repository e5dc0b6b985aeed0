/**
 * The PROXY protocol (haproxy.org, proxy-protocol.txt): a load balancer in front of us says first whose connection this is.
 *
 *     v1   PROXY TCP4 203.0.113.7 10.0.0.1 51324 6400\r\n                          at most 107 bytes
 *     v2   \r\n\r\n\0\r\nQUIT\n  version·command  family  length  addresses  more…   at most 16 + HEADER_MAX bytes
 *
 * LOCAL and UNKNOWN stand for the balancer itself (its health checks): the address stays that of the socket.
 */
import net from 'node:net'
import type { Address } from '../base/address.js'

export type ProxyHeader =
  | { readonly kind: 'partial' }
  | { readonly kind: 'bad' }
  /** `length` bytes were the header; `from` is undefined when it names nobody. */
  | { readonly kind: 'header'; readonly length: number; readonly from: Address | undefined }

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V1_MAX = 107
/** Addresses take 216 bytes at most; the rest is for extensions that we do not read. */
const V2_MAX = 2048

const partial: ProxyHeader = { kind: 'partial' }
const bad: ProxyHeader = { kind: 'bad' }

export function readProxyHeader(bytes: Buffer): ProxyHeader {
  const begins = Math.min(bytes.length, SIGNATURE.length)
  if (begins > 0 && bytes.subarray(0, begins).equals(SIGNATURE.subarray(0, begins))) return readBinary(bytes)
  return readText(bytes)
}

function readText(bytes: Buffer): ProxyHeader {
  const text = bytes.toString('latin1', 0, V1_MAX)
  if (!'PROXY '.startsWith(text.slice(0, 6))) return bad
  const end = text.indexOf('\r\n')
  if (end < 0) return bytes.length >= V1_MAX ? bad : partial
  const [, family, source, destination, sourcePort, destinationPort, ...more] = text.slice(0, end).split(' ')
  if (family === 'UNKNOWN') return { kind: 'header', length: end + 2, from: undefined }
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0
  const good =
    version !== 0 &&
    more.length === 0 &&
    net.isIP(source ?? '') === version &&
    net.isIP(destination ?? '') === version &&
    isPort(sourcePort) &&
    isPort(destinationPort)
  return good ? { kind: 'header', length: end + 2, from: { host: source ?? '', port: Number(sourcePort) } } : bad
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535
}

function readBinary(bytes: Buffer): ProxyHeader {
  if (bytes.length < SIGNATURE.length + 4) return partial
  const command = bytes.readUInt8(12)
  const family = bytes.readUInt8(13)
  const size = bytes.readUInt16BE(14)
  if (command >> 4 !== 2 || (command & 15) > 1 || size > V2_MAX) return bad
  const length = SIGNATURE.length + 4 + size
  if (bytes.length < length) return partial
  if ((command & 15) === 0) return { kind: 'header', length, from: undefined }
  const addresses = bytes.subarray(16, length)
  switch (family >> 4) {
    case 1: {
      if (size < 12) return bad
      return {
        kind: 'header',
        length,
        from: { host: addresses.subarray(0, 4).join('.'), port: addresses.readUInt16BE(8) },
      }
    }
    case 2: {
      if (size < 36) return bad
      return { kind: 'header', length, from: { host: formatV6(addresses), port: addresses.readUInt16BE(32) } }
    }
    default:
      return { kind: 'header', length, from: undefined }
  }
}

/** The shortest spelling: longest run of zeros left out. */
function formatV6(bytes: Buffer): string {
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16))
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1)
}
