/** The commands that talk to a running server, with a real server. */
import assert from 'node:assert/strict'
import { copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { ServerClient } from '../../../src/command/client/server-client.ts'
import type { CommandInput } from '../../../src/command/program/outcome.ts'
import { runOnnxd } from '../../helpers/command-line.ts'
import type { CommandResult } from '../../helpers/command-line.ts'
import { temporaryFolder } from '../../helpers/server.ts'
import type { TestServer } from '../../helpers/server.ts'
import { sharedServer } from '../../helpers/shared-server.ts'

const iris = path.resolve('examples/iris')
const network = path.join(iris, 'model.onnx')

/** Runs commands against the server of this file. */
async function commands(
  t: TestContext,
): Promise<{ onnxd: (...args: string[]) => Promise<CommandResult>; server: TestServer }> {
  const server = await sharedServer([iris], { allowLocalPaths: true })
  t.after(async () => {
    for (const name of ['flowers', 'folder']) {
      await server.manage(`/models/${name}`, { method: 'DELETE' })
    }
  })
  const environment = {
    ONNXD_URL: server.managementUrl,
    ONNXD_INFERENCE_URL: server.inferenceUrl,
  }
  return { server, onnxd: (...args) => runOnnxd(args, { environment }) }
}

test('ps shows each worker, and list each version', async (t) => {
  const { onnxd } = await commands(t)
  const ps = await onnxd('ps')
  assert.match(
    ps.stdout,
    /^MODEL +VERSION +WORKER +PID +STATUS +MEMORY +UP +RESTARTS\niris +1\.0 +1 +\d+ +ready +\d\S* MiB +\S+ m?s +0\n$/,
  )
  const { workers } = JSON.parse((await onnxd('ps', '--json')).stdout)
  assert.deepEqual([workers.length, workers[0].model, workers[0].status], [1, 'iris', 'READY'])
  assert.match((await onnxd('list')).stdout, /^iris +1\.0 \* +ready +1\/1 +0 +64 /m)
  const { models } = JSON.parse((await onnxd('list', '--json')).stdout)
  assert.deepEqual(models[0].workers, { ready: 1, wanted: 1 })
  assert.equal(models[0].isDefault, true)
})

test('show prints inputs, outputs and the settings that are not the default', async (t) => {
  const { onnxd } = await commands(t)
  const { code, stdout } = await onnxd('show', 'iris')
  assert.equal(code, 0)
  assert.match(stdout, /^Inputs\n {2}features {2}FP32 {2}\[N, 4\]$/m)
  assert.match(stdout, /^ {2}batchSize {2}64 {2}from model\.json$/m)
  assert.equal(JSON.parse((await onnxd('show', 'iris:1.0', '--json')).stdout).modelVersion, '1.0')
})

test('a model is uploaded, scaled, made the default and removed', async (t) => {
  const { onnxd, server } = await commands(t)
  const file = path.join(temporaryFolder(t), 'flowers.onnx')
  copyFileSync(network, file)
  const loaded = await onnxd('load', file, '--model-version', '1', '--set', 'batch_size=4')
  assert.match(
    loaded.stdout,
    /^flowers\.onnx is served as flowers after [\d.]+ m?s\.\n$/,
    loaded.stderr,
  )
  const [first] = JSON.parse((await onnxd('list', '--json')).stdout).models
  assert.deepEqual([first.modelName, first.batchSize], ['flowers', 4])
  await onnxd('load', file, '--model-version', '2', '-w', '0')
  assert.equal(
    (await onnxd('default', 'flowers', '2')).stdout,
    '2 is the default version of flowers.\n',
  )
  assert.equal((await onnxd('scale', 'flowers:2', '1')).stdout, 'flowers:2 has 1 worker.\n')
  const response = await server.fetch('/predictions/flowers', {
    method: 'POST',
    body: '{"features":[[1,2,3,4]]}',
    headers: { 'content-type': 'application/json' },
  })
  assert.equal(response.status, 200)
  const removed = await onnxd('rm', 'flowers:1', 'flowers')
  assert.equal(removed.stdout, 'flowers:1 is unregistered.\nflowers is unregistered.\n')
})

test('load tells the name of the model, and what to do otherwise', async (t) => {
  const { onnxd, server } = await commands(t)
  const folder = path.join(temporaryFolder(t), 'flowers')
  mkdirSync(folder)
  const file = path.join(folder, 'model.onnx')
  copyFileSync(network, file)
  const loaded = await onnxd('load', file, '-w', '0')
  assert.match(loaded.stdout, /^model\.onnx is registered as flowers after /, loaded.stderr)
  const again = await onnxd('load', file)
  assert.equal(again.code, 1)
  assert.match(again.stderr, /^onnxd: Model flowers 1\.0 is already registered\. Choose .*--name/)
  const odd = path.join(folder, 'größe.onnx')
  copyFileSync(network, odd)
  t.after(() => server.manage('/models/gr__e', { method: 'DELETE' }))
  assert.match((await onnxd('load', odd)).stdout, /^größe\.onnx is served as gr__e after /)
  const empty = path.join(folder, 'empty.onnx')
  writeFileSync(empty, '')
  for (const [source, code, problem] of [
    ['./nosuch.onnx', 2, /^onnxd: The file \.\/nosuch\.onnx does not exist\.\n$/],
    [empty, 2, /empty\.onnx is empty\.\n$/],
    ['nosuch', 1, /--model-store, or upload the model\. This machine has no such file either\.\n$/],
  ] as const) {
    const result = await onnxd('load', source)
    assert.equal(result.code, code, result.stderr)
    assert.match(result.stderr, problem)
  }
  const wrong = await onnxd('load', odd, '-w', 'many')
  assert.match(wrong.stderr, /^onnxd: --workers must be a whole number, not "many"\.\n$/)
})

test('a folder is registered by its path', async (t) => {
  const { onnxd } = await commands(t)
  const folder = path.join(temporaryFolder(t), 'folder')
  cpSync(iris, folder, { recursive: true })
  const { code, stderr } = await onnxd('load', folder, '--name', 'folder')
  assert.equal(code, 0, stderr)
  assert.match((await onnxd('list')).stdout, /^folder +1\.0 \* +ready/m)
})

test('mistakes get one sentence, with the name that was meant', async (t) => {
  const { onnxd } = await commands(t)
  const broken = path.join(temporaryFolder(t), 'broken.onnx')
  writeFileSync(broken, 'this is no model')
  for (const [args, code, problem] of [
    [['show', 'irs'], 1, /^onnxd: The server has no model "irs"\. Did you mean iris\?\n$/],
    [
      ['rm', 'zzz'],
      1,
      /^onnxd: The server has no model "zzz"\. Run "onnxd list" to list the models\.\n$/,
    ],
    [['default', 'iris', '7'], 1, /version: 7 does not exist.*Versions: 1\.0\.\n$/],
    [['scale', 'iris', 'two'], 2, /^onnxd: N must be a whole number, not "two"\.\n$/],
    [['load', broken], 1, /^onnxd: Failed to start workers: The \.onnx file is a text file, .*\n$/],
    [['load', broken, '--set', 'batchsize=1'], 1, /Did you mean batch_size\?\n$/],
    [['load', broken, '--set', 'x'], 2, /--set must be PARAMETER=VALUE/],
    [['ps', '--url', 'ftp://x'], 2, /"ftp:\/\/x" is not the URL of a server/],
    [
      ['ps', '--url', '127.0.0.1:1'],
      1,
      /No server responds at http:\/\/127\.0\.0\.1:1\. Start one/,
    ],
    [['bench', 'irs'], 1, /^onnxd: The server at http\S+ has no model "irs"/],
    // A port that fetch refuses.
    [['bench', 'iris', '--url', '127.0.0.1:6667'], 1, /No server responds at http\S+:6667\./],
    [['bench', 'iris', '-d', '{'], 1, /^onnxd: The request was refused with 400: /],
    [['bench', 'iris', '-c', '2', '-r', '5'], 2, /either --clients .* or --rate/],
  ] as const) {
    const result = await onnxd(...args)
    assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`)
    assert.match(result.stderr, problem)
    assert.doesNotMatch(result.stderr, /\n {4}at /)
  }
  const asJson = await onnxd('show', 'irs', '--json')
  assert.match(JSON.parse(asJson.stdout).error, /Did you mean iris/)
})

test('the token comes from the environment', async (t) => {
  const server = createServer((request, response) => {
    const isRight = request.headers.authorization === 'Bearer secret'
    response.statusCode = isRight ? 200 : 401
    response.end(isRight ? '{"models":[]}' : '{}')
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const [none, wrong, right] = await Promise.all(
    [{}, { ONNXD_MANAGEMENT_TOKEN: 'x' }, { ONNXD_MANAGEMENT_TOKEN: 'secret\n' }].map(
      (environment) => runOnnxd(['list', '--url', url], { environment }),
    ),
  )
  assert.match(none?.stderr ?? '', /requires a token\. Set ONNXD_MANAGEMENT_TOKEN/)
  assert.match(wrong?.stderr ?? '', /is not the token of this server/)
  assert.equal(right?.stdout, 'No models. Add one with onnxd load.\n')
})

/** Starts a server that gives every request the same response. Returns its URL. */
async function otherServer(t: TestContext, status: number, body: string): Promise<string> {
  const server = createServer((request, response) => {
    request.resume()
    response.writeHead(status).end(body)
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('a server that says nothing, or never ends, is not waited for', async (t) => {
  const server = createServer((request, response) => {
    if (request.url === '/silent') return
    response.write('[')
    const timer = setInterval(() => response.write('1,'), 20)
    response.on('close', () => clearInterval(timer))
  }).listen(0, '127.0.0.1')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { signal } = new AbortController()
  const input = { flags: { url }, environment: {}, signal } as unknown as CommandInput
  const client = new ServerClient(input, 300)
  for (const route of ['/silent', '/endless']) {
    await assert.rejects(client.call('GET', route), /did not respond within 0\.3 seconds/, route)
  }
})

test('a server of another kind is named as such, whatever JSON it sends', async (t) => {
  const strange = ['[]', '{"models":5}', '{"models":[{}]}', '<html>', ' '.repeat(65 * 1024 * 1024)]
  for (const body of strange) {
    const url = await otherServer(t, 200, body)
    const { code, stderr } = await runOnnxd(['list', '--url', url])
    assert.equal(code, 1)
    assert.match(stderr, /^onnxd: The response is not from the management listener of onnxd\./)
  }
  const show = await runOnnxd(['show', 'x', '--url', await otherServer(t, 200, '[{}]')])
  assert.match(show.stderr, /^onnxd: The response is not from the management listener of onnxd\./)
})

test('an error of a server cannot control the terminal', async (t) => {
  const message = 'a\u001b[31m\u009b2J\u001b]0;title\u0007b'
  const url = await otherServer(t, 500, JSON.stringify({ message }))
  const plain = await runOnnxd(['ps', '--url', url])
  assert.equal(plain.stderr, 'onnxd: a [31m 2J ]0;title b\n')
  const json = await runOnnxd(['ps', '--json', '--url', url])
  assert.doesNotMatch(json.stdout, /(?!\n)\p{Cc}/u)
  assert.equal(JSON.parse(json.stdout).error, message)
})

test('bench measures a closed and an open loop, and draws a histogram', async (t) => {
  const { onnxd } = await commands(t)
  const closed = await onnxd('bench', 'iris', '-s', '0.3', '-c', '2', '--warm-up', '0')
  assert.equal(closed.code, 0, closed.stderr)
  assert.match(closed.stdout, /^load +closed loop, 2 clients, 0\.3 s, 24 B per request$/m)
  assert.match(closed.stdout, /^errors +0$/m)
  assert.match(
    closed.stdout,
    /^ *LATENCY +REQUESTS\n(?: *≤ [\d.]+ m?s +[\d ]+(?: {2}[█▏▎▍▌▋▊▉]+)?\n)+$/m,
  )
  const open = await onnxd('bench', 'iris', '-s', '0.3', '-r', '50', '--warm-up', '0', '--json')
  const { loop, requests, errors, latencyMs } = JSON.parse(open.stdout)
  assert.deepEqual([loop, requests, errors], ['open', 15, 0])
  assert.ok(latencyMs.p50 > 0 && latencyMs.p50 <= latencyMs.p99)
})
