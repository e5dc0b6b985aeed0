import { closeSync, mkdtempSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { DataDir, DataDirError } from '../../../src/cli/data-dir.js'

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'lagrange-data-'))
  onTestFinished(() => rmSync(path, { recursive: true }))
  return join(path, 'data')
}

test('the state of a group is read back as it was written', () => {
  const path = folder()
  const dir = new DataDir(path)
  expect(dir.read()).toBeUndefined()
  dir.write({ masterPort: 6402, pids: { 6401: 1, 6402: 2 } })
  dir.release()
  expect(new DataDir(path).read()).toEqual({ masterPort: 6402, pids: { 6401: 1, 6402: 2 } })
})

test('two owners at once: the second gets one clear line', () => {
  const path = folder()
  const first = new DataDir(path)
  // Another process that lives holds it.
  writeFileSync(join(path, 'lock'), `${process.ppid}\n`)
  expect(() => new DataDir(path)).toThrow(DataDirError)
  expect(() => new DataDir(path)).toThrow(`in use by another lagrange (process ${process.ppid})`)
  first.release()
  new DataDir(path)
})

test('a lock with our own id that we do not hold is one of an earlier life', () => {
  const path = folder()
  new DataDir(path).release()
  writeFileSync(join(path, 'lock'), `${process.pid}\n`)
  new DataDir(path)
})

test('what a node printed last is found again', () => {
  const dir = new DataDir(folder())
  expect(dir.lastLogLine(6401)).toBe('')
  const log = dir.openNodeLog(6401)
  writeSync(log, 'first\nlast\n')
  closeSync(log)
  expect(dir.lastLogLine(6401)).toBe('last')
})

test('a lock whose owner is gone does not keep anybody out', () => {
  const path = folder()
  new DataDir(path).release()
  writeFileSync(join(path, 'lock'), '999999999\n')
  new DataDir(path)
  expect(readFileSync(join(path, 'lock'), 'utf8')).toBe(`${process.pid}\n`)
})

test('a state that cannot be understood is refused, not guessed', () => {
  const path = folder()
  const dir = new DataDir(path)
  writeFileSync(join(path, 'group.json'), '{"masterPort": ')
  expect(() => dir.read()).toThrow('not readable as the state of a group')
})

test('a folder that cannot be made names the option', () => {
  expect(() => new DataDir('/dev/null/data')).toThrow('--data-dir /dev/null/data: ')
  expect(() => new DataDir('/proc/none/data')).toThrow('--data-dir /proc/none/data: ')
})
