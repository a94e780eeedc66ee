/** What SageMaker asks of a container besides predictions. */
import assert from 'node:assert/strict'
import { cpSync, rmSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { largeFile } from '../helpers/large-file.ts'
import { modelNames } from '../helpers/observe.ts'
import { childrenOf, json, serve, temporaryFolder } from '../helpers/server.ts'

const MIB = 1024 * 1024
const iris = path.resolve('examples/iris')

/** The example model with weights that fit in no memory. */
function tooLarge(t: TestContext): { folder: string; weights: string } {
  const folder = path.join(temporaryFolder(t), 'iris')
  cpSync(iris, folder, { recursive: true })
  return { folder, weights: largeFile(folder) }
}

test('a model that does not fit in the memory that is left is refused with 507 before a process is started', async (t) => {
  const { folder, weights } = tooLarge(t)
  const server = await serve(t, [], { allowLocalPaths: true, checkMemory: true })
  const register = (): Promise<Response> =>
    server.manage('/models', {
      method: 'POST',
      body: JSON.stringify({ model_name: 'flowers', url: folder }),
      headers: { 'content-type': 'application/json' },
    })
  const refused = await register()
  const { code, type, message } = (await json(refused)) as Record<string, unknown>
  assert.deepEqual([refused.status, code, type], [507, 507, 'InsufficientMemoryException'])
  assert.match(String(message), /^Model flowers needs about \d+ MiB .* \d+ MiB are left\.$/)
  assert.deepEqual(await modelNames(server), [])
  assert.deepEqual(childrenOf(server.pid), [])
  // The platform makes room and tries again.
  rmSync(weights)
  assert.equal((await register()).status, 200)
})

test('memory is not looked at unless it is asked for', async (t) => {
  const server = await serve(t, [tooLarge(t).folder])
  assert.deepEqual(await modelNames(server), ['iris'])
})

test('batch transform is told how many requests, of which size, of one record each', async (t) => {
  const parameters = async (
    models: readonly string[],
    settings: Parameters<typeof serve>[2],
  ): Promise<unknown> =>
    json(await (await serve(t, models, settings)).fetch('/execution-parameters'))
  const expected = (concurrent: number, mib: number): unknown => ({
    MaxConcurrentTransforms: concurrent,
    BatchStrategy: 'SINGLE_RECORD',
    MaxPayloadInMB: mib,
  })
  assert.deepEqual(await parameters([], {}), expected(1, 16))
  assert.deepEqual(await parameters([], { workers: 2, batchSize: 5 }), expected(10, 10))
  assert.deepEqual(await parameters([], { workers: 0, maxBodyBytes: 1000 }), expected(1, 1))
  // The model's own batches of 64 count, as far as the platform's limit for all requests lets them.
  assert.deepEqual(await parameters([iris], { batchSize: 2 }), expected(16, 6))
  assert.deepEqual(await parameters([], { maxJsonBytes: 64 * MIB }), expected(1, 64))
})
