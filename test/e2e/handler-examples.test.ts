/** The request that a server shows for each example handler works. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { runOnnxd } from '../helpers/command-line.ts'
import { serve } from '../helpers/server.ts'

const run = promisify(execFile)
const HANDLERS = ['counter', 'flowers', 'pumps', 'tickets', 'words']
const folderOf = (name: string): string => `examples/handlers/${name}`

test('the curl line of inspect gets 200 from each handler with a sample', async (t) => {
  const server = await serve(t, HANDLERS.map(folderOf), { allowHandlers: true })
  for (const name of HANDLERS) {
    const { stdout } = await runOnnxd([
      'inspect',
      '--json',
      folderOf(name),
      '--',
      '--allow-handlers',
    ])
    const { curl = '' } = JSON.parse(stdout) as { curl?: string }
    const own = curl.replace(/127\.0\.0\.1:8080/, new URL(server.inferenceUrl).host)
    assert.match(own, /^curl /, name)
    const { stdout: shown } = await run('bash', ['-c', `${own} -s -w '\n%{http_code}'`])
    assert.match(shown, /\n200$/, `${own}: ${shown}`)
  }
})

test('inspect of a handler whose requests nobody knows says so', async () => {
  const args = [folderOf('dictionary'), '--', '--allow-handlers']
  const { stdout } = await runOnnxd(['inspect', ...args])
  assert.match(stdout, /^ {2}The requests of dictionary are known to its handler only\./m)
  assert.doesNotMatch(stdout, /curl/)
})
