/** A worker's memory limit costs the request that goes over it, nothing else. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { json, needsShared, serve, shared } from '../helpers/server.ts'

test(
  'a request that asks for more memory than a worker may have is 507, and the worker goes on',
  { skip: needsShared },
  async (t) => {
    const file = path.join(shared ?? '', 'hostile', 'onnx', 'shape_input.onnx')
    const server = await serve(t, [`fill=${file}`], { workerMemoryMib: 700 })
    assert.deepEqual(server.failed, [])
    const { metadata, workers } = (await json(await server.manage('/models/fill'))) as {
      metadata: { inputs: { name: string }[] }
      workers: { pid: number }[]
    }
    const input = metadata.inputs[0]?.name ?? ''
    const ask = (shape: number[]): Promise<Response> =>
      server.fetch('/predictions/fill', {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/octet-stream' },
        body: JSON.stringify({ [input]: shape }),
      })
    const small = await ask([6])
    assert.equal(small.status, 200, await small.clone().text())
    const huge = await ask([1_600_000_000])
    assert.equal(huge.status, 507, await huge.clone().text())
    assert.equal(((await json(huge)) as { type: string }).type, 'InsufficientMemoryException')
    assert.equal((await ask([6])).status, 200)
    const after = (await json(await server.manage('/models/fill'))) as {
      workers: { pid: number }[]
    }
    assert.equal(after.workers[0]?.pid, workers[0]?.pid)
  },
)
