/** Block W: workers that die, hang or are stopped. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { failedModels, queuedRequests, workerPids, workersOf } from '../helpers/observe.ts'
import { iris } from '../helpers/server-process.ts'
import { isAlive, temporaryFolder, until } from '../helpers/server.ts'
import { quantile, reportFigure } from './figures.ts'
import { assertError, block, isFull, rowsOfOneProcess, size } from './harness.ts'
import type { Answer, Laboratory } from './harness.ts'
import {
  LEAST,
  codeModel,
  division,
  divisionModel,
  endlessFolder,
  scriptModel,
} from './script-model.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
/** Idle machines need a fifth of it. */
const SOON_MS = 5000
/** For rows with many rounds at full size. */
const LONG = { timeout: 600_000 }

/** Whether requests of a batch share a run, and places of the one that crashes workers. */
const W04_QUICK = [['auto', [3]]] as const
const W04_FULL = [
  ['auto', [0, 1, 2, 3, 4, 5, 6, 7]],
  ['never', [0, 3, 7]],
] as const

const row = block({
  models: (t) => [handlerModel(t, 'tool'), scriptModel(t, 'script'), divisionModel(t, 'div')],
})
const workerRow = rowsOfOneProcess(row, 'the worker that gets a request')
const crashRow = rowsOfOneProcess(row, 'its list of crashes')

async function pidOf(server: Laboratory, model = 'tool'): Promise<number> {
  const [pid] = await workerPids(server, model)
  assert.ok(pid)
  return pid
}

/** Waits until another worker has replaced the only one. Returns the time in milliseconds. */
async function replaced(server: Laboratory, model: string, pid: number): Promise<number> {
  const from = performance.now()
  await until(async () => {
    const [worker] = await workersOf(server, model)
    return worker !== undefined && worker.pid !== pid && worker.status === 'READY'
  })
  return performance.now() - from
}

/** Causes of the deaths of a model's workers, as the log has them. */
const deaths = (server: Laboratory, model: string): string[] =>
  server.logLines
    .filter((line) => line.msg === 'worker died' && line.model === model)
    .map(({ cause }) => String(cause))

for (const [kind, idempotent] of [
  ['may', true],
  ['may not', false],
] as const) {
  workerRow(
    'W01',
    `a worker is killed with a request that ${kind} run again; what waits is served`,
    async (server, t) => {
      const name = `kill-${idempotent}`
      await server.register(name, handlerModel(t, name, { idempotent }))
      const pid = await pidOf(server, name)
      const gate = newGate(t)
      const running = server.predict(name, `wait:${gate.path}`)
      await gate.holds(1)
      const queued = Array.from({ length: 10 }, (_, index) => server.predict(name, `echo:${index}`))
      await until(async () => (await queuedRequests(server, name)) === 10)
      process.kill(pid, 'SIGKILL')
      const ms = await replaced(server, name, pid)
      gate.open()
      assert.ok(ms < SOON_MS, `${ms} ms`)
      const answer = await running
      if (idempotent) {
        assert.deepEqual([answer.status, answer.text], [200, 'waited'])
      } else {
        assertError(answer, 500)
        const { message, type } = JSON.parse(answer.text)
        assert.equal(type, 'InternalServerException')
        assert.equal(message, 'Worker died: it was killed by SIGKILL.')
      }
      assert.deepEqual(
        (await Promise.all(queued)).map(({ status, text }) => [status, text]),
        Array.from({ length: 10 }, (_, index) => [200, String(index)]),
      )
      const [worker] = await workersOf(server, name)
      assert.match(worker?.lastFailure ?? '', /SIGKILL/)
      assert.equal(worker?.restarts, 1)
      await server.logged((line) => line.model === name && /SIGKILL/.test(String(line.cause)))
      await server.unregister(name)
    },
  )
}

row(
  'W01',
  'an idle worker that is killed is replaced in a short time',
  async (server, t) => {
    await server.register('small', iris)
    const times: number[] = []
    for (let kill = 0; kill < size(2, 50); kill += 1) {
      const pid = await pidOf(server, 'small')
      process.kill(pid, 'SIGKILL')
      times.push(await replaced(server, 'small', pid))
      const [worker] = await workersOf(server, 'small')
      assert.match(worker?.lastFailure ?? '', /SIGKILL/)
    }
    // A worker that dies while idle is replaced without a delay each time, so nothing must be reset
    // between kills.
    const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)]
    reportFigure(t, {
      what: `killed worker replaced, small ONNX model, p50 / p99 of ${times.length}`,
      goal: '≤ 300 ms / ≤ 1 s',
      seen: `${Math.round(p50)} ms / ${Math.round(p99)} ms`,
      isMet: p50 <= 300 && p99 <= 1000,
    })
    assert.ok(p50 < SOON_MS, `${p50} ms`)
    await server.logged((line) => line.model === 'small' && line.restartInMs === 0)
    await server.unregister('small')
  },
  LONG,
)

const divide = (server: Laboratory, a: number, b: number, spaces = 0): Promise<Answer> =>
  server.predict('div', division(a, b, spaces), JSON_TYPE)
const result = ({ status, text }: Answer): unknown => [status, JSON.parse(text)]

crashRow(
  'W03',
  'a crash in native code is told as such, and never tried a third time',
  async (server, t) => {
    assert.deepEqual(result(await divide(server, 4, 2)), [200, { c: [2] }])
    const poison = await divide(server, LEAST, -1)
    if (poison.status === 200) return t.diagnostic('this processor does not trap on -2^31 / -1')
    assertError(poison, 500)
    assert.match(poison.text, /killed by SIGFPE/)
    assert.deepEqual(result(await divide(server, 9, 3)), [200, { c: [3] }])
    await until(() => deaths(server, 'div').length === 2)
    assertError(await divide(server, LEAST, -1), 422)
    // Neither number alone is a reason to die.
    assert.equal((await divide(server, LEAST, 1)).status, 200)
    assert.equal((await divide(server, LEAST + 1, -1)).status, 200)
    assertError(await divide(server, LEAST, 0), 400)
    assert.equal(deaths(server, 'div').length, 2)
  },
)

workerRow(
  'W04',
  'one request of a batch that crashes workers costs the others nothing',
  async (server, t) => {
    const died: number[] = []
    for (const [joins, positions] of isFull ? W04_FULL : W04_QUICK) {
      const name = `mod-${joins}`
      const parameters = { batch_size: '8', max_batch_delay: '200', join_batches: joins }
      await server.register(name, divisionModel(t, name, 'Mod'), parameters)
      for (const position of positions) {
        const [before] = await workersOf(server, name)
        const answers = await Promise.all(
          Array.from({ length: 8 }, (_, index) => {
            const isPoison = index === position
            const body = isPoison ? division(LEAST, -1, position + 1) : division(30, index + 1)
            return server.predict(name, body, JSON_TYPE)
          }),
        )
        const [poison] = answers.splice(position, 1)
        const divisors = [1, 2, 3, 4, 5, 6, 7, 8].filter((divisor) => divisor !== position + 1)
        assert.deepEqual(
          answers.map(result),
          divisors.map((divisor) => [200, { c: [30 % divisor] }]),
        )
        assert.ok(poison)
        if (poison.status === 200) continue
        assertError(poison, 500)
        assert.match(poison.text, /SIGFPE/)
        const after = await until(async () => {
          const [worker] = await workersOf(server, name)
          return worker?.status === 'READY' && worker
        })
        died.push(after.restarts - (before?.restarts ?? 0))
      }
      await server.unregister(name)
    }
    if (died.length === 0) return t.diagnostic('this processor does not trap on -2^31 % -1')
    const most = Math.max(...died)
    reportFigure(t, {
      what: `poison request in a batch of 8, ${died.length} times`,
      goal: '7 right, 1 error, ≤ 2 worker deaths',
      seen: `7 right, 1 error, ${most} worker deaths`,
      isMet: most <= 2,
    })
    assert.ok(most <= 2, `${most} deaths`)
    assert.ok(
      died.every((count) => count > 0),
      died.join(),
    )
  },
  LONG,
)

row(
  'W05',
  'the ways in which code ends its process are told apart',
  async (server) => {
    const kinds: readonly (readonly [code: string, cause: RegExp])[] = [
      ['process.exit(0)', /exited with code 0/],
      ['process.exit(7)', /exited with code 7/],
      ['process.exit(255)', /exited with code 255/],
      ['process.exitCode = 9; process.exit()', /exited with code 9/],
      ['process.abort()', /killed by SIGABRT/],
      ...['SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP', 'SIGSYS'].map(
        (name) =>
          [
            `process.kill(process.pid, '${name}'); await new Promise(() => {})`,
            new RegExp(name),
          ] as const,
      ),
      // SIGTERM asks a worker to end, and it ends with code 0.
      [`process.kill(process.pid, 'SIGTERM'); await new Promise(() => {})`, /exited with code 0/],
      [`process._rawDebug('bye'); process.reallyExit(3)`, /exited with code 3/],
    ]
    for (const [code, cause] of isFull ? kinds : kinds.slice(0, 6)) {
      const from = performance.now()
      const answer = await server.predict('script', code)
      assertError(answer, 500)
      assert.ok(performance.now() - from < SOON_MS)
      assert.match(answer.text, cause, code)
      assert.equal((await server.predict('script', `return ['alive']`)).text, 'alive')
      await server.logged(
        (line) =>
          line.msg === 'worker died' && line.model === 'script' && cause.test(String(line.cause)),
      )
    }
  },
  LONG,
)

crashRow(
  'W05',
  'a body that crashed two workers is rejected, whatever else crashes',
  async (server) => {
    const statuses: number[] = []
    for (let code = 30; code < 36; code += 1)
      statuses.push((await server.predict('tool', `exit:${code}`)).status)
    assert.deepEqual(statuses, [500, 500, 500, 500, 500, 500], 'they do not close the model')
    assert.equal((await server.predict('tool', 'echo:x')).text, 'x')
    assertError(await server.predict('tool', 'exit:30'), 500)
    await until(async () => (await workersOf(server, 'tool'))[0]?.status === 'READY')
    const pid = await pidOf(server)
    const rejected = await server.predict('tool', 'exit:30')
    assertError(rejected, 422)
    assert.equal(JSON.parse(rejected.text).type, 'CrashingRequestException')
    assert.ok(Number(rejected.headers.get('retry-after')) > 50)
    assert.equal(await pidOf(server), pid, 'no worker saw it')
  },
)

row(
  'W06',
  'a model that cannot start its workers is refused with the reason',
  async (server, t) => {
    const code = `console.error('no such luck'); process.exit(4)`
    const folder = codeModel(t, 'broken', code)
    const url = `url=${encodeURIComponent(folder)}&initial_workers=2`
    const refused = await server.call('POST', `/models?${url}`)
    assertError(refused, 500)
    assert.match(refused.text, /exited with code 4/)
    assert.match(refused.text, /no such luck/)
    assert.equal((await server.call('GET', '/models/broken')).status, 404)
    // Nobody waits for the second one; the list of models says what became of it.
    assert.equal((await server.call('POST', `/models?${url}&synchronous=false`)).status, 202)
    const failed = await until(async () => {
      const models = await failedModels(server)
      return models.find(({ modelUrl }) => modelUrl.includes('broken'))
    })
    assert.match(failed.reason, /exited with code 4/)
    assert.equal((await server.call('DELETE', '/models/broken')).status, 404)
  },
)

workerRow(
  'W06',
  'a model whose workers cannot start any more is tried ever less often, until it is unregistered',
  async (server, t) => {
    const flag = path.join(temporaryFolder(t), 'broken')
    const code = `import { existsSync } from 'node:fs'
    if (existsSync(${JSON.stringify(flag)})) process.exit(5)
    export const handle = (data) => data?.map(() => 'fine')`
    await server.register('loop', codeModel(t, 'loop', code))
    const ready = async (): Promise<number> => (await server.fetch('/v2/models/loop/ready')).status
    assert.equal(await ready(), 200)
    writeFileSync(flag, '')
    process.kill(await pidOf(server, 'loop'), 'SIGKILL')
    await until(
      async () => JSON.parse((await server.call('GET', '/models/loop')).text).status === 'FAILED',
    )
    const refused = await server.predict('loop', 'x')
    assertError(refused, 503)
    assert.ok(Number(refused.headers.get('retry-after')) > 0)
    assert.notEqual(await ready(), 200)
    assert.equal((await server.fetch('/ping')).status, 200)
    assert.equal((await server.predict('tool', 'echo:fine')).text, 'fine')
    const last = await server.logged(
      (line) => line.model === 'loop' && Number(line.restartInMs) > 9000,
    )
    const delays = server.logLines
      .filter((line) => line.msg === 'worker died' && line.model === 'loop')
      .map(({ restartInMs }) => Number(restartInMs))
    assert.ok(delays.length <= 6, delays.join())
    assert.deepEqual(
      delays,
      delays.toSorted((a, b) => a - b),
    )
    assert.equal(last.restartInMs, 60_000)
    await server.unregister('loop')
    assert.equal((await server.predict('loop', 'x')).status, 404)
  },
)

crashRow(
  'W06',
  'workers that are killed from outside at work close their model for a minute',
  async (server, t) => {
    await server.register('killed', handlerModel(t, 'killed'))
    // It cannot be told from a kill by the system, for which no request is to blame.
    const statuses: number[] = []
    for (let round = 0; round < 6; round += 1)
      statuses.push((await server.predict('killed', 'signal:SIGKILL')).status)
    assert.deepEqual(statuses, [500, 500, 500, 500, 500, 503])
    const refused = await server.predict('killed', 'echo:x')
    assertError(refused, 503)
    assert.ok(Number(refused.headers.get('retry-after')) > 0)
    assert.equal(JSON.parse((await server.call('GET', '/models/killed')).text).status, 'FAILED')
    assert.equal((await server.predict('tool', 'echo:fine')).text, 'fine')
    await server.unregister('killed')
  },
)

workerRow(
  'W07',
  'a handler that never ends costs one 504 and its worker, with all that it started',
  async (server) => {
    const pid = await pidOf(server)
    const { pid: grandchild } = JSON.parse((await server.predict('tool', 'child:')).text)
    const from = performance.now()
    const hung = server.predict('tool', 'spin')
    const next = server.predict('tool', 'echo:after')
    assertError(await hung, 504)
    const ms = performance.now() - from
    assert.ok(ms >= 1990 && ms < 2000 + SOON_MS, `${ms} ms`)
    assert.equal(JSON.parse((await hung).text).type, 'ResponseTimeoutException')
    await until(() => !isAlive(pid) && !isAlive(grandchild), 1500)
    assert.equal((await next).text, 'after')
    assert.notEqual(await pidOf(server), pid)
  },
)

workerRow(
  'W08',
  'a run of onnxruntime that never ends costs one 504 and its worker',
  async (server, t) => {
    await server.register('endless', endlessFolder(t, 'endless'), { response_timeout: '1' })
    const pid = await pidOf(server, 'endless')
    const from = performance.now()
    assertError(await server.predict('endless', '{"x":[1]}', JSON_TYPE), 504)
    const ms = performance.now() - from
    assert.ok(ms >= 990 && ms < 1000 + SOON_MS, `${ms} ms`)
    await until(() => !isAlive(pid), 1500)
    await replaced(server, 'endless', pid)
    await server.unregister('endless')
  },
)

row('W09', 'a late response goes to nobody', async (server) => {
  const late = await server.predict('tool', 'sleep:3000')
  assertError(late, 504)
  const own = Array.from({ length: 5 }, (_, index) => server.predict('tool', `echo:own ${index}`))
  assert.deepEqual(
    (await Promise.all(own)).map(({ text }) => text),
    ['own 0', 'own 1', 'own 2', 'own 3', 'own 4'],
  )
})

row(
  'W18',
  'a stopped worker is noticed and replaced, with a request or idle',
  async (server, t) => {
    const models = Array.from({ length: size(2, 12) }, (_, index) => `stopped${index}`)
    for (const name of models) await server.register(name, iris, { response_timeout: '600' })
    const times: number[] = []
    await Promise.all(
      models.map(async (name, index) => {
        // The looks at the processes come every 2 s, so the stops are spread over this time.
        await new Promise((resolve) => setTimeout(resolve, (index * 2000) / models.length))
        const pid = await pidOf(server, name)
        const from = performance.now()
        process.kill(pid, 'SIGSTOP')
        if (index === 0) {
          const answer = await server.predict(name, '{"features":[[5.1,3.5,1.4,0.2]]}', JSON_TYPE)
          assert.equal(answer.status, 200, answer.text)
        } else {
          await until(() => !isAlive(pid))
          times.push(performance.now() - from)
        }
        await replaced(server, name, pid)
        const death = await server.logged(
          (line) => line.msg === 'worker died' && line.model === name,
        )
        assert.deepEqual([death.pid, death.cause], [pid, 'The worker was stopped by a signal.'])
      }),
    )
    const longest = Math.max(...times)
    reportFigure(t, {
      what: `SIGSTOP of an idle worker noticed, longest of ${times.length}`,
      goal: '≤ 5 s',
      seen: `${(longest / 1000).toFixed(1)} s`,
      isMet: longest <= 5000,
    })
    assert.ok(longest < 10_000, `${longest} ms`)
    const metrics = await (await server.manage('/metrics')).text()
    assert.match(metrics, /^onnxd_worker_restarts_total\{.*"stopped0".*cause="signal".*\} 1$/m)
    for (const name of models) await server.unregister(name)
  },
  LONG,
)

workerRow('W18', 'a worker that is stopped at work is killed at the deadline', async (server) => {
  const pid = await pidOf(server)
  const from = performance.now()
  const stopped = server.predict('tool', 'signal:SIGSTOP')
  assertError(await stopped, 500, 504)
  assert.ok(performance.now() - from < 4000 + SOON_MS)
  await until(() => !isAlive(pid), 1500)
  assert.equal((await server.predict('tool', 'echo:next')).text, 'next')
})
