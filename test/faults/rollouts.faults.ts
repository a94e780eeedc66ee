/** Rollouts at full size: how often they decide wrongly, bad versions under load, kills. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import {
  behavingModel,
  call,
  endedRollout,
  rolloutOf,
  startClients,
} from '../helpers/behaving-versions.ts'
import { randomNumbers, testSeed } from '../helpers/random.ts'
import { sizeOf } from '../helpers/server-process.ts'
import { serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { simulate } from '../helpers/simulated-rollout.ts'
import { reportFigure } from './figures.ts'

const ROLLOUTS = sizeOf('ONNXD_FAULT_ROLLOUTS', 2000)
const KILLS = sizeOf('ONNXD_FAULT_KILLS', 20)
const SETTINGS = { allowHandlers: true, load: 'none' }
const seed = testSeed()
const random = randomNumbers(seed)

test(`identical versions are promoted, seed ${seed}`, { timeout: 3_000_000 }, (t) => {
  const present = { errors: 0.01, medianMs: 10, wrong: 0.001 }
  const plan = { steps: [5, 25, 100], max_p99_ratio: 1, min_agreement: 0.99 }
  const states = Array.from(
    { length: ROLLOUTS },
    () => simulate(plan, present, present, random).record.state,
  )
  const back = states.filter((state) => state === 'rolled_back').length
  assert.ok(!states.includes('running'), 'no rollout is held')
  const isMet = back < ROLLOUTS * 0.02
  const seen = `${back} of ${ROLLOUTS}`
  reportFigure(t, { what: 'identical versions rolled back', goal: 'below 2 %', seen, isMet })
  assert.ok(isMet, seen)
})

test('of versions under load, the right one is promoted and each bad one is rolled back', async (t) => {
  const folder = behavingModel(t, {
    1: { delayMs: 20 },
    2: { delayMs: 20 },
    3: { delayMs: 60 },
    4: { delayMs: 2, crashes: true, batchSize: 1 },
  })
  const server = await serve(t, [folder], SETTINGS)
  const clients = startClients(server, (index) => (index % 9 === 0 ? 'crash' : `text ${index}`))
  t.after(() => clients.stop())
  const limits = { hold: 1, max_error_rate: 0.02 }
  for (const [to, ratio, state, reason] of [
    ['2', 3, 'promoted', /^errors at most/],
    ['3', 1.5, 'rolled_back', /^latency: /],
    ['4', 0, 'rolled_back', /^errors: /],
  ] as const) {
    assert.equal((await call(server, 'PUT', '/1/set-default')).status, 200)
    const plan = { to, steps: [10, 50, 100], ...limits, max_p99_ratio: ratio }
    assert.equal((await call(server, 'POST', '/rollout', plan)).status, 200)
    const rollout = await endedRollout(server, 120_000)
    assert.equal(rollout.state, state, JSON.stringify(rollout))
    assert.match(rollout.reason, reason)
    assert.deepEqual((await call(server, 'GET', '/routing')).body, {})
  }
  await clients.stop()
  assert.deepEqual(
    clients.failed.filter(({ body }) => body !== 'crash'),
    [],
  )
})

test(`after a kill at any moment the state is one of the legal ones, seed ${seed}`, async (t) => {
  const folder = behavingModel(t, { 1: { delayMs: 2 }, 2: { delayMs: 2 } })
  const settings = { ...SETTINGS, stateDir: temporaryFolder(t) }
  const steps = [30, 60, 100]
  const seen = new Set<string>()
  let server = await serve(t, [folder], settings)
  const begin = async (): Promise<void> => {
    assert.equal((await call(server, 'PUT', '/1/set-default')).status, 200)
    const plan = { to: '2', steps, hold: 0, max_error_rate: 0.3, max_p99_ratio: 0 }
    assert.equal((await call(server, 'POST', '/rollout', plan)).status, 200)
  }
  await begin()
  for (let kill = 0; kill < KILLS; kill += 1) {
    const clients = startClients(server, (index) => `text ${index}`)
    await new Promise((resolve) => setTimeout(resolve, random.integer(1, 3000)))
    if (random.next() < 0.2) void call(server, 'DELETE', '/rollout').catch(() => {})
    await server.kill()
    await clients.stop()
    server = await serve(t, [folder], settings)
    const rollout = await rolloutOf(server)
    seen.add(rollout.state)
    await assertLegal(server, rollout.state, rollout.share)
    if (rollout.state !== 'running') await begin()
  }
  t.diagnostic(`states after ${KILLS} kills: ${[...seen].join(', ')}`)
  const clients = startClients(server, (index) => `text ${index}`)
  const { state } = await endedRollout(server)
  await clients.stop()
  await assertLegal(server, state, 100)
  assert.equal(state, 'promoted')
})

async function assertLegal(server: TestServer, state: string, share: number): Promise<void> {
  const { body: routing } = await call(server, 'GET', '/routing')
  const version = (await call(server, 'GET', '')).body['modelVersion']
  const weights = share === 100 ? { 2: 1 } : { 1: 100 - share, 2: share }
  const legal = state === 'running' ? [{ weights }, '1'] : [{}, state === 'promoted' ? '2' : '1']
  assert.ok(isDeepStrictEqual([routing, version], legal), JSON.stringify([state, routing, version]))
}
