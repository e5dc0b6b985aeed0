/**
 * COMMAND DOCS: what each command is for, and since when, in which group, as redis-server says.
 */
import { expect, test } from 'vitest'
import { summaryOf } from '../../src/command/summaries.js'
import { builtinTable } from '../../src/command/table.js'
import { requireReal } from '../support/real.js'
import { plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

type Docs = Map<string, Map<string, unknown>>

/** Flat arrays of names and values, subcommands under their full names. */
async function docsOf(server: TestServer): Promise<Docs> {
  const docs: Docs = new Map()
  const read = (items: readonly unknown[]): void => {
    for (let at = 0; at < items.length; at += 2) {
      const fields = items[at + 1] as unknown[]
      const entry = new Map(
        fields.flatMap((field, index) => (index % 2 === 0 ? [[String(field), fields[index + 1]]] : [])),
      )
      docs.set(String(items[at]), entry)
      read((entry.get('subcommands') as unknown[] | undefined) ?? [])
    }
  }
  read(plain(await server.call('COMMAND', 'DOCS')) as unknown[])
  return docs
}

test('every command has a line', async () => {
  expect(builtinTable.specs.filter(({ name }) => summaryOf(name) === '').map(({ name }) => name)).toEqual([])
  const docs = await docsOf(await startNode())
  expect(docs.get('xinfo|stream')?.get('summary')).toBe('Describes a stream')
})

redis.test('since and group of every command are those of redis-server', async () => {
  const [ours, theirs] = [await docsOf(await startNode()), await docsOf(await startRedisServer(redis.path))]
  const facts = (docs: Docs): string[] =>
    [...ours.keys()].map(name => `${name} ${docs.get(name)?.get('since')} ${docs.get(name)?.get('group')}`)
  expect(facts(ours)).toEqual(facts(theirs))
})
