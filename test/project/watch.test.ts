import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { temporaryFolder, until } from '../helpers/server.ts'

const WATCH = pathToFileURL(path.resolve('scripts/watch.mjs')).href

test('a program runs again after each change of a source, and Ctrl-C ends the watch', async (t) => {
  const folder = temporaryFolder(t)
  for (const name of ['src', 'test/deep']) mkdirSync(path.join(folder, name), { recursive: true })
  writeFileSync(path.join(folder, 'program.mjs'), `console.log('a run')`)
  const code = `import { runOnChanges } from ${JSON.stringify(WATCH)}
    runOnChanges(['src', 'test'], ['program.mjs'])`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: folder })
  t.after(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  let [output, errors] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const runs = (): number => output.split('a run').length - 1
  const waits = (): number => errors.split('waiting for a change in src or test').length - 1
  await until(() => waits() === 1)
  assert.equal(runs(), 1)

  writeFileSync(path.join(folder, 'src', 'notes.txt'), 'not a source')
  writeFileSync(path.join(folder, 'src', 'one.ts'), '')
  await until(() => waits() === 2)
  writeFileSync(path.join(folder, 'test/deep', 'two.test.ts'), '')
  await until(() => waits() === 3)
  assert.equal(runs(), 3)

  child.kill('SIGINT')
  assert.deepEqual(await exited, [0, null], errors)
})
