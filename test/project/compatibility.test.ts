/** Every row of docs/compatibility.md names a test that shows it. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'

/** Sections whose rows name a test; those of the other tables are compared with cases by other tests. */
const SECTIONS = ['## What differs on purpose', '## Details']
const ENDINGS = ['.test.ts', '.interop.ts', '.ts']

test('each row of docs/compatibility.md names a test that exists', () => {
  const page = readFileSync(path.resolve('docs/compatibility.md'), 'utf8')
  let rows = 0
  for (const section of SECTIONS) {
    assert.ok(page.includes(section), section)
    const [text = ''] = page.slice(page.indexOf(section) + 3).split('\n## ')
    for (const line of text.split('\n')) {
      if (!line.startsWith('| ') || /^\| (---|subject|#) \|/.test(line)) continue
      const [, file = '', name = ''] = /\| `([\w/-]+)`: (.+) \|$/.exec(line) ?? []
      const known = ENDINGS.map((ending) => path.resolve('test', file + ending)).find((one) =>
        existsSync(one),
      )
      assert.ok(name !== '' && known !== undefined, line)
      assert.ok(readFileSync(known, 'utf8').includes(name), `${file} has no test "${name}"`)
      rows++
    }
  }
  assert.ok(rows >= 80, `${rows} rows`)
})
