/**
 * Two parts acted on `maxmemory`, and only the one that said so last was told of changes.
 */
import { expect, test } from 'vitest'
import { Config } from '../../src/node/config/config.js'

const context = { loading: false, mayChangeProtected: true }

test('everyone who watches a directive is told, in order', () => {
  const config = new Config()
  const told: string[] = []
  for (const who of ['first', 'second'])
    config.watch('maxmemory', value => {
      told.push(`${who} ${value}`)
      return undefined
    })
  config.set([['maxmemory', '1mb']], context)
  expect(told).toEqual(['first 0', 'second 0', 'first 1048576', 'second 1048576'])
})

test('who was told a value that another refuses is told the old one again', () => {
  const config = new Config()
  const told: number[] = []
  config.watch('maxmemory', () => {
    told.push(config.number('maxmemory'))
    return undefined
  })
  config.watch('maxmemory', value => (value === 0 ? undefined : 'not now'))
  expect(() => config.set([['maxmemory', '5']], context)).toThrow('not now')
  expect(told).toEqual([0, 5, 0])
  expect(config.number('maxmemory')).toBe(0)
})
