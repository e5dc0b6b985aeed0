// bull: jobs on lists and sorted sets, moved by scripts, awaited by events.
import assert from 'node:assert/strict'
import Queue from 'bull'

const redis = { host: '127.0.0.1', port: Number(process.argv[2]) }
const producer = new Queue('work', { redis })
const worker = new Queue('work', { redis })
const done = []
const tried = new Map()
worker.process(8, async ({ data: { n } }) => {
  tried.set(n, (tried.get(n) ?? 0) + 1)
  if (n % 10 === 0 && tried.get(n) < 3) throw new Error('not yet')
  done.push(n)
  return n * 2
})
const jobs = []
for (let n = 0; n < 100; n++) {
  const options = { attempts: 3, backoff: 10, priority: (n % 3) + 1, ...(n % 7 === 0 ? { delay: 50 } : {}) }
  jobs.push(await producer.add({ n }, options))
}
const results = await Promise.all(jobs.map(job => job.finished()))
assert.deepEqual(
  results,
  jobs.map((_, n) => n * 2),
)
assert.deepEqual(
  [...done].sort((a, b) => a - b),
  jobs.map((_, n) => n),
)
for (const job of jobs) assert.equal(await (await producer.getJob(job.id)).getState(), 'completed')
const { waiting, active, delayed, failed, completed } = await producer.getJobCounts()
assert.deepEqual({ waiting, active, delayed, failed, completed }, { waiting: 0, active: 0, delayed: 0, failed: 0, completed: 100 })
await Promise.all([worker.close(), producer.close()])
console.log('done')
