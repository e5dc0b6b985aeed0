import type { Handler } from '../call.js'

export const stringCommands: Readonly<Record<string, Handler>> = {
  get(call, args, reply) {
    const value = call.readString(args[1] as string)
    if (value === undefined) reply.null()
    else reply.bulk(value)
  },
}
