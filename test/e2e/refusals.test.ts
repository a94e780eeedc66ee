/**
 * Error texts for rejected models: sentences that say what to do, without a dump of an internal
 * error.
 */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { addModel, endlessModel } from '../helpers/onnx-files.ts'
import { json, until } from '../helpers/server.ts'
import { sharedServer, sharedStore, storeServer } from '../helpers/shared-server.ts'

interface Refusal {
  readonly code: number
  readonly type: string
  readonly message: string
  readonly log?: string[]
}

const DUMP = /statusCode|retryAfterSeconds|\[cause\]|\[stack\]|^\s*[{}\]],?$|^\s+at /m

test('C12: a load that runs into its timeout during the warm-up says so, and how to do without', async (t) => {
  const store = sharedStore(t)
  writeFileSync(path.join(store, 'endless.onnx'), endlessModel())
  mkdirSync(path.join(store, 'cold'))
  writeFileSync(path.join(store, 'cold', 'model.onnx'), endlessModel())
  writeFileSync(path.join(store, 'cold', 'model.json'), '{"warmUp":false}')
  const server = await storeServer(t)
  const answer = await server.manage('/models?url=endless.onnx&startup_timeout=2', {
    method: 'POST',
  })
  const { type, message } = (await json(answer)) as Refusal
  assert.deepEqual([answer.status, type], [504, 'ResponseTimeoutException'])
  assert.match(message, /took longer than 2 s/)
  assert.match(message, /warm-up/)
  assert.match(message, /"warmUp": false/)
  // What the text recommends works.
  const cold = await server.manage('/models?url=cold&startup_timeout=20', { method: 'POST' })
  assert.equal(cold.status, 200, await cold.text())
})

test('C12: a load that runs into its timeout before the warm-up does not blame the warm-up', async (t) => {
  const folder = handlerModel(t, 'slow')
  writeFileSync(
    path.join(folder, 'service.mjs'),
    'await new Promise((resolve) => setTimeout(resolve, 600_000))\nexport function handle() {}\n',
  )
  const server = await sharedServer([], { allowHandlers: true, allowLocalPaths: true })
  const answer = await server.manage(`/models?url=${folder}&startup_timeout=1`, { method: 'POST' })
  const { message } = (await json(answer)) as Refusal
  assert.equal(answer.status, 504)
  assert.match(message, /took longer than 1 s/)
  assert.doesNotMatch(message, /warm/)
})

const CODE: readonly [title: string, code: string, line: RegExp][] = [
  [
    'an error with properties',
    'throw Object.assign(new Error("no luck"), { secret: 1 })',
    /no luck/,
  ],
  ['an error with a cause', 'throw new Error("outer", { cause: new TypeError("inner") })', /inner/],
  ['a system error', 'import("node:fs").then((fs) => fs.readFileSync("/absent"))', /ENOENT/],
  ['an aggregate', 'throw new AggregateError([new Error("one")], "many")', /many/],
  ['a thrown object', 'throw { statusCode: 400, log: [] }', /cannot be loaded/],
  ['nothing', 'throw undefined', /cannot be loaded/],
]

test('D1: the log of a refused model has the sentence, no inspected error and no stack', async (t) => {
  const store = sharedStore(t)
  writeFileSync(path.join(store, 'text.onnx'), 'no network')
  // A graph that is sound as protobuf and refused by the runtime.
  writeFileSync(
    path.join(store, 'graph.onnx'),
    addModel(1).toString('latin1').replace('Add', 'Odd'),
    {
      encoding: 'latin1',
    },
  )
  for (const [index, [, code]] of CODE.entries()) {
    const folder = path.join(store, `code${index}`)
    mkdirSync(folder)
    writeFileSync(path.join(folder, 'model.json'), '{"handler":"service.mjs:handle"}')
    writeFileSync(
      path.join(folder, 'service.mjs'),
      `export function handle(data) { if (data === undefined) { ${
        code.startsWith('import') ? `return ${code}` : code
      } } }\n`,
    )
  }
  const server = await storeServer(t)
  for (const name of ['text', 'graph']) {
    const answer = await server.manage(`/models?url=${name}.onnx`, { method: 'POST' })
    const { message, log = [] } = (await json(answer)) as Refusal
    assert.equal(answer.status, 400)
    assert.ok(log.length > 0, 'the worker said why')
    assert.doesNotMatch(log.join('\n'), DUMP, name)
    const reason = message.replace('Failed to start workers: ', '')
    assert.ok(log.join('\n').includes(reason.slice(0, 60)), `${log.join('\n')} has ${reason}`)
  }
  for (const [index, [title, , line]] of CODE.entries()) {
    const answer = await server.manage(`/models?url=code${index}`, { method: 'POST' })
    const { log = [] } = (await json(answer)) as Refusal
    assert.ok(answer.status >= 400, title)
    assert.match(log.join('\n'), line, title)
    assert.doesNotMatch(log.join('\n'), DUMP, title)
    assert.doesNotMatch(log.join('\n'), /secret/, title)
  }
  const listed = await server.manage('/models?url=text.onnx&synchronous=false', { method: 'POST' })
  assert.equal(listed.status, 202)
  const failed = await until(async () => {
    const list = (await json(await server.manage('/models'))) as { failed?: Refusal[] }
    return list.failed?.[0]
  })
  assert.doesNotMatch(JSON.stringify(failed), /statusCode|\\n\s+at /)
})

test('D1: the server’s log keeps the stack of an error in the code of a model', async (t) => {
  const folder = handlerModel(t, 'broken')
  writeFileSync(
    path.join(folder, 'service.mjs'),
    'export function handle(data) { if (data === undefined) throw new Error("no luck") }\n',
  )
  const server = await sharedServer([], { allowHandlers: true, allowLocalPaths: true })
  const answer = await server.manage(`/models?url=${folder}`, { method: 'POST' })
  assert.equal(answer.status, 500)
  await until(() => server.logLines.some(({ line }) => /at .*service\.mjs:1/.test(String(line))))
})
