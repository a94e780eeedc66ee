/**
 * Starts onnxd like the servers that it replaces: with their configuration file, with SageMaker's
 * variables, on one port.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cpSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { json, start, temporaryFolder } from '../helpers/server.ts'

const FLOWER = {
  method: 'POST',
  body: '{"features":[[5.1,3.5,1.4,0.2]]}',
  headers: { 'content-type': 'application/json' },
}

function store(t: TestContext): string {
  const folder = temporaryFolder(t)
  cpSync(path.resolve('examples/iris'), path.join(folder, 'iris'), { recursive: true })
  return folder
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

test('a config.properties is applied where it applies, and the rest is listed with its reason', async (t) => {
  const folder = store(t)
  const [inference, management] = [await freePort(), await freePort()]
  const file = path.join(folder, 'config.properties')
  writeFileSync(
    file,
    [
      `inference_address=http://127.0.0.1:${inference}`,
      `management_address=http://127.0.0.1:${management}`,
      `model_store=${folder}`,
      'load_models=iris',
      'default_response_timeout_seconds=7',
      'vmargs=-Xmx1g',
    ].join('\n'),
  )
  const server = await start(t, ['--config', file])
  const messages = server.messages.join('\n')
  assert.match(messages, /load_models: load = iris/)
  assert.match(messages, /vmargs=\S+ is ignored: /)
  assert.equal((await server.fetch('/predictions/iris', FLOWER)).status, 200)
  assert.equal(server.inferenceUrl, `http://127.0.0.1:${inference}`)
  assert.equal(server.managementUrl, `http://127.0.0.1:${management}`)
  const described = (await json(await server.manage('/models/iris'))) as {
    responseTimeout: number
  }
  assert.equal(described.responseTimeout, 7)
})

test('a SageMaker multi-model endpoint finds everything on one port', async (t) => {
  const folder = store(t)
  const port = await freePort()
  const environment = {
    SAGEMAKER_BIND_TO_PORT: String(port),
    SAGEMAKER_MULTI_MODEL: 'true',
    SAGEMAKER_MODEL_STORE: folder,
    // Several HTTP processes need a management listener.
    ONNXD_HTTP_PROCESSES: '1',
  }
  await start(t, [], { environment })
  const call = async (route: string, init?: RequestInit): Promise<[number, unknown]> => {
    const answer = await fetch(`http://127.0.0.1:${port}${route}`, init)
    return [answer.status, await json(answer)]
  }
  const body = JSON.stringify({ model_name: 'flowers', url: path.join(folder, 'iris') })
  const registration = { method: 'POST', body, headers: { 'content-type': 'application/json' } }
  assert.deepEqual(await call('/ping'), [200, { status: 'Healthy' }])
  assert.equal((await call('/execution-parameters'))[0], 200)
  assert.deepEqual(await call('/models', registration), [200, { status: 'Workers scaled' }])
  assert.equal((await call('/models', registration))[0], 409)
  assert.equal((await call('/models/flowers/invoke', FLOWER))[0], 200)
  assert.equal((await call('/invocations', FLOWER))[0], 200)
  assert.equal((await call('/models'))[0], 200)
  assert.equal((await call('/models/flowers'))[0], 200)
  assert.equal((await call('/models/flowers', { method: 'DELETE' }))[0], 200)
  assert.equal((await call('/models/flowers/invoke', FLOWER))[0], 404)
})
