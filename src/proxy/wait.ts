/**
 * WAIT, and the offset behind it and behind tokens.
 */
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { HOLD_EXPIRED } from '../routing/errors.js'
import type { Request } from './request.js'
import type { Session } from './session.js'

const ROLE = encodeCommand(['ROLE'])

/**
 * WAIT numreplicas timeout: forwarded on a shared connection it would count whatever was written there last. All of the
 * session's writes are answered here, so an offset sampled now covers them.
 */
export function wait(session: Session, request: Request, decoder: Decoder): void {
  const [count, timeoutMs] = [decoder.arg(1), decoder.arg(2)].map(text =>
    /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN,
  ) as [number, number]
  if (Number.isNaN(count)) return session.fail(request, 'ERR value is not an integer or out of range')
  if (Number.isNaN(timeoutMs)) return session.fail(request, 'ERR timeout is not an integer or out of range')
  if (timeoutMs < 0) return session.fail(request, 'ERR timeout is negative')
  sampleMaster(session, request, offset => {
    session.onClosed = session.hub.confirmations(count, offset, timeoutMs, confirmed => {
      session.onClosed = undefined
      session.begin(request).integer(confirmed)
      session.finish(request)
    })
  })
}

/** Asks the master for its offset: one that covers everything this session has been answered. */
export function sampleMaster(session: Session, request: Request, then: (offset: number) => void): void {
  const { group } = session
  const lane = group.master?.lane(session.resp, session.hub.tools.time.now)
  if (lane === undefined || !lane.confirmed) return session.fail(request, HOLD_EXPIRED)
  session.awaitAnswers()
  lane.ask(
    ROLE,
    reply => {
      if (session.closed) return
      const frame = reply.value()
      const offset =
        frame.type === 'array' && frame.items[1]?.type === 'integer' ? Number(frame.items[1].value) : undefined
      if (offset === undefined) return session.fail(request, HOLD_EXPIRED)
      then(offset)
    },
    () => {
      if (!session.closed) session.fail(request, HOLD_EXPIRED)
    },
  )
}
