/** Parameters of registration and scaling that are more than a number. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { modelNames } from '../helpers/observe.ts'
import { json } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const iris = path.resolve('examples/iris')
const network = readFileSync(path.join(iris, 'model.onnx'))
const digest = createHash('sha256').update(network).digest('hex')

async function refusal(answer: Response): Promise<{ status: number; message: string }> {
  const { message } = (await json(answer)) as { message: string }
  return { status: answer.status, message }
}

const register = (server: TestServer, query: string): Promise<Response> =>
  server.manage(`/models?url=${iris}&${query}`, { method: 'POST' })

test('a digest for a model that is on the machine already is refused, not ignored', async () => {
  const server = await sharedServer([], { allowLocalPaths: true })
  assert.deepEqual(await refusal(await register(server, `sha256=${digest}`)), {
    status: 400,
    message: 'Parameter sha256 is only valid for models that are uploaded or downloaded.',
  })
})

test('the runtime must be the model’s own', async () => {
  const server = await sharedServer([], { allowLocalPaths: true })
  assert.equal((await register(server, 'runtime=node&model_name=own')).status, 200)
  assert.deepEqual(await refusal(await register(server, 'runtime=python3&model_name=other')), {
    status: 400,
    message: 'Invalid RuntimeType value: python3. The runtime of this model is node.',
  })
  assert.deepEqual(await refusal(await register(server, 'runtime=ruby&model_name=other')), {
    status: 400,
    message:
      'Invalid RuntimeType value: ruby. The known runtimes are node, python, python2 and python3.',
  })
  assert.deepEqual(await modelNames(server), ['own'])
})

test('preload_model and number_gpu are taken, checked and change nothing', async () => {
  const server = await sharedServer([], { allowLocalPaths: true })
  assert.equal((await register(server, 'preload_model=true')).status, 200)
  assert.equal((await register(server, 'preload_model=perhaps&model_name=b')).status, 400)
  const scale = (query: string): Promise<Response> =>
    server.manage(`/models/iris?synchronous=true&${query}`, { method: 'PUT' })
  assert.equal((await scale('min_worker=2&number_gpu=1')).status, 200)
  assert.equal((await scale('min_worker=2&number_gpu=-1')).status, 400)
  const { workers } = (await json(await server.manage('/models/iris'))) as {
    workers: { gpu: boolean }[]
  }
  assert.deepEqual(
    workers.map(({ gpu }) => gpu),
    [false, false],
  )
})
