/**
 * A server that thinks nothing: what is left of a proxy when everything is taken away that is ours. It reads with the reader
 * of the proxy, counts commands by their first byte, and writes a null for each at the end of the turn, with its writer. What
 * bench:proxy measures of it is what one read and one write per client cost on Node: a floor under any proxy built on it.
 *
 *     tsx test/bench/echo.ts <port>
 */
import { listen, type Peer } from '../../src/net/peer.js'

const REPLY = Buffer.from('$-1\r\n')

await listen({ host: '127.0.0.1', port: Number(process.argv[2]) }, adopt => {
  const peer: Peer = adopt(
    {
      onData(chunk) {
        // redis-benchmark's values hold no asterisk.
        for (let at = chunk.indexOf(0x2a); at >= 0; at = chunk.indexOf(0x2a, at + 1)) peer.out.raw(REPLY)
        peer.flushSoon()
      },
      onClose: () => undefined,
    },
    {},
  )
})
