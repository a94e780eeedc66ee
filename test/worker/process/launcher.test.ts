/** `onnxd-worker`: started as Python is, and a process for each connection as in MMS. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { temporaryFolder, childrenOf, isAlive } from '../../helpers/server.ts'
import { until } from '../../helpers/until.ts'
import {
  LAUNCHER,
  loadRequest,
  modelFolder,
  startWorker,
  wireRequest,
} from '../../helpers/worker-client.ts'
import type { TestWorker, WorkerClient } from '../../helpers/worker-client.ts'

const SERVICE = `
import { spawn } from 'node:child_process'
export function handle(data) {
  if (data === undefined) return
  return data.map(({ body }) => {
    if (String(body) === 'spin') for (;;) {}
    if (String(body) === 'child') return String(spawn('sleep', ['300']).pid)
    return String(process.pid)
  })
}
`

async function launch(t: TestContext, preload = 'false'): Promise<[TestWorker, string]> {
  const modelPath = await modelFolder(t, { 'service.mjs': SERVICE })
  const folder = temporaryFolder(t)
  const worker = await startWorker(t, {
    folder,
    entry: LAUNCHER,
    args: [
      '/opt/mms/model_service_worker.py',
      '--sock-type',
      'unix',
      '--sock-name',
      path.join(folder, 'w.sock'),
      '--handler',
      'service.mjs:handle',
      '--model-path',
      modelPath,
      '--model-name',
      'm',
      '--preload-model',
      preload,
    ],
  })
  return [worker, modelPath]
}

async function load(worker: TestWorker, modelPath: string): Promise<[WorkerClient, pid: number]> {
  const client = await worker.connect()
  const reply = await client.load(loadRequest({ modelPath }))
  assert.equal(reply.code, 200, reply.message)
  return [client, Number(/\[PID\]:(\d+)$/.exec(reply.message)?.[1])]
}

async function ask(client: WorkerClient, body: string): Promise<string | undefined> {
  const reply = await client.predict([wireRequest([['body', body]])])
  return reply.predictions[0]?.body.toString()
}

test('each connection has a process, which ends with it', async (t) => {
  const [worker, modelPath] = await launch(t)
  const [[first, firstPid], [second, secondPid]] = [
    await load(worker, modelPath),
    await load(worker, modelPath),
  ]
  assert.equal(new Set([worker.pid, firstPid, secondPid]).size, 3)
  assert.equal(await ask(first, 'pid'), String(firstPid))
  // One that computes does not hold up the other.
  const lost = assert.rejects(ask(first, 'spin'))
  assert.equal(await ask(second, 'pid'), String(secondPid))
  process.kill(firstPid, 'SIGKILL')
  await lost
  assert.equal(await ask(second, 'pid'), String(secondPid))
  second.socket.destroy()
  await until('both processes are gone', () => childrenOf(worker.pid).length === 0)
  const [, thirdPid] = await load(worker, modelPath)
  assert.ok(isAlive(thirdPid), 'the launcher goes on')
  await worker.stop()
  await until('it ends with the launcher', () => !isAlive(thirdPid))
})

test('E11: what a model has started ends with its connection, and with the launcher', async (t) => {
  for (const endsLauncher of [false, true]) {
    const [worker, modelPath] = await launch(t)
    const [client] = await load(worker, modelPath)
    const { predictions } = await client.predict([wireRequest([['body', 'child', '']])])
    const child = Number(predictions[0]?.body)
    assert.ok(isAlive(child))
    if (endsLauncher) await worker.stop()
    else client.socket.destroy()
    await until('it is gone', () => !isAlive(child))
  }
})

test('a preloaded model is there once, in one process', async (t) => {
  const [worker, modelPath] = await launch(t, 'true')
  const pids = [(await load(worker, modelPath))[1], (await load(worker, modelPath))[1]]
  assert.deepEqual(pids, [worker.pid, worker.pid])
})

test('other scripts of the front-end are passed over; a wrong command line is refused', () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [LAUNCHER, ...args], { encoding: 'utf8', timeout: 20_000 })
  const metrics = run('mms/metrics/metric_collector.py', '--gpu', '0')
  assert.deepEqual([metrics.status, metrics.stdout, metrics.stderr], [0, '', ''])
  const wrong = run('/opt/mms/model_service_worker.py', '--sock-type', 'pigeon')
  assert.equal(wrong.status, 2)
  assert.match(wrong.stderr, /--sock-type must be unix or tcp/)
})
