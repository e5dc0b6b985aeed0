/**
 * Writes of every kind, from a seed: what a busy application leaves in a data set.
 */
import type { Client } from '../../src/net/client.js'
import { seededRandom } from './engine-double.js'

const KEYS = 200

/** Sends `count` writes in pipelines of 100 and waits for their replies. */
export async function writeMixed(client: Client, count: number, seed: number): Promise<void> {
  const random = seededRandom(seed)
  for (let done = 0; done < count; done += 100) {
    const batch = Array.from({ length: Math.min(100, count - done) }, () => client.send(randomWrite(random)))
    await Promise.all(batch)
  }
}

/** One write; what it does depends on what is there. */
export function randomWrite(random: () => number): string[] {
  const number = (limit: number): number => Math.floor(random() * limit)
  const key = (type: string): string => `${type}:${number(KEYS)}`
  const text = (): string => (number(20) === 0 ? 'x'.repeat(number(2000)) : `value-${number(1e6)}\xff`)
  switch (number(24)) {
    case 0:
      return ['SET', key('s'), text()]
    case 1:
      return ['INCRBY', key('n'), String(number(100))]
    case 2:
      return ['APPEND', key('s'), text()]
    case 3:
      return ['LPUSH', key('l'), text(), text()]
    case 4:
      return ['RPUSH', key('l'), text()]
    case 5:
      return ['LPOP', key('l')]
    case 6:
      return ['LTRIM', key('l'), '0', '50']
    case 7:
      return ['SADD', key('t'), String(number(1000)), String(number(1000))]
    case 8:
      return ['SADD', key('t'), text()]
    case 9:
      return ['SPOP', key('t')]
    case 10:
      return ['HSET', key('h'), `f${number(50)}`, text()]
    case 11:
      return ['HDEL', key('h'), `f${number(50)}`]
    case 12:
      return ['ZADD', key('z'), String(random() * 100), `m${number(100)}`]
    case 13:
      return ['ZINCRBY', key('z'), '1.5', `m${number(100)}`]
    case 14:
      return ['ZPOPMIN', key('z')]
    case 15:
      return ['DEL', key('s'), key('l')]
    case 16:
      return ['EXPIRE', key('s'), '10000']
    case 17:
      return ['SET', key('s'), text(), 'EX', '5000']
    case 18:
      return ['RENAME', key('s'), key('s')]
    case 19:
      return ['INCRBYFLOAT', key('f'), '0.125']
    case 20:
      return ['SETRANGE', key('r'), String(number(64)), 'abc']
    case 21:
      return ['RPOPLPUSH', key('l'), key('l')]
    case 22:
      return ['PERSIST', key('s')]
    default:
      return ['GETEX', key('s'), 'PX', String(1e6 + number(1e6))]
  }
}
