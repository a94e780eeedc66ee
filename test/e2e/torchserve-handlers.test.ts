/** What TorchServe's front-end does for handlers: explanations, headers, metrics.yaml. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { startCommand } from '../helpers/command.ts'
import { fakePython, fakePythonModel } from '../helpers/fake-python.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const post = (server: TestServer, route: string, body: string, headers = {}): Promise<Response> =>
  server.fetch(route, {
    method: 'POST',
    body,
    headers: { 'content-type': 'text/plain', ...headers },
  })

test('the header explain tells a handler that an explanation is wanted', async (t) => {
  const server = await serve(t, [handlerModel(t, 'm'), 'examples/iris'], { allowHandlers: true })
  const headersAt = async (route: string): Promise<Record<string, string>> =>
    (await json(await post(server, route, 'headers', { Explain: 'mine' }))) as Record<
      string,
      string
    >
  for (const route of ['/explanations/m', '/explanations/m/1.0']) {
    const headers = await headersAt(route)
    assert.deepEqual([headers['explain'], headers['url_path']], ['True', ''], route)
    const got = await server.fetch(route, { method: 'GET' })
    assert.equal(got.status, 200, 'methods are not checked, as on /predictions')
  }
  const plain = (await json(await post(server, '/predictions/m', 'headers'))) as object
  assert.ok(!('explain' in plain))
  for (const route of ['/v1/models/m:explain', '/v2/models/m/explain']) {
    assert.equal((await headersAt(route))['explain'], 'True', route)
    assert.equal((await post(server, route.replace('/m', '/none'), '')).status, 404)
  }
  const refused = await post(server, '/explanations/iris', '{}')
  assert.equal(refused.status, 404)
  assert.deepEqual(await json(refused), {
    code: 404,
    type: 'ResourceNotFoundException',
    message: 'Model iris has no explanations: it has no custom handler.',
  })
  assert.match(
    await (await post(server, '/v2/models/iris/explain', '{}')).text(),
    /"error": *"Model iris has no explanations/,
  )
  assert.equal((await post(server, '/explanations/absent', '{}')).status, 404)
  assert.equal((await post(server, '/explanations/m/9', '{}')).status, 404)
})

test('a request for an explanation shares no batch', async (t) => {
  const settings = { workers: 1, batchSize: 4, maxBatchDelay: 60_000 }
  const server = await serve(t, [handlerModel(t, 'm', settings)], { allowHandlers: true })
  // The delay of a minute is for batches that others can join.
  const first = await post(server, '/explanations/m', 'batch')
  assert.deepEqual(await json(first), { size: 1 })
  const waiting = Array.from({ length: 3 }, () => post(server, '/predictions/m', 'batch'))
  const query = '/metrics?name[]=onnxd_queue_jobs'
  await until(async () => /\} 3$/m.test(await (await server.manage(query)).text()))
  const last = await post(server, '/explanations/m', 'batch')
  assert.deepEqual(await json(last), { size: 1 })
  for (const response of waiting) assert.deepEqual(await json(await response), { size: 3 })
})

test("TorchServe's worker always gets its headers, and never those of the client", async (t) => {
  const folder = temporaryFolder(t)
  fakePythonModel(folder, 'p')
  const server = await serve(t, [path.join(folder, 'p.mar')], {
    allowHandlers: true,
    python: fakePython(t),
    workers: 1,
  })
  const code =
    'socket.write(answers(answer(requests[0].id, JSON.stringify(Object.fromEntries(requests[0].headers)))))'
  for (const [route, explain] of [
    ['/predictions/p', 'False'],
    ['/explanations/p', 'True'],
  ] as const) {
    const response = await post(server, route, code, { explain: 'True', url_path: 'x' })
    const headers = (await json(response)) as Record<string, string>
    assert.deepEqual([headers['explain'], headers['url_path']], [explain, ''], route)
  }
})

test("metrics.yaml reaches TorchServe's worker: of the model, of the setting, of the package", async (t) => {
  const folder = temporaryFolder(t)
  const settings = path.join(folder, 'server.yaml')
  const gauge = 'model_metrics:\n  gauge:\n    - {name: A, unit: ms, dimensions: []}\n'
  writeFileSync(settings, gauge)
  const code =
    "socket.write(answers(answer(requests[0].id, after('--metrics-config').split('/').slice(-2).join('/'))))"
  const own = fakePythonModel(folder, 'own', '', { 'metrics.yaml': gauge })
  const foreign = fakePythonModel(folder, 'foreign', '', { 'metrics.yaml': 'rules: []\n' })
  const python = fakePython(t)
  const common = { allowHandlers: true, python, workers: 1 }
  const named = await serve(t, [own, foreign], { ...common, metricsConfig: settings })
  const fileOf = async (server: TestServer, model: string): Promise<string> =>
    (await post(server, `/predictions/${model}`, code)).text()
  assert.match(await fileOf(named, 'own'), /^model-[^/]+\/metrics\.yaml$/)
  assert.match(await fileOf(named, 'foreign'), /\/server\.yaml$/)
  const plain = await serve(t, [foreign], common)
  assert.equal(await fileOf(plain, 'foreign'), 'configs/metrics.yaml')
})

test('a metricsConfig that cannot be used ends the start', async (t) => {
  const folder = temporaryFolder(t)
  const python = fakePython(t)
  const cases: [content: string | undefined, message: RegExp][] = [
    [undefined, /cannot read \S+: it does not exist\.$/],
    ['a: [', /is not valid YAML: /],
    ['ts_metrics: {}\n', /it has no model_metrics\.$/],
    [
      'model_metrics:\n  timer: []\n',
      /has the type "timer"; the types are counter, gauge, histogram/,
    ],
    ['model_metrics:\n  gauge: {}\n', /model_metrics\.gauge is not a list/],
    ['model_metrics:\n  gauge:\n    - name: A\n', /model_metrics\.gauge\[0\] has no unit/],
    ['model_metrics:\n  gauge:\n    - {name: A, unit: ms}\n', /has no list of dimensions/],
  ]
  for (const [index, [content, message]] of cases.entries()) {
    const file = path.join(folder, `${index}.yaml`)
    if (content !== undefined) writeFileSync(file, content)
    const command = startCommand(t, ['--python', python, '--metrics-config', file])
    const { code } = await command.ended
    assert.equal(code, 2)
    assert.match(command.errors().trim(), message)
    assert.match(command.errors(), /^onnxd: metricsConfig: [^\n]+\n$/)
  }
})
