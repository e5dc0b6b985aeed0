/** The generated pages of docs/ are what the source says, and every page is linked and links to what is there. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { referencePages } from '../../support/reference.js'
import { root } from '../../support/source.js'

const docs = join(root, 'docs')

for (const [name, text] of Object.entries(referencePages())) {
  test(`docs/${name} is current (UPDATE=1 rewrites it)`, () => {
    const path = join(docs, name)
    if (process.env.UPDATE === '1') writeFileSync(path, text)
    expect(readFileSync(path, 'utf8')).toBe(text)
  })
}

describe('pages', () => {
  const pages = ['README.md', ...readdirSync(docs).flatMap(name => (name.endsWith('.md') ? [`docs/${name}`] : []))]

  for (const page of pages) {
    test(`${page} links to what is there`, () => {
      const text = readFileSync(join(root, page), 'utf8')
      for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^(https?:|mailto:)/.test(target)) continue
        const [file = '', anchor] = target.split('#')
        const path = file === '' ? join(root, page) : resolve(root, dirname(page), file)
        expect(existsSync(path), `${page}: ${target}`).toBe(true)
        if (anchor === undefined) continue
        const headings = [...readFileSync(path, 'utf8').matchAll(/^#+ (.+)$/gm)].map(match => slug(match[1] ?? ''))
        expect(headings, `${page}: ${target}`).toContain(anchor)
      }
    })
  }

  test('every page is reached from docs/README.md', () => {
    const index = readFileSync(join(docs, 'README.md'), 'utf8')
    for (const page of readdirSync(docs))
      if (page.endsWith('.md') && page !== 'README.md') expect(index).toContain(`(${page})`)
  })

  test('every option, metric and flag that a guide names exists', () => {
    const known = Object.values(referencePages()).join('\n')
    for (const page of pages.filter(name => !Object.keys(referencePages()).includes(name.replace('docs/', '')))) {
      const text = readFileSync(join(root, page), 'utf8')
      for (const [name] of text.matchAll(/\blagrange_[a-z_]+[a-z]\b/g))
        expect(known, `${page}: ${name}`).toContain(name)
      for (const [, name = ''] of text.matchAll(
        /`((?:consistency|hold|detection|admin|insight|topology|upstreamAuth|clientAuth|witness)\.\w+)`/g,
      )) {
        expect(known, `${page}: ${name}`).toContain(`\`${name}\``)
      }
    }
  })
})

/** As GitHub makes anchors of headings. */
function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}
