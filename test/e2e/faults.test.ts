/** Workers that die, hang or misbehave cost one worker; the server answers, replaces it and says what happened. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { failedModels, queuedRequests, workersOf } from '../helpers/observe.ts'
import type { WorkerInfo } from '../helpers/observe.ts'
import { childrenOf, isAlive, json, needsShared, serve, shared, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const ask = (server: TestServer, body: string, model = 'tool'): Promise<Response> =>
  server.fetch(`/predictions/${model}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'text/plain' },
  })

const workers = (server: TestServer): Promise<WorkerInfo[]> => workersOf(server, 'tool')

async function pidOf(server: TestServer): Promise<number> {
  return ((await json(await ask(server, 'pid'))) as { pid: number }).pid
}

test('a worker killed between requests is replaced, and the log and the description say why', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true })
  const first = await pidOf(server)
  process.kill(first, 'SIGKILL')
  await until(
    async () =>
      (await workers(server))[0]?.restarts === 1 && (await workers(server))[0]?.status === 'READY',
  )
  assert.notEqual(await pidOf(server), first)
  assert.match((await workers(server))[0]?.lastFailure ?? '', /SIGKILL/)
  await server.logged((line) => line.msg === 'worker died' && /SIGKILL/.test(String(line.cause)))
})

test('a request that was running when its worker was killed is answered by the next worker when the model may repeat it', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool', { idempotent: true })], {
    allowHandlers: true,
  })
  const first = await pidOf(server)
  const gate = newGate(t)
  const slow = ask(server, `wait:${gate.path}`)
  const queued = Array.from({ length: 10 }, (_, index) => ask(server, `echo:${index}`))
  await until(async () => (await queuedRequests(server, 'tool')) > 0)
  process.kill(first, 'SIGKILL')
  gate.open()
  assert.equal((await slow).status, 200)
  const answers = await Promise.all(
    queued.map(async (answer) => [(await answer).status, await (await answer).text()]),
  )
  assert.deepEqual(
    answers,
    Array.from({ length: 10 }, (_, index) => [200, String(index)]),
  )
})

test('code that must not run twice gets an honest error, and what was queued is served', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true })
  const first = await pidOf(server)
  const slow = ask(server, 'sleep:5000')
  const queued = ask(server, 'echo:still here')
  await until(async () => (await queuedRequests(server, 'tool')) > 0)
  process.kill(first, 'SIGKILL')
  const answer = await slow
  assert.equal(answer.status, 500)
  assert.deepEqual(await json(answer), {
    code: 500,
    type: 'InternalServerException',
    message: 'Worker died: it was killed by SIGKILL.',
  })
  assert.equal(await (await queued).text(), 'still here')
})

for (const [verb, status, pattern] of [
  ['exit:0', 500, /exited with code 0/],
  ['exit:7', 500, /exited with code 7/],
  ['signal:SIGSEGV', 500, /SIGSEGV/],
  ['signal:SIGABRT', 500, /SIGABRT/],
  ['later:', 500, /exited with code 1/],
  ['throw:on purpose', 503, /Prediction failed/],
] as const) {
  test(`a handler that does ${verb} costs at most one worker, and the next request works`, async (t) => {
    const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true })
    const answer = await ask(server, verb)
    assert.equal(answer.status, status)
    assert.match(await answer.text(), pattern)
    assert.equal(await (await ask(server, 'echo:alive')).text(), 'alive')
  })
}

test('a handler that hangs is killed at the deadline, with its children, and the next request works', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], {
    allowHandlers: true,
    responseTimeout: 1,
  })
  const first = await pidOf(server)
  const { pid: grandchild } = (await json(await ask(server, 'child:'))) as { pid: number }
  const started = performance.now()
  const [hung, next] = await Promise.all([ask(server, 'spin:'), ask(server, 'echo:after')])
  assert.equal(hung.status, 504)
  assert.equal(((await json(hung)) as { type: string }).type, 'ResponseTimeoutException')
  assert.ok(performance.now() - started >= 990)
  assert.equal(await next.text(), 'after')
  await until(() => !isAlive(first) && !isAlive(grandchild))
})

test('running out of memory in JavaScript is said as such', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], {
    allowHandlers: true,
    workerHeapMib: 64,
  })
  const answer = await ask(server, 'heap:')
  assert.equal(answer.status, 507)
  assert.equal(await (await ask(server, 'echo:alive')).text(), 'alive')
})

test(
  'a crash in native code spares the server, and the same request is not run a third time',
  { skip: needsShared },
  async (t) => {
    const file = path.join(shared ?? '', 'hostile', 'onnx', 'div_int.onnx')
    const server = await serve(t, [`div=${file}`])
    assert.deepEqual(await failedModels(server), [])
    const { metadata } = (await json(await server.manage('/models/div'))) as {
      metadata: { inputs: { name: string; shape: number[] }[] }
    }
    const names = metadata.inputs.map(({ name }) => name)
    const divide = (a: number, b: number): Promise<Response> =>
      server.fetch('/predictions/div', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ [names[0] ?? '']: [a], [names[1] ?? '']: [b] }),
      })
    const fine = await divide(4, 2)
    assert.equal(fine.status, 200, await fine.clone().text())
    const poison = await divide(-2147483648, -1)
    if (poison.status === 200) return t.diagnostic('this processor does not trap on -2^31 / -1')
    assert.equal(poison.status, 500)
    assert.match(await poison.text(), /SIGFPE/)
    assert.equal((await divide(9, 3)).status, 200)
    await server.close()
    assert.equal(server.logLines.filter((line) => line.msg === 'worker died').length, 2)
  },
)

test(
  'a model whose workers keep dying is given up, visibly, while another is not touched',
  { timeout: 60_000 },
  async (t) => {
    const server = await serve(t, [handlerModel(t, 'tool'), handlerModel(t, 'other')], {
      allowHandlers: true,
    })
    // It cannot be told from a kill by the system, for which no request is to blame.
    const statuses: number[] = []
    for (let round = 0; round < 6; round += 1)
      statuses.push((await ask(server, 'signal:SIGKILL')).status)
    assert.deepEqual(statuses, [500, 500, 500, 500, 500, 503])
    const refused = await ask(server, 'echo:x')
    assert.equal(refused.status, 503)
    assert.ok(Number(refused.headers.get('retry-after')) > 0)
    assert.equal(
      ((await json(await server.manage('/models/tool'))) as { status: string }).status,
      'FAILED',
    )
    assert.equal(await (await ask(server, 'echo:fine', 'other')).text(), 'fine')
  },
)

test('E13: requests that crash workers do not close their model; the same body is rejected after two', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], {
    allowHandlers: true,
    crashQuarantine: 60,
  })
  const statuses: number[] = []
  for (let round = 0; round < 6; round += 1)
    statuses.push((await ask(server, `exit:${round + 1}`)).status)
  assert.deepEqual(statuses, [500, 500, 500, 500, 500, 500])
  assert.equal(await (await ask(server, 'echo:x')).text(), 'x')
  assert.equal((await ask(server, 'exit:1')).status, 500)
  const pid = await pidOf(server)
  const rejected = await ask(server, 'exit:1')
  assert.equal(rejected.status, 422)
  assert.ok(Number(rejected.headers.get('retry-after')) > 50)
  assert.equal(((await json(rejected)) as { type: string }).type, 'CrashingRequestException')
  assert.equal(await pidOf(server), pid, 'no worker saw it')
})

test('a client that leaves while its request waits costs no worker time', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true })
  const pid = await pidOf(server)
  const gate = newGate(t)
  const slow = ask(server, `wait:${gate.path}`)
  const leaving = new AbortController()
  const left = server.fetch('/predictions/tool', {
    method: 'POST',
    body: 'exit:3',
    headers: { 'content-type': 'text/plain' },
    signal: leaving.signal,
  })
  left.catch(() => {})
  await until(async () => (await queuedRequests(server, 'tool')) === 1)
  leaving.abort()
  await until(async () => (await queuedRequests(server, 'tool')) === 0)
  gate.open()
  assert.equal((await slow).status, 200)
  assert.equal(await pidOf(server), pid, 'the dropped request would have ended the worker')
})

test('what a handler answers cannot break the HTTP connection', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true })
  for (const [request, status] of [
    ['status:201,Made', 201],
    ['status:100', 500],
    ['status:700', 500],
    ['status:204', 204],
    ['header:["transfer-encoding","chunked"]', 200],
    ['header:["content-length","3"]', 200],
    ['header:["x-bad","a\\r\\nset-cookie: b"]', 200],
    ['type:text/html\r\nx: y', 200],
  ] as const) {
    const answer = await ask(server, request)
    assert.equal(answer.status, status, request)
    assert.equal(answer.headers.get('set-cookie'), null)
    await answer.arrayBuffer()
  }
  assert.equal(await (await ask(server, 'echo:alive')).text(), 'alive')
})

test('closing the server finishes accepted requests and leaves no process', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true, workers: 2 })
  const pids = (await workers(server)).map(({ pid }) => pid)
  const gate = newGate(t)
  const accepted = Array.from({ length: 4 }, () => ask(server, `wait:${gate.path}`))
  await until(async () => (await queuedRequests(server, 'tool')) === 2)
  assert.deepEqual(pids.toSorted(), childrenOf(server.pid).toSorted())
  const closed = server.close()
  gate.open()
  await closed
  assert.deepEqual(
    await Promise.all(accepted.map(async (answer) => (await answer).status)),
    [200, 200, 200, 200],
  )
  await until(() => pids.every((pid) => !isAlive(pid)))
})
