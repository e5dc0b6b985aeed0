/**
 * Errors that are ours. They are never caught: better a crash than wrong data.
 */

export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** States something that must be true; the message says what was found instead. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}

/** The end of a `switch` over a union: the compiler proves that nothing is left. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`)
}
