/** A handler in TypeScript with steps of its own, behind the server. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { handlerFolder } from '../helpers/handler-folder.ts'
import { json } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const SERVICE = `import { OnnxHandler } from 'onnxd/handler'
import type { HandlerRequest, Tensors } from 'onnxd/handler'

export class Steps extends OnnxHandler {
  override async preprocess(request: HandlerRequest): Promise<Tensors> {
    const deed: unknown = request.headers['x-deed']
    if (deed === 'exit') process.exit(3)
    if (deed === 'hang') await new Promise(() => {})
    if (deed === 'spin') for (;;) {}
    if (deed === 'later') setTimeout(() => { throw new Error('thrown later') }, 1)
    if (deed === 'later') await new Promise(() => {})
    return request.tensors()
  }
}
`
const cleanups: (() => unknown)[] = []
const folder = handlerFolder(
  { after: (run) => cleanups.push(run as () => unknown) },
  { 'service.ts': SERVICE, 'model.json': { handler: 'service.ts' } },
)
process.on('exit', () => cleanups.forEach((run) => run()))
const MODELS = [`steps=${folder}`, path.resolve('examples/iris')]

function serverOfSteps(): ReturnType<typeof sharedServer> {
  return sharedServer(MODELS, { allowHandlers: true, responseTimeout: 3 })
}

const headers = { 'content-type': 'application/json' }
const body = JSON.stringify({ a: [[1, 2]], b: [[3, 4]] })

test('every protocol reaches the steps, and the model describes its tensors', async () => {
  const server = await serverOfSteps()
  const plain = await server.fetch('/predictions/steps', { method: 'POST', headers, body })
  assert.deepEqual(await json(plain), { sum: [[4, 6]], scaled: [[10, 20]] })
  const v1 = await server.fetch('/v1/models/steps:predict', {
    method: 'POST',
    headers,
    body: JSON.stringify({ instances: [{ a: [1, 2], b: [3, 4] }] }),
  })
  assert.deepEqual(await json(v1), { predictions: [{ sum: [4, 6], scaled: [10, 20] }] })
  const v2 = await server.fetch('/v2/models/steps/infer', {
    method: 'POST',
    headers,
    body: JSON.stringify({ inputs: [{ name: 'a', datatype: 'FP32', shape: [1], data: [1] }] }),
  })
  assert.equal(v2.status, 400)
  assert.deepEqual(Object.keys((await json(v2)) as object), ['error'])
})

test('a step that ends, throws later, hangs or spins costs its request only', async () => {
  const server = await serverOfSteps()
  for (const [deed, status] of [
    ['exit', 500],
    ['later', 500],
    ['hang', 504],
    ['spin', 504],
  ] as const) {
    const failing = server.fetch('/predictions/steps', {
      method: 'POST',
      headers: { ...headers, 'x-deed': deed },
      body,
    })
    const other = await server.fetch('/predictions/iris', {
      method: 'POST',
      headers,
      body: '{"features":[[5.1,3.5,1.4,0.2]]}',
    })
    assert.equal(other.status, 200, deed)
    assert.equal((await failing).status, status, deed)
    const next = await server.fetch('/predictions/steps', { method: 'POST', headers, body })
    assert.equal(next.status, 200, deed)
  }
})
