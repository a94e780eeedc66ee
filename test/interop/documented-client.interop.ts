/** The commands of `docs/openapi.md` for a client in TypeScript, run as they stand there. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { serve, temporaryFolder } from '../helpers/server.ts'

const BLOCKS = /^```(console|ts)\n([^]*?)^```$/gm

test(
  'D5: the commands of docs/openapi.md make a client that predicts',
  { timeout: 300_000 },
  async (t) => {
    const registry = spawnSync('npm', ['view', 'typescript@5.9.3', 'version'])
    if (registry.status !== 0) {
      t.skip('needs the npm registry')
      return
    }
    const server = await serve(t, [path.resolve('examples/iris')])
    const folder = temporaryFolder(t)
    writeFileSync(path.join(folder, 'package.json'), '{ "private": true }')
    const page = readFileSync(path.resolve('docs/openapi.md'), 'utf8')
    const section = page.slice(page.indexOf('### TypeScript'), page.indexOf('### Java'))
    let commands = 0
    for (const [, language, text = ''] of section.matchAll(BLOCKS)) {
      const block = text.replaceAll('http://localhost:8080', server.inferenceUrl)
      if (language === 'ts') {
        writeFileSync(path.join(folder, 'predict.ts'), block)
        continue
      }
      const [, ...runs] = block.split(/^\$ /m)
      for (const one of runs) {
        const [command = '', ...expected] = one.trimEnd().split('\n')
        const { stdout } = await promisify(execFile)('sh', ['-c', command], { cwd: folder })
        if (expected.length > 0) assert.equal(stdout.trim(), expected.join('\n'), command)
        commands++
      }
    }
    assert.equal(commands, 4)
  },
)
