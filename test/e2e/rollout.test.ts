/** Rollouts of versions that are right, slow or crash, under requests. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import {
  behavingModel,
  call,
  endedRollout,
  rolloutOf,
  startClients,
} from '../helpers/behaving-versions.ts'
import { runOnnxd } from '../helpers/command-line.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import { serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const VERSIONS = {
  1: { delayMs: 4 },
  2: { delayMs: 4 },
  3: { delayMs: 400 },
  4: { delayMs: 4, crashes: true, batchSize: 1 },
  5: { delayMs: 4, errs: true },
}
const SETTINGS = { allowHandlers: true, load: 'none' }
const cleanups: (() => unknown)[] = []
const folder = behavingModel({ after: (run) => cleanups.push(run as () => unknown) }, VERSIONS)
after(() => cleanups.forEach((run) => run()))

/** The server of this file. Version 1 is the default, and has the label `stable`. */
async function server(t: TestContext): Promise<TestServer> {
  const running = await sharedServer([folder], SETTINGS)
  const reset = async (): Promise<void> => {
    await call(running, 'DELETE', '/rollout')
    assert.equal((await call(running, 'PUT', '/1/set-default')).status, 200)
    assert.equal((await call(running, 'PUT', '/routing', ROUTING)).status, 200)
  }
  await reset()
  t.after(reset)
  return running
}

const ROUTING = { labels: { stable: '1' }, weights: { stable: 1 }, sticky: { header: 'x-user' } }
/** A step ends with about 60 requests of the new version. */
const PLAN = { hold: 0.2, max_error_rate: 0.1, max_p99_ratio: 0 }

test('a good version is promoted step by step, and no request fails', async (t) => {
  const running = await server(t)
  const clients = startClients(running, (index) => `text ${index}`)
  t.after(() => clients.stop())
  const begun = await call(running, 'POST', '/rollout', { to: '2', steps: [50, 100], ...PLAN })
  assert.equal(begun.status, 200, JSON.stringify(begun.body))
  assert.deepEqual(
    [begun.body['state'], begun.body['share'], begun.body['from']],
    ['running', 50, ['1']],
  )
  const during = await call(running, 'GET', '/routing')
  assert.deepEqual(during.body, { ...ROUTING, weights: { stable: 50, 2: 50 } })

  const rollout = await endedRollout(running)
  await clients.stop()
  assert.equal(rollout.state, 'promoted', JSON.stringify(rollout))
  assert.deepEqual(
    rollout.history.map(({ event, share }) => `${event} ${share}`),
    ['started 50', 'step 100', 'promoted 100'],
  )
  assert.deepEqual(clients.failed, [])
  assert.deepEqual((await call(running, 'GET', '/routing')).body, { labels: ROUTING.labels })
  assert.equal((await call(running, 'GET', '')).body['modelVersion'], '2')
  const line = await running.logged(({ msg }) => msg === 'rollout promoted')
  assert.equal(line['version'], '2')
  assert.match(String(line['reason']), /^errors at most /)
  const metrics = parseMetrics(await (await running.manage('/metrics')).text())
  const stateOf = (state: string): number | undefined =>
    metrics.get(`onnxd_rollout_state{model="tool",state="${state}",version="2"}`)
  assert.deepEqual([stateOf('promoted'), stateOf('running')], [1, 0])
  assert.equal(metrics.get('onnxd_rollout_share{model="tool",version="2"}'), 1)
})

test('a slow version is rolled back, and the routing is as it was before', async (t) => {
  const running = await server(t)
  const clients = startClients(running, (index) => `text ${index}`)
  t.after(() => clients.stop())
  const plan = { to: '3', steps: [20, 100], ...PLAN, max_p99_ratio: 2 }
  assert.equal((await call(running, 'POST', '/rollout', plan)).status, 200)
  const rollout = await endedRollout(running)
  await clients.stop()
  assert.equal(rollout.state, 'rolled_back', JSON.stringify(rollout))
  assert.match(rollout.reason, /^latency: of \d+ requests of version 3, at least \d/)
  assert.deepEqual([rollout.share, rollout.history.length], [0, 2])
  assert.deepEqual((await call(running, 'GET', '/routing')).body, ROUTING)
  assert.equal((await call(running, 'GET', '')).body['modelVersion'], '1')
  assert.deepEqual(clients.failed, [])
})

test('a version with wrong responses is rolled back, if shadow traffic shows them', async (t) => {
  const running = await server(t)
  const plan = { to: '5', steps: [10, 100], ...PLAN, min_agreement: 0.95 }
  const refused = await call(running, 'POST', '/rollout', plan)
  assert.match(String(refused.body['message']), /^min_agreement needs shadow traffic to version 5/)
  t.after(() => call(running, 'DELETE', '/shadow'))
  assert.equal((await call(running, 'PUT', '/shadow', { version: '5', share: 1 })).status, 200)
  const clients = startClients(running, (index) => `text ${index}`)
  t.after(() => clients.stop())
  assert.equal((await call(running, 'POST', '/rollout', plan)).status, 200)
  const rollout = await endedRollout(running)
  await clients.stop()
  assert.equal(rollout.state, 'rolled_back', JSON.stringify(rollout))
  assert.match(rollout.reason, /^agreement: of \d+ responses of version 5, at least \d/)
  assert.deepEqual((await call(running, 'GET', '/routing')).body, ROUTING)
  assert.deepEqual(clients.failed, [])
})

test('a version that crashes on some inputs is rolled back, and fails only these requests', async (t) => {
  const running = await server(t)
  const clients = startClients(running, (index) => (index % 3 === 0 ? 'crash' : `text ${index}`))
  t.after(() => clients.stop())
  const plan = { to: '4', steps: [20, 100], ...PLAN }
  assert.equal((await call(running, 'POST', '/rollout', plan)).status, 200)
  const rollout = await endedRollout(running)
  await clients.stop()
  assert.equal(rollout.state, 'rolled_back', JSON.stringify(rollout))
  assert.match(rollout.reason, /^errors: of \d+ requests of version 4, at least \d/)
  assert.deepEqual((await call(running, 'GET', '/routing')).body, ROUTING)
  assert.deepEqual(
    clients.failed.filter(({ body }) => body !== 'crash'),
    [],
  )
})

test('without requests it waits; it can be paused, resumed and aborted; other changes are refused', async (t) => {
  const running = await server(t)
  const onnxd = (...args: string[]) =>
    runOnnxd(args, { environment: { ONNXD_URL: running.managementUrl } })
  const begun = await onnxd('rollout', 'tool', '--to', '2', '--steps', '5,50', '--hold', '0')
  assert.equal(begun.code, 0, begun.stderr)
  assert.match(begun.stdout, /^share +█░+ 5 %$/m)
  const waiting = await until(async () => {
    const rollout = await rolloutOf(running)
    return rollout.evidence?.length === 2 && rollout
  })
  assert.equal(waiting.step, 1)
  assert.match(
    waiting.waiting_for ?? '',
    /^the share of failed requests is not known yet; the share of slow requests is not known yet$/,
  )

  for (const [method, route, body] of [
    ['POST', '/rollout', { to: '2' }],
    ['PUT', '/routing', {}],
    ['DELETE', '/routing', undefined],
    ['PUT', '/2/set-default', undefined],
    ['DELETE', '/2', undefined],
    ['DELETE', '/1', undefined],
  ] as const) {
    const refused = await call(running, method, route, body)
    assert.equal(refused.status, 409, `${method} ${route}`)
    assert.match(
      String(refused.body['message']),
      /^Model tool has a rollout to version 2 that is running\./,
    )
  }
  const paused = await onnxd('rollout', 'tool', '--pause', '--json')
  assert.equal(JSON.parse(paused.stdout).state, 'paused')
  assert.equal(JSON.parse(paused.stdout).waiting_for, 'it is paused')
  const routing = await onnxd('routing', 'tool')
  assert.match(routing.stdout, /^2 +2 +5 +5 %$/m)
  assert.match(routing.stdout, /^stable +1 +95 +95 %$/m)
  assert.equal((await call(running, 'PUT', '/rollout', { paused: false })).body['state'], 'running')

  const watched = onnxd('rollout', 'tool', '--watch')
  const aborted = await onnxd('rollout', 'tool', '--abort')
  assert.match(aborted.stdout, /^state +aborted: a request asked for it$/m)
  assert.equal((await watched).code, 1)
  assert.match(
    (await watched).stdout,
    / {2}paused +5 % {2}a request.*\n.* {2}resumed .*\n.* {2}aborted +0 % /,
  )
  assert.deepEqual((await call(running, 'GET', '/routing')).body, ROUTING)
  for (const [method, body] of [
    ['DELETE', undefined],
    ['PUT', { paused: true }],
  ] as const) {
    const late = await call(running, method, '/rollout', body)
    assert.deepEqual(
      [late.status, late.body['message']],
      [409, 'The rollout of model tool has ended: aborted.'],
    )
  }
})

test('a rollout that cannot begin changes nothing and says why', async (t) => {
  const running = await server(t)
  await call(running, 'PUT', '/3?min_worker=0&synchronous=true')
  for (const [body, status, message] of [
    [{ to: '9' }, 404, /version: 9 does not exist/],
    [{ to: 'stable' }, 409, /Version 1 of model tool already gets all requests/],
    [{ to: '3' }, 409, /Version 3 of model tool has no workers/],
    [{ to: '2', min_agreement: 0.99 }, 409, /min_agreement needs shadow traffic to version 2/],
    [{ to: '2', steps: [9, 5] }, 400, /larger than the one before/],
    [{ steps: [9] }, 400, /to/],
    [[], 400, /object/],
  ] as const) {
    const refused = await call(running, 'POST', '/rollout', body)
    assert.equal(refused.status, status, JSON.stringify(refused.body))
    assert.match(String(refused.body['message']), message)
  }
  await call(running, 'PUT', '/3?min_worker=1&synchronous=true')
  assert.deepEqual((await call(running, 'GET', '/routing')).body, ROUTING)
  assert.equal((await running.manage('/models/none/rollout')).status, 404)
  const broken = { method: 'PUT', body: '{"paused": 1}' }
  assert.equal((await running.manage('/models/tool/rollout', broken)).status, 400)
})

test('a rollout goes on at its step after the server was killed', async (t) => {
  const settings = { ...SETTINGS, stateDir: temporaryFolder(t) }
  const first = await serve(t, [folder], settings)
  assert.equal((await call(first, 'GET', '/rollout')).status, 404)
  assert.equal((await call(first, 'PUT', '/1/set-default')).status, 200)
  const plan = { to: '2', steps: [50, 100], ...PLAN }
  assert.equal((await call(first, 'POST', '/rollout', plan)).status, 200)
  assert.equal((await call(first, 'PUT', '/rollout', { paused: true })).status, 200)
  const before = await rolloutOf(first)
  await first.kill()

  const second = await serve(t, [folder], settings)
  const restored = await rolloutOf(second)
  assert.deepEqual(restored.history, before.history)
  assert.deepEqual([restored.state, restored.step], ['paused', 1])
  assert.deepEqual((await call(second, 'GET', '/routing')).body, { weights: { 1: 50, 2: 50 } })
  assert.equal((await call(second, 'PUT', '/rollout', { paused: false })).status, 200)
  const clients = startClients(second, (index) => `text ${index}`)
  const rollout = await endedRollout(second)
  await clients.stop()
  assert.equal(rollout.state, 'promoted', JSON.stringify(rollout))
  assert.deepEqual(clients.failed, [])
  await second.kill()

  const third = await serve(t, [folder], settings)
  assert.equal((await call(third, 'GET', '')).body['modelVersion'], '2')
  assert.deepEqual((await call(third, 'GET', '/routing')).body, {})
  assert.deepEqual((await rolloutOf(third)).history, rollout.history)
})
