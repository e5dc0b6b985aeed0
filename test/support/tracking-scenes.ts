/**
 * Scenes of client-side caching: who asks what, and what everybody hears. Played against two servers, they tell whether
 * those do the same.
 */
import { onTestFinished } from 'vitest'
import { type Plain, plain, RawClient } from './raw-client.js'

/** Who asks, and what; `$b` is b's client id. */
export const scenes: Readonly<Record<string, string>> = {
  'words of CLIENT TRACKING': `
    a|CLIENT TRACKING
    a|CLIENT TRACKING maybe
    a|CLIENT TRACKING on FOO
    a|CLIENT TRACKING on REDIRECT
    a|CLIENT TRACKING on REDIRECT x
    a|CLIENT TRACKING on REDIRECT 999999
    a|CLIENT TRACKING on REDIRECT $b REDIRECT $c
    a|CLIENT TRACKING on PREFIX a
    a|CLIENT TRACKING on BCAST OPTIN
    a|CLIENT TRACKING on OPTIN OPTOUT
    a|CLIENT CACHING yes
    a|CLIENT GETREDIR
    a|CLIENT TRACKINGINFO
    a|CLIENT TRACKING on OPTIN REDIRECT $b
    a|CLIENT GETREDIR
    a|CLIENT CACHING no
    a|CLIENT CACHING maybe
    a|CLIENT CACHING yes
    a|CLIENT TRACKINGINFO
    a|GET x
    a|CLIENT TRACKINGINFO
    a|CLIENT TRACKING on OPTOUT
    a|CLIENT TRACKING on BCAST
    a|CLIENT TRACKING off
    a|CLIENT TRACKING on OPTOUT NOLOOP
    a|CLIENT CACHING no
    a|CLIENT TRACKINGINFO
    a|CLIENT TRACKING off
    a|CLIENT TRACKING on BCAST PREFIX foo PREFIX fo
    a|CLIENT TRACKING on BCAST PREFIX foo PREFIX bar
    a|CLIENT TRACKING on BCAST PREFIX fo
    a|CLIENT TRACKING on BCAST PREFIX bar
    a|CLIENT TRACKING on BCAST PREFIX new
    a|RESET
    a|CLIENT TRACKINGINFO`,
  'one that subscribes in RESP3 and goes on in RESP2': `
    b|HELLO 3
    b|SUBSCRIBE __redis__:invalidate news
    c|PUBLISH news one
    a|CLIENT TRACKING on REDIRECT $b
    a|GET k
    c|SET k 1
    b|HELLO 2
    a|GET k
    c|SET k 2
    c|PUBLISH news two
    b|PING
    b|UNSUBSCRIBE news
    b|UNSUBSCRIBE
    b|HELLO 3
    a|GET k
    c|SET k 3`,
  'a push after the reply': `
    a|HELLO 3
    a|CLIENT TRACKING on
    a|SET k 1
    a|GET k
    a|SET k 2
    a|SET k 3
    a|MGET k l
    b|DEL k
    b|LPUSH l x
    b|LPUSH l x
    a|LRANGE l 0 -1
    a|MULTI
    a|LPUSH l y
    a|EXISTS l
    a|EXEC
    a|GET k
    b|FLUSHDB
    a|GET k
    b|SET k 1 PX 1
    a|GET gone
    b|RENAME l gone
    a|EVAL return(1) 1 k
    b|SET k 2
    a|EVAL return(redis.call('get','other')) 2 k m
    b|MSET k 3 m 1 other 1
    a|CLIENT TRACKING off
    b|SET k 4`,
  'NOLOOP, OPTIN and OPTOUT': `
    a|HELLO 3
    a|CLIENT TRACKING on NOLOOP
    a|GET k
    a|SET k 1
    a|GET k
    b|SET k 2
    a|CLIENT TRACKING off
    a|CLIENT TRACKING on OPTIN
    a|GET k
    b|SET k 3
    a|CLIENT CACHING yes
    a|CLIENT ID
    a|GET k
    a|GET l
    b|MSET k 4 l 1
    a|CLIENT CACHING yes
    a|MULTI
    a|GET k
    a|GET l
    a|EXEC
    b|MSET k 5 l 2
    a|CLIENT TRACKING off
    a|CLIENT TRACKING on OPTOUT
    a|CLIENT CACHING no
    a|GET k
    a|GET l
    b|MSET k 6 l 3`,
  'BCAST, alone and with prefixes': `
    a|HELLO 3
    c|HELLO 3
    a|CLIENT TRACKING on BCAST
    c|CLIENT TRACKING on BCAST PREFIX u: PREFIX v: NOLOOP
    b|MSET u:1 1 v:1 2 w:1 3
    c|SET u:2 1
    b|SET u:2 2
    c|SET v:1 2
    b|FLUSHALL
    a|CLIENT TRACKING off
    b|SET u:1 2`,
  'redirected, in RESP2 and RESP3': `
    b|SUBSCRIBE __redis__:invalidate
    a|CLIENT TRACKING on REDIRECT $b
    a|GET k
    c|SET k 1
    c|FLUSHALL
    b|UNSUBSCRIBE
    a|GET k
    c|SET k 2
    b|HELLO 3
    a|GET k
    c|SET k 3
    a|MGET k l
    c|SET l 1
    c|CLIENT TRACKING on REDIRECT $b BCAST PREFIX l
    b|SET l 2`,
}

/** At which command, who, what. */
export type Heard = readonly [step: number, line: string, who: string, frame: unknown]

/**
 * Everything that is heard, in order. With `expected`, of another server, messages may come some time after the reply
 * that they follow: as many are waited for as came there.
 */
export async function play(port: number, script: string, expected: readonly Heard[] = []): Promise<Heard[]> {
  const clients = new Map<string, RawClient>()
  const ids = new Map<number, string>()
  for (const name of ['a', 'b', 'c']) {
    const client = await RawClient.open(port)
    onTestFinished(() => client.close())
    clients.set(name, client)
    ids.set((await client.call('CLIENT', 'ID')) as number, `$${name}`)
  }
  const withNames = (value: Plain): unknown =>
    Array.isArray(value) ? value.map(withNames) : typeof value === 'number' ? (ids.get(value) ?? value) : value
  const withIds = (word: string): string => String([...ids].find(([, name]) => name === word)?.[0] ?? word)

  const heard: Heard[] = []
  let fences = 0
  const inTransaction = new Set<string>()
  for (const [step, line] of script.trim().split('\n').entries()) {
    const [who = '', command = ''] = line.trim().split('|')
    const asker = clients.get(who) as RawClient
    asker.send(command.split(' ').map(withIds))
    // What belongs to the end of the turn has left with the reply.
    heard.push([step, line.trim(), who, withNames(inOrder(plain(await asker.next())))])
    if (command === 'MULTI') inTransaction.add(who)
    if (command === 'EXEC') inTransaction.delete(who)
    for (const [name, client] of clients) {
      // A fence would be queued.
      if (inTransaction.has(name)) continue
      const messages =
        expected.filter(([at, , hearer]) => at === step && hearer === name).length - (name === who ? 1 : 0)
      for (let message = 0; message < messages; message++) {
        heard.push([step, line.trim(), name, withNames(inOrder(plain(await client.next())))])
      }
      const fence = `fence ${fences++}`
      client.send(['PING', fence])
      for (;;) {
        const frame = plain(await client.next())
        if (frame === fence || (Array.isArray(frame) && frame[0] === 'pong' && frame[1] === fence)) break
        heard.push([step, line.trim(), name, withNames(inOrder(frame))])
      }
    }
  }
  for (const client of clients.values()) client.close()
  return heard
}

/** The keys of one message come in any order. */
function inOrder(frame: Plain): Plain {
  if (!Array.isArray(frame) || frame[0] !== 'invalidate' || !Array.isArray(frame[1])) return frame
  return ['invalidate', [...frame[1]].sort()]
}
