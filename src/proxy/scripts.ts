/**
 * Scripts do not replicate: after a switch the new master does not know those that its clients call by digest. So the
 * bodies that passed through EVAL and SCRIPT LOAD are remembered, and loaded when a digest is not found. The bound: what
 * was not used for longest is forgotten, and with it the healing. SCRIPT FLUSH forgets everything.
 */
import { createHash } from 'node:crypto'
import type { Bytes } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'

const MAX_BYTES = 8 * 1024 * 1024
const MAX_SCRIPT_BYTES = 256 * 1024

export class Scripts {
  /** Body to digest, least recently used first. */
  readonly #digests = new Map<Bytes, string>()
  readonly #bodies = new Map<string, Bytes>()
  #bytes = 0

  remember(body: Bytes): void {
    if (body.length > MAX_SCRIPT_BYTES) return
    const known = this.#digests.get(body)
    if (known !== undefined) {
      this.#digests.delete(body)
      this.#digests.set(body, known)
      return
    }
    const digest = createHash('sha1').update(body, 'latin1').digest('hex')
    this.#digests.set(body, digest)
    this.#bodies.set(digest, body)
    this.#bytes += body.length
    for (const [oldest, oldestDigest] of this.#digests) {
      if (this.#bytes <= MAX_BYTES) break
      this.#digests.delete(oldest)
      this.#bodies.delete(oldestDigest)
      this.#bytes -= oldest.length
    }
  }

  forgetAll(): void {
    this.#digests.clear()
    this.#bodies.clear()
    this.#bytes = 0
  }

  bodyOf(digest: Bytes): Bytes | undefined {
    return this.#bodies.get(digest.toLowerCase())
  }

  /** SCRIPT LOAD for the EVALSHA on which the decoder stands; undefined when we do not know the body. */
  loadFor(decoder: Decoder): Buffer | undefined {
    if (decoder.argc < 2) return undefined
    const body = this.bodyOf(decoder.arg(1))
    return body === undefined ? undefined : encodeCommand(['SCRIPT', 'LOAD', body])
  }
}
