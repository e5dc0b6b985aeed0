/**
 * What lies under Node's streams, as far as it is used here: libuv's own reads and writes, and where they leave their
 * results. These names are private to Node. A test pins them; without them everything goes the public way.
 */
export interface WriteRequest {
  oncomplete: ((status: number) => void) | undefined
  /** Keeps the bytes alive until libuv has written them. */
  bytes: Buffer | undefined
}

interface StreamWrap {
  readonly WriteWrap: new () => WriteRequest
  readonly streamBaseState: Int32Array
  readonly kLastWriteWasAsync: number
  readonly kReadBytesOrError: number
}

export const streamWrap = findStreamWrap()

function findStreamWrap(): StreamWrap | undefined {
  try {
    const { binding } = process as unknown as { binding?: (name: string) => Partial<StreamWrap> }
    const wrap = binding?.('stream_wrap')
    const complete =
      wrap?.WriteWrap !== undefined &&
      wrap.streamBaseState !== undefined &&
      wrap.kLastWriteWasAsync !== undefined &&
      wrap.kReadBytesOrError !== undefined
    return complete ? (wrap as StreamWrap) : undefined
  } catch {
    return undefined
  }
}
