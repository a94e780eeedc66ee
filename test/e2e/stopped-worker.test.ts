/** A worker that somebody stopped (SIGSTOP), through HTTP. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { serve, until } from '../helpers/server.ts'

test('E15: requests do not wait for a stopped worker until their timeout; it is replaced', async (t) => {
  const server = await serve(t, [iris], { responseTimeout: 600 })
  const described = await (await server.manage('/models/iris')).text()
  const worker = Number(/"pid": ?(\d+)/.exec(described)?.[1])
  process.kill(worker, 'SIGSTOP')
  const answer = await server.fetch('/predictions/iris', FLOWER)
  assert.equal(answer.status, 200)
  const death = await until(() => server.logLines.find(({ msg }) => msg === 'worker died'))
  assert.deepEqual(
    [death.pid, death.cause],
    [worker, 'The worker was stopped by a signal.'],
    JSON.stringify(death),
  )
  const metrics = await (await server.manage('/metrics')).text()
  assert.match(metrics, /^onnxd_worker_restarts_total\{.*cause="signal".*\} 1$/m)
})
