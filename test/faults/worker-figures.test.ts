/** Block W: what one model that misbehaves costs others, and its own innocent requests. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { workersOf } from '../helpers/observe.ts'
import { until } from '../helpers/server.ts'
import { quantile, reportFigure } from './figures.ts'
import { assertUnharmed, heldBy, size, startLaboratory } from './harness.ts'
import type { Laboratory } from './harness.ts'
import { LEAST, division, divisionModel, scriptModel } from './script-model.ts'
import { SteadyLoad, post } from './steady-load.ts'

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Makes every body another one, so that no quarantine ends an attack. */
let nonce = 0
const script = (code: string) => (): [model: string, body: string, type: string] => [
  'script',
  `${code} //${nonce++}`,
  'text/plain',
]

/** Requests of an attack, which follow one another without a pause. */
const ATTACKS: Readonly<Record<string, () => [model: string, body: string, type: string]>> = {
  exits: script('process.exit(1)'),
  spins: script('for (;;) {}'),
  floods: script(
    `const x = ('x'.repeat(99) + '\\n').repeat(1000); for (;;) process.stdout.write(x)`,
  ),
  leaks: script(`(globalThis.kept ??= []).push(Buffer.alloc(50 * 2 ** 20, 1)); return ['leaked']`),
  crashes: () => ['div', division(LEAST, -1, nonce++ % 10_000), 'application/json'],
}

/** Runs an attack until the function that it returns is called. */
function attack(server: Laboratory, name: string): () => Promise<void> {
  const next = ATTACKS[name]
  assert.ok(next)
  const agent = new http.Agent()
  let isOver = false
  const running = (async (): Promise<void> => {
    while (!isOver) {
      const [model, body, type] = next()
      const [status] = await post(`${server.inferenceUrl}/predictions/${model}`, agent, body, type)
      // A crash loop that is too quick closes its own model, which ends the attack.
      if (status === 503) await pause(20)
    }
  })()
  return async () => {
    isOver = true
    await running
  }
}

const flowers = (server: Laboratory): SteadyLoad =>
  new SteadyLoad({
    url: `${server.inferenceUrl}/predictions/reference`,
    everyMs: 10,
    wish: () => ({
      body: '{"features":[[5.1,3.5,1.4,0.2]]}',
      isRight: (status, text) => status === 200 && text.includes('"label":["setosa"]'),
    }),
  })

test(
  'W05 W07 W11 W14 what one model does costs another no request',
  { timeout: 900_000 },
  async (t) => {
    const server = await startLaboratory(t, {
      settings: { queueSize: 10_000, workerMemoryMib: 700, logLevel: 'warn' },
      models: (cleanup) => [scriptModel(cleanup, 'script'), divisionModel(cleanup, 'div')],
    })
    const before = heldBy(server)
    const load = flowers(server)
    const measure = async (ms: number): Promise<number> => {
      load.times = []
      await pause(ms)
      return quantile(load.times, 0.99)
    }
    const periodMs = size(300, 4000)
    await measure(size(300, 2000))
    const seen: string[] = []
    let isMet = true
    for (const name of Object.keys(ATTACKS)) {
      const idle: number[] = []
      const attacked: number[] = []
      for (let round = 0; round < size(1, 5); round += 1) {
        idle.push(await measure(periodMs))
        const end = attack(server, name)
        attacked.push(await measure(periodMs))
        await end()
      }
      const [idleMs, attackedMs] = [quantile(idle, 0.5), quantile(attacked, 0.5)]
      const times = attackedMs / idleMs
      isMet &&= times <= 1.5
      seen.push(`${name} ${times.toFixed(1)} (${idleMs.toFixed(1)} to ${attackedMs.toFixed(1)} ms)`)
    }
    await load.stop()
    reportFigure(t, {
      what: 'p99 of another model while one exits, spins, floods, leaks, crashes',
      goal: '≤ 1.5 × idle, 0 errors',
      seen: `× idle: ${seen.join(', ')}; ${load.problems.length} errors of ${load.sent}`,
      isMet: isMet && load.problems.length === 0,
    })
    assert.deepEqual(load.problems.slice(0, 5), [])
    await assertUnharmed(server, before)
  },
)

test(
  'W04 innocent requests are served while others crash workers',
  { timeout: 300_000 },
  async (t) => {
    const server = await startLaboratory(t, {
      settings: { workers: 2, queueSize: 10_000, logLevel: 'warn' },
      models: (cleanup) => [divisionModel(cleanup, 'div')],
    })
    const before = heldBy(server)
    const agent = new http.Agent({ keepAlive: true })
    const url = `${server.inferenceUrl}/predictions/div`
    let isOver = false
    let served = 0
    const clients = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const [status, text] = await post(url, agent, division(++nonce, 1))
        if (status === 200) served += 1
        else problems.push(`${status} ${text}`)
      }
    })
    const problems: string[] = []
    const perSecond = async (ms: number): Promise<number> => {
      const from = performance.now()
      const servedBefore = served
      await pause(ms)
      return ((served - servedBefore) * 1000) / (performance.now() - from)
    }
    const periodMs = size(500, 5000)
    await perSecond(size(300, 2000))
    for (const [what, everyMs, spaces] of [
      ['the same poison, 10 a second', 100, () => 0],
      ['another poison each second', 1000, () => ++nonce % 10_000],
    ] as const) {
      const shares: number[] = []
      for (let round = 0; round < size(1, 6); round += 1) {
        // The next period begins with both workers, and without the delays of earlier restarts.
        await until(async () =>
          (await workersOf(server, 'div')).every(({ status }) => status === 'READY'),
        )
        const without = await perSecond(periodMs)
        const poison = new SteadyLoad({
          url,
          everyMs,
          wish: () => ({ body: division(LEAST, -1, spaces()), isRight: () => true }),
        })
        shares.push((await perSecond(periodMs)) / without)
        await poison.stop()
      }
      const share = quantile(shares, 0.5)
      reportFigure(t, {
        what: `throughput of innocent requests while poison arrives: ${what}`,
        goal: '≥ 80 % of that without',
        seen: `${Math.round(share * 100)} %`,
        isMet: share >= 0.8,
      })
      assert.ok(share > 0.05, `${share}`)
    }
    isOver = true
    await Promise.all(clients)
    agent.destroy()
    // Each kill takes what is at the worker with it, once: two in a row lose a request.
    t.diagnostic(`${problems.length} innocent requests lost of ${served}`)
    assert.deepEqual(problems.slice(0, 5), [])
    await assertUnharmed(server, before)
  },
)
