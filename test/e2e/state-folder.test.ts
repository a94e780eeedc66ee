/** The state folder: a backup as docs/deploy.md describes it, and a relative path. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { iris, FLOWER } from '../helpers/server-process.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

/** The commands of the page, without `sudo` and those of systemd. */
function documentedCommands(replacements: Readonly<Record<string, string>>): string[] {
  const [, section = ''] = /^## Backup$(.*)/ms.exec(readFileSync('docs/deploy.md', 'utf8')) ?? []
  const commands = [...section.matchAll(/^\$ sudo (tar .+)$/gm)].map(([, command = '']) => command)
  return commands.map((command) =>
    Object.entries(replacements).reduce((text, [from, to]) => text.replace(from, to), command),
  )
}

async function classOf(server: TestServer, model: string): Promise<unknown> {
  const answer = await server.fetch(`/predictions/${model}`, FLOWER)
  return answer.status === 200 ? ((await json(answer)) as { label: unknown }).label : answer.status
}

test('a copy of the state of a running server can be served elsewhere', async (t) => {
  const folder = temporaryFolder(t)
  const [original, restored] = ['original', 'restored'].map((name) => path.join(folder, name))
  assert.ok(original && restored)
  mkdirSync(restored, { mode: 0o700 })
  const server = await serve(t, [], {
    stateDir: original,
    modelStore: path.dirname(iris),
    load: 'none',
  })
  const form = new FormData()
  form.set('model', new Blob([readFileSync(path.join(iris, 'model.onnx'))]), 'uploaded.onnx')
  form.set('initial_workers', '1')
  assert.equal((await server.manage('/models', { method: 'POST', body: form })).status, 200)
  const stored = '/models?url=iris&model_name=stored&initial_workers=1&synchronous=true'
  assert.equal((await server.manage(stored, { method: 'POST' })).status, 200)

  const archive = path.join(folder, 'onnxd-state.tar.gz')
  const [save, restore] = documentedCommands({ 'onnxd-state.tar.gz': archive })
  assert.ok(save && restore)
  execFileSync('sh', ['-c', save.replace('/var/lib/onnxd', original)])
  execFileSync('sh', ['-c', restore.replace('/var/lib/onnxd', restored)])
  const copy = await serve(t, [], {
    stateDir: restored,
    modelStore: path.dirname(iris),
    load: 'none',
  })
  assert.deepEqual(await classOf(copy, 'uploaded'), await classOf(server, 'uploaded'))
  assert.deepEqual(await classOf(copy, 'stored'), ['setosa'])
})

test('a relative path of the state folder works too', async (t) => {
  const folder = temporaryFolder(t)
  const settings = { stateDir: 'state' }
  const server = await serve(t, [], settings, { folder })
  const form = new FormData()
  form.set('model', new Blob([readFileSync(path.join(iris, 'model.onnx'))]), 'uploaded.onnx')
  form.set('initial_workers', '1')
  const uploaded = await server.manage('/models', { method: 'POST', body: form })
  assert.equal(uploaded.status, 200, await uploaded.text())
  const label = await classOf(server, 'uploaded')
  assert.notEqual(typeof label, 'number')
  await server.close()
  const next = await serve(t, [], settings, { folder })
  assert.deepEqual(await classOf(next, 'uploaded'), label)
})
