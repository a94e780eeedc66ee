/** `onnxd profile` and `POST /models/{model}/profile`, with a real server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Profile } from '../../../src/models/profiling/profiler.ts'
import { RequestCopies } from '../../../src/models/profiling/request-copies.ts'
import { runOnnxd } from '../../helpers/command-line.ts'
import { handlerModel } from '../../helpers/handler-model.ts'
import { FLOWER, iris } from '../../helpers/server-process.ts'
import { json, serve, until } from '../../helpers/server.ts'
import type { TestServer } from '../../helpers/server.ts'

/** Sends requests until the returned function is called. */
function traffic({ fetch }: TestServer, bodies: readonly string[]): () => Promise<number> {
  let isOver = false
  const send = async (): Promise<number> => {
    let sent = 0
    for (; !isOver; sent += 1) {
      const body = bodies[sent % bodies.length] ?? ''
      await (await fetch('/predictions/iris', { ...FLOWER, body })).text()
    }
    return sent
  }
  const sending = send()
  return () => {
    isOver = true
    return sending
  }
}

test('operators are measured with copies of live requests; the serving worker goes on', async (t) => {
  const server = await serve(t, [iris])
  const bad = '{"features":[[1]]}'
  const stop = traffic(server, [FLOWER.body, FLOWER.body, FLOWER.body, bad])
  const query = 'requests=100&seconds=60'
  const response = await server.manage(`/models/iris/profile?${query}`, { method: 'POST' })
  const sent = await stop()
  assert.equal(response.status, 200)
  const profile = (await json(response)) as Profile & { modelName: string }
  assert.equal(profile.modelName, 'iris')
  assert.ok(profile.requests > 1 && profile.requests <= Math.min(64, sent), `${profile.requests}`)
  assert.ok(profile.failed > 0, 'requests of the wrong shape are no runs')
  assert.equal(profile.runs + profile.failed, 101, 'the first run is the one after the load')
  const names = profile.operators.map(({ operator }) => operator)
  assert.ok(names.includes('LinearClassifier') || names.includes('Gemm'), names.join())
  const shares = profile.operators.reduce((sum, { share }) => sum + share, 0)
  assert.ok(Math.abs(shares - 1) < 0.01, `${shares}`)
  for (const { calls, ms, outputBytes } of profile.operators) {
    assert.ok(calls >= 1 && ms >= 0 && outputBytes > 0)
  }
  assert.ok(profile.msPerRun > 0)
  const described = (await json(await server.manage('/models/iris'))) as {
    workers: { restarts: number }[]
  }
  assert.deepEqual(
    described.workers.map(({ restarts }) => restarts),
    [0],
  )
})

test('few requests are run again, and the command draws the result', async (t) => {
  const server = await serve(t, [iris])
  const environment = { ONNXD_URL: server.managementUrl }
  const running = runOnnxd(['profile', 'iris', '-n', '50', '-s', '2'], { environment })
  let isOver = false
  void running.then(() => (isOver = true))
  // Some requests: the profile begins when its worker is ready, and a copy is taken from then on.
  while (!isOver) {
    await (await server.fetch('/predictions/iris', FLOWER)).text()
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const { code, stdout, stderr } = await running
  assert.equal(code, 0, stderr)
  assert.match(stdout, /^iris 1\.0: 5[01] runs of \d+ requests, \S+ m?s in the model$/m)
  assert.match(stdout, /^\w+ +\d+ +\S+ ms +\S+ B +\d+\.\d % +█/m)
  assert.match(stdout, /^SLOWEST NODE +OPERATOR +TIME +SHARE$/m)
})

test('what cannot be measured is refused, and a profile ends with its client', async (t) => {
  const tool = handlerModel(t, 'tool', { workers: 1 })
  const server = await serve(t, [iris, tool], { allowHandlers: true })
  const post = (path: string, signal: AbortSignal | null = null): Promise<Response> =>
    server.manage(path, { method: 'POST', signal })
  const code = await post('/models/tool/profile')
  assert.equal(code.status, 400)
  assert.match(await code.text(), /custom handler/)
  assert.equal((await post('/models/none/profile')).status, 404)
  assert.equal((await post('/models/iris/1.0/profile?requests=0')).status, 400)
  const idle = await post('/models/iris/1.0/profile?seconds=1')
  assert.equal(idle.status, 503)
  assert.match(await idle.text(), /got no request within 1 s\..* onnxd bench iris\./)

  const left = new AbortController()
  const first = post('/models/iris/profile?seconds=600', left.signal)
  const started = ({ msg, worker }: Record<string, unknown>) =>
    worker === 0 && String(msg).includes('output')
  await server.logged(started)
  await until(async () => (await post('/models/iris/profile')).status === 409)
  left.abort()
  await assert.rejects(first)
  // Another one may run as soon as the first has ended.
  await until(async () => (await post('/models/iris/profile?seconds=1')).status === 503)
  const forged = { ...FLOWER.headers, 'onnxd-profile': 'end' }
  const answer = await server.fetch('/predictions/iris', { ...FLOWER, headers: forged })
  assert.equal(answer.status, 200, await answer.text())
})

test('copies are bounded, and new ones come before old ones', async () => {
  const copies = new RequestCopies()
  const value = Buffer.from('one')
  copies.offer([], [{ name: 'body', contentType: '', value }])
  value.fill(0)
  const never = new AbortController().signal
  assert.equal((await copies.nextNew(never))?.parameters[0]?.value.toString(), 'one')
  const waiting = copies.nextNew(never)
  copies.offer([], [])
  assert.deepEqual((await waiting)?.parameters, [])
  assert.equal(await copies.nextNew(AbortSignal.abort()), undefined)
  assert.equal(copies.again()?.parameters.length, 1)
  assert.equal(copies.again()?.parameters.length, 0)
  assert.equal(copies.again()?.parameters.length, 1)
  for (let index = 0; index < 100; index += 1) copies.offer([], [])
  assert.equal(copies.count, 64)
  const large = new RequestCopies()
  large.offer([], [{ name: 'body', contentType: '', value: Buffer.alloc(65 * 1024 * 1024) }])
  assert.equal(large.count, 0)
})
