// bee-queue: jobs on lists and a hash, moved by scripts, with events by pub/sub. Each is done once, failures are tried again.
import assert from 'node:assert/strict'
import Queue from 'bee-queue'

const redis = { host: '127.0.0.1', port: Number(process.argv[2]) }
const producer = new Queue('work', { redis, isWorker: false })
const worker = new Queue('work', { redis, activateDelayedJobs: true })
await Promise.all([producer.ready(), worker.ready()])
const done = new Map()
const attempts = new Map()
worker.process(5, async job => {
  const { n } = job.data
  attempts.set(n, (attempts.get(n) ?? 0) + 1)
  if (n % 10 === 0 && attempts.get(n) < 3) throw new Error('not yet')
  done.set(n, (done.get(n) ?? 0) + 1)
  return n * 2
})
const results = new Map()
const all = new Promise(resolve => {
  producer.on('job succeeded', (id, result) => {
    results.set(id, result)
    if (results.size === 100) resolve()
  })
})
const ids = []
for (let n = 0; n < 100; n++) {
  const job = producer.createJob({ n }).retries(3)
  if (n % 7 === 0) job.delayUntil(Date.now() + 200)
  const saved = await job.save()
  ids.push(saved.id)
  // What has been saved is there to be looked at.
  assert.deepEqual((await producer.getJob(saved.id)).data, { n })
}
await all
assert.equal(done.size, 100)
for (const [n, count] of done) assert.equal(count, 1, `job ${n} was done ${count} times`)
for (const [n, id] of ids.entries()) assert.equal(results.get(id), n * 2)
const health = await producer.checkHealth()
assert.deepEqual([health.waiting, health.active, health.delayed, health.failed], [0, 0, 0, 0])
await Promise.all([worker.close(5000), producer.close(5000)])
console.log('done')
