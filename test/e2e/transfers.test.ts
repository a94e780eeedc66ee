/** A model on its way: `GET /models` shows how far it has come, and the log says so. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import type { ClientRequest, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { modelNames } from '../helpers/observe.ts'
import { json, serve, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const network = readFileSync(path.resolve('examples/iris/model.onnx'))
const half = network.length >> 1
const HEAD =
  '--b\r\nContent-Disposition: form-data; name="model"; filename="slow.onnx"\r\nContent-Type: application/octet-stream\r\n\r\n'
const TAIL = '\r\n--b--\r\n'

interface Shown {
  readonly kind: string
  readonly fileName?: string
  readonly modelUrl?: string
  readonly bytes: number
  readonly totalBytes?: number
  readonly startedAt: string
}

const transfers = async (server: TestServer): Promise<Shown[] | undefined> =>
  ((await json(await server.manage('/models'))) as { transfers?: Shown[] }).transfers

/** Begins an upload and returns it with what will be its status. */
function beginUpload(
  server: TestServer,
  headers: Record<string, string | number> = {},
): { request: ClientRequest; status: Promise<number> } {
  const { port } = new URL(server.managementUrl)
  const request = httpRequest({
    port,
    method: 'POST',
    path: '/models',
    headers: { 'content-type': 'multipart/form-data; boundary=b', ...headers },
  })
  const status = new Promise<number>((resolve, reject) => {
    request.once('error', reject)
    request.once('response', (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
  })
  // Who breaks the request off does not wait for its status.
  status.catch(() => {})
  return { request, status }
}

test('an upload is listed with its bytes while it comes, and gone when it is there', async (t) => {
  const server = await serve(t, [])
  assert.equal(await transfers(server), undefined)
  const totalBytes = HEAD.length + network.length + TAIL.length
  const { request, status } = beginUpload(server, { 'content-length': totalBytes })
  request.write(HEAD)
  const [begun] = await until(async () => (await transfers(server)) ?? false)
  assert.deepEqual([begun?.kind, begun?.totalBytes], ['upload', totalBytes])
  assert.ok(Math.abs(Date.now() - Date.parse(begun?.startedAt ?? '')) < 60_000)
  request.write(network.subarray(0, half))
  const [grown] = await until(async () => {
    const listed = await transfers(server)
    return listed?.[0]?.bytes === HEAD.length + half ? listed : false
  })
  assert.equal(grown?.fileName, 'slow.onnx')
  request.end(Buffer.concat([network.subarray(half), Buffer.from(TAIL)]))
  assert.equal(await status, 200)
  assert.equal(await transfers(server), undefined)
  assert.deepEqual(await modelNames(server), ['slow'])
  await server.close()
  const logged = server.logLines.filter(({ msg }) => msg === 'model transfer running')
  assert.deepEqual(
    logged.map(({ kind }) => kind),
    ['upload'],
  )
})

test('an upload that is broken off is listed no more', async (t) => {
  const server = await serve(t, [])
  const { request } = beginUpload(server)
  request.write(HEAD)
  request.write(network.subarray(0, half))
  await until(async () => (await transfers(server))?.[0]?.fileName === 'slow.onnx')
  request.destroy()
  await until(async () => (await transfers(server)) === undefined)
  assert.deepEqual(await modelNames(server), [])
})

/** Answers each request with the first half of a network; the rest is for the test to send. */
async function slowOrigin(
  t: TestContext,
): Promise<{ address: string; answers: readonly ServerResponse[] }> {
  const answers: ServerResponse[] = []
  const origin = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': network.length })
    response.write(network.subarray(0, half))
    answers.push(response)
  })
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    origin.closeAllConnections()
    origin.close()
  })
  return { address: `http://127.0.0.1:${(origin.address() as AddressInfo).port}`, answers }
}

test('a download is listed with its address, without what may be a signature', async (t) => {
  const { address, answers } = await slowOrigin(t)
  const server = await serve(t, [], { allowedOrigins: [address], allowPrivateAddresses: true })
  const url = encodeURIComponent(`${address}/slow.onnx?signature=secret`)
  const registering = server.manage(`/models?url=${url}`, { method: 'POST' })
  const [shown] = await until(async () => {
    const listed = await transfers(server)
    return listed?.[0]?.bytes === half ? listed : false
  })
  assert.deepEqual(
    [shown?.kind, shown?.modelUrl, shown?.totalBytes],
    ['download', `${address}/slow.onnx`, network.length],
  )
  for (const answer of answers) answer.end(network.subarray(half))
  assert.equal((await registering).status, 200)
  assert.equal(await transfers(server), undefined)
})
