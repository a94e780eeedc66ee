/** What is left of the workers when the server ends. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { acceptedRequests, workersOf } from '../helpers/observe.ts'
import type { WorkerInfo } from '../helpers/observe.ts'
import { childrenOf, isAlive, serve, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const ask = (server: TestServer, body: string): Promise<Response> =>
  server.fetch('/predictions/tool', {
    method: 'POST',
    body,
    headers: { 'content-type': 'text/plain' },
  })

const workers = (server: TestServer): Promise<WorkerInfo[]> => workersOf(server, 'tool')

test('closing the server finishes accepted requests and leaves no process', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true, workers: 2 })
  const pids = (await workers(server)).map(({ pid }) => pid)
  const gate = newGate(t)
  const accepted = Array.from({ length: 4 }, () => ask(server, `wait:${gate.path}`))
  await until(async () => (await acceptedRequests(server, 'tool')) === 4)
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
