/**
 * For `node --import` in a process with a channel to its parent: how much CPU time the main thread took at a stretch, at most.
 * Between two ticks of a timer lies one turn of the event loop, or a few short ones; so a busy machine, which makes every
 * clock on the wall lie, does not count. `begin` begins, `read` is answered with milliseconds.
 */
import { readFileSync } from 'node:fs'

let longest = 0
let before = 0
let timer

process.on('message', question => {
  if (question === 'begin') {
    longest = 0
    before = spent()
    clearInterval(timer)
    timer = setInterval(look, 1)
  } else if (question === 'read') {
    look()
    clearInterval(timer)
    process.send(longest)
  }
})

function look() {
  const now = spent()
  longest = Math.max(longest, now - before)
  before = now
}

/** The first thread of a process has its id. */
function spent() {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ', 1)[0]) / 1e6
}
