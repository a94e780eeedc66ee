/** A pipeline is ready when the models of its steps are. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { after, test } from 'node:test'
import { GrpcTestClient } from '../helpers/grpc.ts'
import { ownModels } from '../helpers/own-models.ts'
import { writePipeline } from '../helpers/pipelines.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'

const ofFile: Cleanup = { after: (run) => after(run as () => void) }
const FOLDER = temporaryFolder(ofFile)
const STEP = {
  model: 'simple',
  inputs: { INPUT0: 'a', INPUT1: 'b' },
  outputs: { OUTPUT0: 'sum', OUTPUT1: 'difference' },
}
const OUTER = { model: 'twice', inputs: { a: 'c', b: 'd' }, outputs: { sum: 'e' } }
const SIMPLE = path.join(ownModels(), 'simple')

interface Entry {
  readonly name: string
  readonly state?: string
  readonly reason?: string
}

/** What the routes say about a model: of readiness, of management, of the index, of gRPC. */
async function said(it: TestServer, name: string): Promise<Record<string, unknown>> {
  const [v2, versioned, v1] = await Promise.all(
    [`/v2/models/${name}/ready`, `/v2/models/${name}/versions/1.0/ready`, `/v1/models/${name}`].map(
      async (route) => {
        const response = await it.fetch(route)
        return [response.status, await json(response)]
      },
    ),
  )
  assert.deepEqual(versioned, v2)
  assert.deepEqual(v1, v2)
  const described = (await json(await it.manage(`/models/${name}`))) as {
    status: string
    reason?: string
  }
  const index = await it.manage('/v2/repository/index', { method: 'POST', body: '{}' })
  const entry = ((await json(index)) as Entry[]).find((one) => one.name === name)
  return { v2, status: described.status, described: described.reason, index: entry }
}

function expected(name: string, reason?: string): Record<string, unknown> {
  const isReady = reason === undefined
  return {
    v2: [isReady ? 200 : 503, { name, ready: isReady, ...(reason && { reason }) }],
    status: isReady ? 'READY' : 'UNAVAILABLE',
    described: reason,
    index: {
      name,
      version: '1.0',
      state: isReady ? 'READY' : 'UNAVAILABLE',
      ...(reason && { reason }),
    },
  }
}

test('without a step a pipeline is not ready and names it; with it, it is', async (t) => {
  const pipelines = [
    writePipeline(FOLDER, 'twice', [STEP]),
    writePipeline(FOLDER, 'outer', [OUTER]),
  ]
  const it = await serve(t, pipelines, { allowLocalPaths: true, grpcPort: 0 })
  const client = new GrpcTestClient(t, it.grpcAddress)
  const reason = 'Step 1 (model simple): Model not found: simple'
  assert.deepEqual(await said(it, 'twice'), expected('twice', reason))
  assert.deepEqual(await said(it, 'outer'), expected('outer', `Step 1 (model twice): ${reason}`))
  assert.deepEqual(await client.ask('ModelReady', { name: 'twice' }), { ready: false })
  // The server is: what it has can serve.
  assert.equal((await it.fetch('/v2/health/ready')).status, 200)
  assert.equal((await it.fetch('/ping')).status, 200)

  const url = `/models?url=${encodeURIComponent(SIMPLE)}&initial_workers=1&synchronous=true`
  assert.equal((await it.manage(url, { method: 'POST' })).status, 200)
  assert.deepEqual(await said(it, 'twice'), expected('twice'))
  assert.deepEqual(await said(it, 'outer'), expected('outer'))
  assert.deepEqual(await client.ask('ModelReady', { name: 'twice' }), { ready: true })

  assert.equal((await it.manage('/models/simple', { method: 'DELETE' })).status, 200)
  assert.deepEqual(await said(it, 'twice'), expected('twice', reason))
})
