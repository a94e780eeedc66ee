/** Entries of a store that cannot be served: they are no obstacle to the others. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { failedModels, modelNames } from '../helpers/observe.ts'
import { addModel } from '../helpers/onnx-files.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

interface Entry {
  readonly name: string
  readonly state?: string
  readonly reason?: string
}

async function post(server: TestServer, route: string): Promise<[number, unknown]> {
  const answer = await server.manage(route, { method: 'POST' })
  const text = await answer.text()
  return [answer.status, text === '' ? undefined : JSON.parse(text)]
}

/** A store with everything in it that may lie there by accident, and one model. */
function strangeStore(store: string): void {
  const network = addModel(1)
  writeFileSync(path.join(store, 'good.onnx'), network)
  for (const name of ['模型.onnx', '___.onnx', '.hidden.onnx', `${'x'.repeat(200)}.onnx`]) {
    writeFileSync(path.join(store, name), network)
  }
  // The same model name twice.
  writeFileSync(path.join(store, 'a b.onnx'), network)
  writeFileSync(path.join(store, 'a_b.onnx'), network)
  writeFileSync(path.join(store, '模型.mar'), 'no archive')
  writeFileSync(
    Buffer.concat([Buffer.from(`${store}/`), Buffer.from([0xff, 0xfe]), Buffer.from('.onnx')]),
    network,
  )
  writeFileSync(path.join(store, 'README'), 'text')
  mkdirSync(path.join(store, 'empty'))
  mkdirSync(path.join(store, 'lost+found'))
  mkdirSync(path.join(store, '...'))
  mkdirSync(path.join(store, 'closed'))
  writeFileSync(path.join(store, 'closed', 'model.onnx'), network)
  chmodSync(path.join(store, 'closed'), 0)
  symlinkSync('nowhere', path.join(store, 'dangling.onnx'))
  symlinkSync('loop.onnx', path.join(store, 'loop.onnx'))
  symlinkSync('.', path.join(store, 'self'))
  symlinkSync('/etc/passwd', path.join(store, 'outside.onnx'))
  execFileSync('mkfifo', [path.join(store, 'pipe.onnx')])
}

test('B5: an entry of the store that cannot be named keeps nobody from loading the others', async (t) => {
  const store = temporaryFolder(t)
  strangeStore(store)
  const server = await serve(t, [], { modelStore: store, load: 'none' })
  const [status, index] = await post(server, '/v2/repository/index')
  assert.equal(status, 200, JSON.stringify(index))
  const entries = new Map((index as Entry[]).map((entry) => [entry.name, entry]))
  assert.deepEqual(entries.get('good'), { name: 'good' })
  for (const [name, reason] of [
    ['模型.onnx', /The file name gives no model name/],
    ['模型.mar', /The file name gives no model name/],
    ['___.onnx', /The file name gives no model name/],
    [`${'x'.repeat(200)}.onnx`, /more than 128 characters/],
    ['a_b.onnx', /would be a_b, which "a b\.onnx" has already/],
  ] as const) {
    assert.equal(entries.get(name)?.state, 'UNAVAILABLE', name)
    assert.match(entries.get(name)?.reason ?? '', reason)
  }
  assert.equal(entries.has('.hidden'), false)
  assert.deepEqual(await post(server, '/v2/repository/models/good/load'), [200, {}])
  assert.deepEqual(await post(server, '/v2/repository/models/a_b/load'), [200, {}])
  assert.deepEqual(await post(server, '/v2/repository/models/good/unload'), [200, {}])
  const [unknown] = await post(
    server,
    `/v2/repository/models/${encodeURIComponent('模型.onnx')}/load`,
  )
  assert.equal(unknown, 400)
  for (const name of ['dangling', 'loop', 'self', 'outside', 'pipe', 'closed', 'empty']) {
    const [refused, body] = await post(server, `/v2/repository/models/${name}/load`)
    assert.ok(
      (refused >= 400 && refused < 500) || name === 'closed',
      `${name}: ${refused} ${JSON.stringify(body)}`,
    )
  }
  // So that it can be removed.
  chmodSync(path.join(store, 'closed'), 0o700)
  // The file can be served under a name of the caller's.
  const answer = await server.manage(
    `/models?url=${encodeURIComponent('模型.onnx')}&model_name=m`,
    { method: 'POST' },
  )
  assert.equal(answer.status, 200, await answer.text())
})

test('B5: a start with such a store serves what can be served, and lists the rest with the reason', async (t) => {
  const store = temporaryFolder(t)
  writeFileSync(path.join(store, 'good.onnx'), addModel(1))
  writeFileSync(path.join(store, '模型.onnx'), addModel(1))
  const server = await serve(t, [], { modelStore: store })
  assert.equal((await server.fetch('/v2/models/good/ready')).status, 200)
  const list = JSON.parse(await (await server.manage('/models')).text()) as {
    models: { modelName: string }[]
    failed: { modelUrl: string; reason: string }[]
  }
  assert.deepEqual(
    list.models.map(({ modelName }) => modelName),
    ['good'],
  )
  assert.deepEqual(
    list.failed.map(({ modelUrl }) => modelUrl),
    ['模型.onnx'],
  )
  const [status, index] = await post(server, '/v2/repository/index')
  assert.equal(status, 200)
  assert.deepEqual(
    (index as Entry[]).map(({ name, state }) => [name, state]),
    [
      ['good', 'READY'],
      ['模型.onnx', 'UNAVAILABLE'],
    ],
  )
})

test('a reserved name or version is refused by every way to a model, and the others are served', async (t) => {
  const store = temporaryFolder(t)
  for (const name of ['good', 'stats', 'upload']) {
    writeFileSync(path.join(store, `${name}.onnx`), addModel(1))
  }
  const folder = path.join(store, 'versioned')
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'model.onnx'), addModel(1))
  writeFileSync(path.join(folder, 'model.json'), '{"version":"all"}')
  const server = await serve(t, [], { modelStore: store, workers: 0 })
  assert.deepEqual(await modelNames(server), ['good'])
  const failed = await failedModels(server)
  assert.deepEqual(failed.map(({ modelUrl }) => modelUrl).toSorted(), [
    'stats.onnx',
    'upload.onnx',
    'versioned',
  ])
  for (const { reason } of failed)
    assert.match(reason, /^Invalid model (?:name|version): "\w+" is reserved/)
  await server.logged(
    ({ model, reason }) => model === 'stats.onnx' && /reserved/.test(String(reason)),
  )
  for (const query of [
    'url=stats.onnx',
    'url=good.onnx&model_name=stats',
    'url=good.onnx&model_name=other&model_version=all',
    'url=versioned',
  ]) {
    const response = await server.manage(`/models?${query}`, { method: 'POST' })
    assert.equal(response.status, 400, query)
    assert.match(await response.text(), /is reserved, because/)
  }
  const load = await server.manage('/v2/repository/models/stats/load', { method: 'POST' })
  assert.equal(load.status, 400)
  assert.match(await load.text(), /is reserved, because/)
  const index = await server.manage('/v2/repository/index', { method: 'POST' })
  const entries = (await json(index)) as { name: string; reason?: string }[]
  assert.match(
    entries.find(({ name }) => name === 'stats.onnx')?.reason ?? '',
    /^The model name "stats" is reserved.* Rename the file/,
  )
  // The file can be served under another name.
  const other = await server.manage('/models?url=stats.onnx&model_name=m', { method: 'POST' })
  assert.equal(other.status, 200, await other.text())
})
