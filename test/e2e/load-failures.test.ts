/** A registration that fails says why: status, reason, how the worker ended, what it wrote last. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { httpProcesses } from '../helpers/http-processes.ts'
import { failedModels, modelNames } from '../helpers/observe.ts'
import { childrenOf, json, serve, temporaryFolder, until } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const network = readFileSync(path.resolve('examples/iris/model.onnx'))

interface Refusal {
  readonly code: number
  readonly type: string
  readonly message: string
  readonly log?: string[]
}

/** A model whose code runs `script` while it is loaded. */
function modelThat(t: TestContext, script: string): string {
  const folder = handlerModel(t, 'doomed')
  writeFileSync(path.join(folder, 'service.mjs'), `${script}\nexport const handle = () => []\n`)
  return folder
}

const ENDS: [title: string, script: string, status: number, type: string, message: RegExp][] = [
  ['exit', 'process.exit(3)', 500, 'InternalServerException', /the worker exited with code 3\.$/],
  ['abort', 'process.abort()', 400, 'InvalidModelException', /was killed by SIGABRT\.$/],
  ...['SIGSEGV', 'SIGFPE', 'SIGBUS', 'SIGILL'].map((signal): (typeof ENDS)[number] => [
    signal,
    `process.kill(process.pid, '${signal}'); await new Promise(() => setTimeout(() => {}, 9999))`,
    400,
    'InvalidModelException',
    new RegExp(`was killed by ${signal}\\.$`),
  ]),
  [
    'SIGKILL, which is nobody’s fault that we know',
    `process.kill(process.pid, 'SIGKILL'); await new Promise(() => setTimeout(() => {}, 9999))`,
    500,
    'InternalServerException',
    /was killed by SIGKILL\.$/,
  ],
  [
    'native code without memory',
    `const { writeSync } = await import('node:fs')
     writeSync(2, "terminate called after throwing an instance of 'std::bad_alloc'\\n"); process.abort()`,
    507,
    'InsufficientMemoryException',
    /ran out of memory\.$/,
  ],
]

test('the status of a worker that dies while it loads says whose fault it is', async (t) => {
  const server = await sharedServer([], { allowHandlers: true, allowLocalPaths: true })
  const before = childrenOf(server.pid).length
  for (const [title, script, status, type, message] of ENDS) {
    const url = modelThat(t, script)
    const answer = await server.manage(`/models?url=${url}&synchronous=true`, { method: 'POST' })
    const body = (await json(answer)) as Refusal
    assert.deepEqual([answer.status, body.code, body.type], [status, status, type], title)
    assert.match(body.message, message, title)
  }
  assert.deepEqual(await modelNames(server), [])
  await until(() => childrenOf(server.pid).length === before)
})

test('the response has the last lines of the worker, few and short and without folders', async (t) => {
  const server = await sharedServer([], { allowHandlers: true, allowLocalPaths: true })
  const url = modelThat(
    t,
    `import { writeSync } from 'node:fs'
     for (let line = 1; line <= 9; line++) writeSync(2, 'line ' + line + ' of ' + import.meta.filename + '\\n')
     writeSync(2, 'x'.repeat(5000) + '\\n')
     writeSync(2, 'the end\\n')
     process.exit(1)`,
  )
  const answer = await server.manage(`/models?url=${url}`, { method: 'POST' })
  const { log = [] } = (await json(answer)) as Refusal
  assert.equal(log.at(-1), 'the end')
  assert.ok(log.length <= 5 && log.join('').length <= 1024, JSON.stringify(log))
  assert.ok(log.at(-2)?.startsWith('xxx'))
  const other = modelThat(
    t,
    `console.error('why it fails', import.meta.filename, 'file://' + import.meta.filename); process.exit(1)`,
  )
  const short = await server.manage(`/models?url=${other}`, { method: 'POST' })
  assert.deepEqual(((await json(short)) as Refusal).log, [
    'why it fails service.mjs file://service.mjs',
  ])
})

test('a failure that nobody waited for is listed with its name, reason and lines until it is served or forgotten', async (t) => {
  const server = await sharedServer([], { allowHandlers: true, allowLocalPaths: true })
  const url = modelThat(t, `console.error('no luck'); process.exit(7)`)
  const register = (name: string): Promise<Response> =>
    server.manage(`/models?url=${url}&model_name=${name}&synchronous=false`, { method: 'POST' })
  assert.equal((await register('one')).status, 202)
  assert.equal((await register('two')).status, 202)
  await until(async () => (await failedModels(server)).length === 2)
  const listed = await failedModels(server)
  assert.deepEqual(listed.map(({ modelName }) => modelName).toSorted(), ['one', 'two'])
  for (const failure of listed) {
    assert.equal(failure.modelUrl, url)
    assert.match(failure.reason, /exited with code 7/)
    assert.deepEqual(failure.log, ['no luck'])
  }
  await server.logged(
    ({ msg, stderr }) => msg === 'registration failed' && String(stderr) === 'no luck',
  )
})

test('two uploads with one file name fail and recover apart', async (t) => {
  const server = await serve(t, [])
  const upload = (name: string, file: Buffer): Promise<Response> => {
    const form = new FormData()
    form.set('model_name', name)
    form.set('synchronous', 'false')
    form.set('model', new Blob([file]), 'model.onnx')
    return server.manage('/models', { method: 'POST', body: form })
  }
  for (const name of ['one', 'two'])
    assert.equal((await upload(name, Buffer.from('no network'))).status, 202)
  await until(async () => (await failedModels(server)).length === 2)
  assert.equal((await upload('one', network)).status, 202)
  await until(async () => (await modelNames(server)).includes('one'))
  assert.deepEqual(
    (await failedModels(server)).map(({ modelName, modelUrl }) => [modelName, modelUrl]),
    [['two', 'model.onnx']],
  )
})

test('what fails at the start is listed with the worker’s lines', async (t) => {
  const doomed = modelThat(t, `console.error('never'); process.exit(9)`)
  const server = await serve(t, [`named=${doomed}`, path.resolve('examples/iris')], {
    allowHandlers: true,
    allowLocalPaths: true,
  })
  const [failure] = await failedModels(server)
  assert.deepEqual([failure?.modelName, failure?.log], ['named', ['never']])
  rmSync(path.join(doomed, 'service.mjs'))
  writeFileSync(path.join(doomed, 'service.mjs'), 'export const handle = () => []\n')
  const again = await server.manage(`/models?url=${doomed}&model_name=named`, { method: 'POST' })
  assert.equal(again.status, 200)
  assert.deepEqual(await failedModels(server), [])
})

test('a scaling that fails says why as well', async (t) => {
  const folder = temporaryFolder(t)
  const doomed = modelThat(t, '')
  const server = await sharedServer([], { allowHandlers: true, allowLocalPaths: true })
  const marker = path.join(folder, 'fail')
  writeFileSync(
    path.join(doomed, 'service.mjs'),
    `import { existsSync } from 'node:fs'
     if (existsSync(${JSON.stringify(marker)})) { console.error('not twice'); process.exit(5) }
     export const handle = () => []`,
  )
  assert.equal((await server.manage(`/models?url=${doomed}`, { method: 'POST' })).status, 200)
  writeFileSync(marker, '')
  const route = `/models/doomed?min_worker=${2 * httpProcesses}&synchronous=true`
  const answer = await server.manage(route, { method: 'PUT' })
  const { log, message } = (await json(answer)) as Refusal
  assert.equal(answer.status, 500)
  assert.match(message, /exited with code 5/)
  assert.deepEqual(log, ['not twice'])
})
