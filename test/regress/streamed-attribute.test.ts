/** Found by the fuzzer: an attribute of unknown size was read differently depending on how its bytes were cut. */
import { expect, test } from 'vitest'
import { Decoder } from '../../src/resp/decoder.js'
import { ProtocolError } from '../../src/resp/protocol.js'

for (const bytes of ['*1\r\n|?\r\n.\r\n', '*?9\r\n.\r\n', '$03\r\nabc\r\n', '$-0\r\n\r\n']) {
  test(`${JSON.stringify(bytes)} is refused`, () => {
    const decoder = new Decoder()
    decoder.feed(Buffer.from(bytes))
    expect(() => decoder.next()).toThrow(ProtocolError)
  })
}
