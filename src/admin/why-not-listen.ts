import { createServer } from 'node:net'

/** uWebSockets.js does not say why it cannot listen; node does. */
export function whyNotListen(host: string, port: number): Promise<Error> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', resolve)
    probe.listen({ host, port, exclusive: true }, () => {
      probe.close(() => resolve(new Error(`listen refused: ${host}:${port}`)))
    })
  })
}
