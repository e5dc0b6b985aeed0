// keyv with its Redis store, two of them with connections of their own: what one has set, deleted or cleared is so for the other.
import assert from 'node:assert/strict'
import KeyvRedis from '@keyv/redis'
import Keyv from 'keyv'

const url = `redis://127.0.0.1:${process.argv[2]}`
const stores = [1, 2].map(() => new Keyv({ store: new KeyvRedis(url), namespace: 'cache' }))
for (const store of stores) store.on('error', error => assert.fail(error))
for (let turn = 0; turn < 60; turn++) {
  const [one, other] = turn % 2 === 0 ? stores : [...stores].reverse()
  await one.set(`key:${turn}`, { turn })
  assert.deepEqual(await other.get(`key:${turn}`), { turn })
  assert.equal(await other.has(`key:${turn}`), true)
  await one.set(`key:${turn}`, { turn: 'changed' }, 60_000)
  assert.deepEqual(await other.get(`key:${turn}`), { turn: 'changed' })
  if (turn % 3 === 0) {
    assert.equal(await one.delete(`key:${turn}`), true)
    assert.equal(await other.get(`key:${turn}`), undefined)
  }
}
const kept = Array.from({ length: 60 }, (_, turn) => turn).filter(turn => turn % 3 !== 0)
const many = await stores[1].get(kept.map(turn => `key:${turn}`))
assert.equal(many.filter(value => value?.turn === 'changed').length, kept.length)
const seen = new Set()
for await (const [key] of stores[0].iterator('cache')) seen.add(key)
assert.equal(seen.size, kept.length)
await stores[0].clear()
assert.equal(await stores[1].get('key:1'), undefined)
await Promise.all(stores.map(store => store.disconnect()))
console.log('done')
