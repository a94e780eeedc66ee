/** Started as the servers it replaces are started: their configuration file, SageMaker's variables, one port. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { json, temporaryFolder, until } from '../helpers/server.ts'

const FLOWER = {
  method: 'POST',
  body: '{"features":[[5.1,3.5,1.4,0.2]]}',
  headers: { 'content-type': 'application/json' },
}
const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url))

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

async function start(
  t: TestContext,
  args: string[],
  environment: NodeJS.ProcessEnv,
): Promise<{ stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [CLI, 'serve', ...args], {
    env: { ...process.env, ...environment },
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
  t.after(() => child.kill('SIGKILL'))
  await until(() => output.stdout.includes('ready') || child.exitCode !== null, 60_000)
  assert.equal(child.exitCode, null, output.stderr)
  return output
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
  const { stderr } = await start(t, ['--config', file], {})
  assert.match(stderr, /load_models: load = iris/)
  assert.match(stderr, /vmargs=\S+ is ignored: /)
  assert.equal((await fetch(`http://127.0.0.1:${inference}/predictions/iris`, FLOWER)).status, 200)
  const described = (await json(await fetch(`http://127.0.0.1:${management}/models/iris`))) as {
    responseTimeout: number
  }
  assert.equal(described.responseTimeout, 7)
})

test('a SageMaker multi-model endpoint finds everything on one port', async (t) => {
  const folder = store(t)
  const port = await freePort()
  await start(t, [], {
    SAGEMAKER_BIND_TO_PORT: String(port),
    SAGEMAKER_MULTI_MODEL: 'true',
    SAGEMAKER_MODEL_STORE: folder,
  })
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
