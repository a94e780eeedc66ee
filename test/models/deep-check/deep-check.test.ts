/** Deep checks on a registration, with a real server; and what ends one. */
import assert from 'node:assert/strict'
import path from 'node:path'
import test from 'node:test'
import { DeepCheck } from '../../../src/models/deep-check/deep-check.ts'
import type { DeepCheckReport } from '../../../src/models/deep-check/deep-check.ts'
import { MemoryGuard } from '../../../src/models/workers/memory-guard.ts'
import { runOnnxd } from '../../helpers/command-line.ts'
import { allWorkerPids } from '../../helpers/observe.ts'
import { FLOWER, iris } from '../../helpers/server-process.ts'
import { childrenOf, json, serve, until } from '../../helpers/server.ts'
import type { TestServer } from '../../helpers/server.ts'

async function reportOf(server: TestServer, model: string): Promise<DeepCheckReport | undefined> {
  const [described] = (await json(await server.manage(`/models/${model}/all`))) as {
    deepCheck?: DeepCheckReport
  }[]
  return described?.deepCheck
}

/** Processes of a server that serve no client. */
async function trialPids(server: TestServer): Promise<number[]> {
  const serving = new Set(await allWorkerPids(server))
  return childrenOf(server.pid).filter((pid) => !serving.has(pid))
}

test('a registration can ask for a check, which no other request notices', async (t) => {
  const server = await serve(t, [iris], { allowLocalPaths: true })
  assert.equal(await reportOf(server, 'iris'), undefined)
  const query = `url=${encodeURIComponent(iris)}&model_name=flowers&deep_check=true`
  const registered = await server.manage(`/models?${query}`, { method: 'POST' })
  assert.equal(registered.status, 200)
  assert.ok(['waiting', 'running'].includes((await reportOf(server, 'flowers'))?.status ?? ''))
  await until(async () => (await trialPids(server)).length > 0)
  assert.equal((await server.fetch('/predictions/iris', FLOWER)).status, 200)
  // A version that is removed takes its check along.
  const second = await server.manage(`/models?${query.replace('flowers', 'others')}`, {
    method: 'POST',
  })
  assert.equal(second.status, 200)
  assert.equal((await reportOf(server, 'others'))?.status, 'waiting')
  assert.equal((await server.manage('/models/others', { method: 'DELETE' })).status, 200)
  const report = await until(async () => {
    const now = await reportOf(server, 'flowers')
    return now?.status === 'done' ? now : undefined
  }, 60_000)
  assert.deepEqual(
    report.findings.map(({ level, subject }) => [level, subject]),
    [
      ['ok', 'load'],
      ['ok', 'requests'],
      ['ok', 'batching'],
      ['ok', 'optimization'],
    ],
    JSON.stringify(report.findings),
  )
  assert.ok(report.speeds.length >= 3)
  assert.ok((report.load?.peakBytes ?? 1e8) > 1e7)
  await until(async () => (await trialPids(server)).length === 0)
  const { stdout } = await runOnnxd(['show', 'flowers'], {
    environment: { ONNXD_URL: server.managementUrl },
  })
  assert.match(stdout, /^Deep check\n {2}✓ load .*\n {2}✓ requests +The model accepts 4 requests/m)
  assert.match(stdout, /^ +THREADS +BATCH +REQUESTS\/S/m)
  // A version that is removed while it is checked ends the process of the check.
  await server.manage(`/models?${query.replace('flowers', 'others')}`, { method: 'POST' })
  await until(async () => (await trialPids(server)).length > 0)
  assert.equal((await server.manage('/models/others', { method: 'DELETE' })).status, 200)
  assert.deepEqual(await trialPids(server), [])
})

test('a model that does not fit into the memory is not loaded', async () => {
  const prepared = { name: 'iris', modelPath: path.resolve('examples/iris'), settings: {} }
  const factory = {
    share: () => Promise.resolve(),
    start: () => assert.fail('a process was started'),
  }
  const model = { prepared, settings: { threads: 1, batchSize: 1 }, factory }
  const check = new DeepCheck(model as never, new MemoryGuard(() => Promise.resolve(1000)))
  const report = await check.run(1000, new AbortController().signal)
  assert.equal(report.status, 'failed')
  assert.match(report.findings[0]?.text ?? '', /Model iris needs about \d+ MiB .*0 MiB are left/)
  assert.deepEqual(check.report, report)
})
