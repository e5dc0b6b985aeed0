/**
 * Preloaded into a node (`--import`), it measures how long the event loop stands still, in two ways, and tells the parent
 * process when asked:
 *
 *     wall   how late a timer of one millisecond comes: what a client waits for, whoever else keeps the machine busy
 *     cpu    what the main thread has computed between two such timers: what is ours of it, collections of garbage included
 *
 * `begin` starts anew; anything else is answered with the figures so far.
 */
import { openSync, readSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

const RESOLUTION_MS = 1
const file = openSync('/proc/thread-self/schedstat', 'r')
const line = Buffer.alloc(128)
const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
let longest = 0
let before = 0

function cpuMs() {
  const count = readSync(file, line, 0, line.length, 0)
  return Number(line.latin1Slice(0, count).split(' ', 1)[0]) / 1e6
}

function look() {
  const now = cpuMs()
  longest = Math.max(longest, now - before)
  before = now
}

process.on('message', question => {
  if (question === 'begin') {
    histogram.reset()
    histogram.enable()
    before = cpuMs()
    longest = 0
  } else {
    look()
    process.send?.({ wallP99: histogram.percentile(99) / 1e6, wallMax: histogram.max / 1e6, cpuMax: longest })
  }
})
process.on('disconnect', () => process.exit())
before = cpuMs()
setInterval(look, RESOLUTION_MS)
