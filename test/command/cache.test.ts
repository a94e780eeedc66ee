/** `onnxd cache list` and `onnxd cache clear`. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { CLI, temporaryFolder } from '../helpers/server.ts'

const KEY = 'ab'.repeat(32)

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function onnxd(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Ended {
  const env = { ...process.env, ...environment }
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'cache', ...args], {
    encoding: 'utf8',
    env,
  })
  return { status, stdout, stderr }
}

function layEntry(folder: string): void {
  const entry = path.join(folder, KEY)
  mkdirSync(entry, { recursive: true })
  writeFileSync(path.join(entry, 'weights.bin'), Buffer.alloc(3 * 1024 * 1024))
  writeFileSync(path.join(entry, 'entry.json'), '{"source":"big\\u001b[31m.onnx"}')
}

test('cache list shows the entries, and cache clear removes them and nothing else', (t) => {
  const folder = path.join(temporaryFolder(t), 'cache')
  assert.deepEqual(onnxd(['list', '--cache-dir', folder]), {
    status: 0,
    stdout: `${folder} has no entries\n`,
    stderr: '',
  })
  assert.ok(!existsSync(folder))
  layEntry(folder)
  writeFileSync(path.join(folder, 'notes.txt'), 'of the user')
  const list = onnxd(['list'], { ONNXD_CACHE_DIR: folder })
  assert.equal(list.status, 0)
  assert.match(list.stdout, /^ {2}abababababab +3\.0 MiB {2}last used 20\S+Z {2}"big\\u001b\[31m/m)
  const json = JSON.parse(onnxd(['list', '--json', '--cache-dir', folder]).stdout)
  assert.deepEqual(
    [json.folder, json.entries[0].key, json.entries[0].bytes, json.entries[0].source],
    [folder, KEY, 3 * 1024 * 1024, 'big\u001b[31m.onnx'],
  )
  assert.equal(onnxd(['clear', '--cache-dir', folder]).stdout, `1 entry removed from ${folder}\n`)
  assert.deepEqual(readdirSync(folder), ['notes.txt'])
  const none = onnxd(['clear', '--cache-dir', folder, '--json'])
  assert.deepEqual(JSON.parse(none.stdout), { folder, removed: 0 })
  assert.equal(onnxd(['clear', '--cache-dir', folder]).stdout, `0 entries removed from ${folder}\n`)
})

test('cache says what it does not understand', () => {
  for (const [args, problem] of [
    [[], /Usage: onnxd cache/],
    [['remove'], /Usage: onnxd cache/],
    [['list', 'model.onnx'], /Unexpected argument model\.onnx\. Usage: onnxd cache/],
    [['list', '--cache-dri', 'x'], /--cache-dir/],
  ] as const) {
    const { status, stderr } = onnxd(args)
    assert.equal(status, 2, stderr)
    assert.match(stderr, problem)
  }
  assert.match(onnxd(['--help']).stdout, /Usage: onnxd cache/)
})
