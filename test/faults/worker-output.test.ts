/** Block W: workers that throw, print, leak, start processes, or return what is no result. */
import assert from 'node:assert/strict'
import { cpSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { workerPids } from '../helpers/observe.ts'
import { FLOWER, residentBytes } from '../helpers/server-process.ts'
import { isAlive, until } from '../helpers/server.ts'
import { quantile } from './figures.ts'
import {
  assertError,
  assertUnharmed,
  block,
  heldBy,
  rowsOfOneProcess,
  size,
  startLaboratory,
} from './harness.ts'
import type { Laboratory } from './harness.ts'
import { scriptModel } from './script-model.ts'

/** The longest message of an error, and what stands around it in its body. */
const MAX_ERROR_BYTES = 4096 + 200
/** Clock ticks of the processor in a second. */
const TICKS = 100

const row = block({ models: (t) => [handlerModel(t, 'tool'), scriptModel(t, 'script')] })
const workerRow = rowsOfOneProcess(row, 'the worker that gets a request')

const run = (server: Laboratory, code: string, model = 'script') => server.predict(model, code)

async function assertAlive(server: Laboratory, model = 'script'): Promise<void> {
  const answer = await run(server, `return ['alive']`, model)
  assert.deepEqual([answer.status, answer.text], [200, 'alive'])
}

/** Prediction latencies of the reference model, milliseconds, until `isOver`. */
async function latencies(server: Laboratory, isOver: () => boolean): Promise<number[]> {
  const times: number[] = []
  while (!isOver()) {
    const from = performance.now()
    const answer = await server.fetch('/predictions/reference', FLOWER)
    await answer.text()
    assert.equal(answer.status, 200)
    times.push(performance.now() - from)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return times
}

/** Processor time that a process has used, seconds. */
function processorSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

row('W10', 'whatever a handler throws costs its own request', async (server) => {
  const pids = await workerPids(server, 'script')
  for (const code of [
    `throw new Error('on purpose')`,
    `throw 'a text'`,
    `throw null`,
    `throw undefined`,
    `throw Symbol('s')`,
    `throw 5n`,
    `throw () => {}`,
    `throw { toString() { throw new Error('again') } }`,
    `throw Object.create(null)`,
    `throw new Proxy({}, { get() { throw new Error('trap') } })`,
    `throw new Proxy(new Error('x'), { get() { throw new Error('trap') } })`,
    `throw Object.defineProperty(new Error('x'), 'message', { get() { throw new Error('getter') } })`,
    `throw Object.defineProperty(new Error('x'), 'stack', { get() { throw new Error('getter') } })`,
    `throw Object.assign(new Error('x'), { message: { toString: null } })`,
    `throw Object.assign(new Error('x'), { message: 'm'.repeat(1e7) })`,
    `throw new Error('m'.repeat(1e7))`,
    `throw { message: 'm'.repeat(1e7) }`,
    `throw 'm'.repeat(1e7)`,
    `const e = new Error('loop'); e.cause = e; throw e`,
    `throw new context.PredictionException('m'.repeat(1e7), 500)`,
    `throw new context.PredictionException('odd', 'x')`,
    `throw new context.PredictionException('odd', -1)`,
    `throw new context.PredictionException('odd', NaN)`,
    `throw new context.PredictionException('a\\u0000b\\r\\nx: y', 503)`,
    `throw Object.assign(new Error('ok?'), { statusCode: 200 })`,
    `throw Object.assign(new Error('continue?'), { statusCode: 100 })`,
    `const f = () => f(); f()`,
    `await Promise.reject(new Error('rejected'))`,
    `return Promise.reject()`,
    `return { then() { throw new Error('then') } }`,
    `return { then(_, reject) { reject('m'.repeat(1e7)) } }`,
  ]) {
    const answer = await run(server, code)
    assertError(answer, 500, 503)
    assert.ok(answer.text.length <= MAX_ERROR_BYTES, `${answer.text.length} bytes for ${code}`)
  }
  for (const code of [400, 418, 429, 503, 599]) {
    const answer = await run(server, `throw new context.PredictionException('chosen', ${code})`)
    assertError(answer, code)
  }
  assert.match((await run(server, `throw new Error('secret')`)).text, /"Prediction failed"/)
  await assertAlive(server)
  assert.deepEqual(await workerPids(server, 'script'), pids, 'the worker goes on')
})

row('W10', 'what is thrown when nobody waits for it ends the worker', async (server) => {
  for (const code of [
    `setTimeout(() => { throw new Error('later') }, 10); await new Promise(() => {})`,
    `Promise.reject(new Error('nobody waits')); await new Promise(() => {})`,
    `process.nextTick(() => { throw null }); await new Promise(() => {})`,
    `setImmediate(() => { throw 'm'.repeat(1e7) }); await new Promise(() => {})`,
  ]) {
    const answer = await run(server, code)
    assertError(answer, 500)
    assert.match(answer.text, /exited with code 1/, code)
    await assertAlive(server)
  }
})

row('W21', 'what is no result of a batch is an error, and nothing breaks', async (server) => {
  const pids = await workerPids(server, 'script')
  for (const [code, message] of [
    [`return ['one', 'two']`, /number of batch response mismatched/],
    [`return []`, /number of batch response mismatched/],
    [`return new Array(2 ** 32 - 1)`, /number of batch response mismatched/],
    [`return 'text'`, /Invalid model predict output/],
    [`return undefined`, /Invalid model predict output/],
    [`return null`, /Invalid model predict output/],
    [`return {}`, /Invalid model predict output/],
    [`return { 0: 'x', length: 1 }`, /Invalid model predict output/],
    [`return new Set(['x'])`, /Invalid model predict output/],
    [`return Buffer.from('x')`, /Invalid model predict output/],
    [`return [undefined]`, /Unsupported model output/],
    [`return [, ]`, /Unsupported model output/],
    [`return [() => {}]`, /Unsupported model output/],
    [`return [Symbol('s')]`, /Unsupported model output/],
    [`return [5n]`, /Unsupported model output/],
    [`return [{ deep: [{ big: 5n }] }]`, /Unsupported model output/],
    [`const a = []; a.push(a); return [a]`, /Unsupported model output/],
    [`let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return [a]`, /Unsupported model output/],
    [`return [{ toJSON() { throw new Error('no') } }]`, /Unsupported model output/],
    [`return [{ get x() { throw new Error('no') } }]`, /Unsupported model output/],
    [`return [new Proxy({}, { ownKeys() { throw new Error('no') } })]`, /Unsupported model output/],
    [`return new Proxy([], { get() { throw new Error('no') } })`, /Prediction failed/],
    [`return Array.from({ get length() { throw new Error('no') } })`, /Prediction failed/],
  ] as const) {
    const answer = await run(server, code)
    assertError(answer, 503)
    assert.match(answer.text, message, code)
  }
  // JSON has no such numbers, and null is what JSON.stringify makes of them.
  const numbers = await run(server, `return [[NaN, Infinity, -Infinity, -0, 1e300]]`)
  assert.deepEqual([numbers.status, JSON.parse(numbers.text)], [200, [null, null, null, 0, 1e300]])
  const large = await run(server, `return [Buffer.alloc(70 * 2 ** 20)]`)
  assertError(large, 507)
  await assertAlive(server)
  assert.deepEqual(await workerPids(server, 'script'), pids)
  assertError(await run(server, `return new Promise(() => {})`), 504)
  await assertAlive(server)
})

row('W11', 'a handler that floods its output costs the front-end little', async (server, t) => {
  const seconds = size(1, 5)
  const [pid] = await workerPids(server, 'script')
  assert.ok(pid)
  await server.register('flood', scriptModel(t, 'flood'), { response_timeout: '20' })
  const before = processorSeconds(server.pid)
  const linesBefore = server.logLines.length
  const from = performance.now()
  let isOver = false
  const flood = run(
    server,
    `const end = Date.now() + ${seconds * 1000}
    let line = 0
    while (Date.now() < end) process.stdout.write(('x'.repeat(99) + '\\n').repeat(1000))
    return ['done']`,
    'flood',
  ).finally(() => (isOver = true))
  const times = await latencies(server, () => isOver)
  assert.equal((await flood).text, 'done')
  const elapsed = (performance.now() - from) / 1000
  const share = (processorSeconds(server.pid) - before) / elapsed
  const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)].map(Math.round)
  t.diagnostic(`${Math.round(share * 100)} % of a core, another model p50 ${p50} ms, p99 ${p99} ms`)
  assert.ok(share < 0.5, `${share} of a core`)
  assert.ok(times.length > 0)
  const printed = server.logLines.slice(linesBefore).filter(({ msg }) => msg === 'worker output')
  const bytes = printed.reduce((sum, { line }) => sum + String(line).length, 0)
  // A second's allowance may be spent at once, at the start and the end of the time.
  assert.ok(bytes <= (elapsed + 2) * 1.1 * 2 ** 20, `${bytes} bytes in ${elapsed} s`)
  await server.unregister('flood')
})

row('W12', 'an endless line is cut, and memory stays as it is', async (server) => {
  const before = residentBytes([server.pid])
  const line = `process.stdout.write('y'.repeat(${size(4, 100)} * 2 ** 20) + '\\n')`
  // The output is read at 1 MiB per second, so the worker reaches its deadline and is killed before
  // the end of the line.
  assertError(await run(server, `${line}; return ['printed']`), 504)
  const cut = await server.logged(({ line: text }) => String(text).startsWith('yyyy'))
  assert.match(String(cut.line), /^y{16384}… \[\d{5,} bytes dropped\]$/)
  const more = residentBytes([server.pid]) - before
  assert.ok(more < 64 * 2 ** 20, `${more} bytes more`)
  await assertAlive(server)
})

row('W12', 'output cannot forge a line of the log', async (server) => {
  const forged = '{"level":50,"time":1,"pid":1,"msg":"forged"}'
  const texts = [
    `\\r\\n${forged}`,
    `\\r${forged}`,
    `\\u2028${forged}\\u2029`,
    `"}\\n${forged}`,
    `\\u001b[2J\\u001b[31mred\\u0007\\u0000\\u009b`,
    `[PID] 1\\nMMS worker started.\\nThe warm-up run begins.`,
    `\\u202eright to left`,
  ]
  for (const stream of ['stdout', 'stderr']) {
    for (const text of texts) {
      const print = `process.${stream}.write(${JSON.stringify(text).replaceAll('\\\\', '\\')} + '\\n')`
      assert.equal((await run(server, `${print}; return ['printed']`)).text, 'printed', text)
    }
    const bytes = `process.${stream}.write(Buffer.from(Array.from({ length: 256 }, (_, i) => i)))`
    assert.equal((await run(server, `${bytes}; return ['printed']`)).text, 'printed')
    const end = `the end of ${stream}`
    await run(server, `process.${stream}.write('\\n${end}\\n'); return ['printed']`)
    await server.logged(({ line }) => line === end)
  }
  // Whatever is not JSON is in `messages`, which the conditions after the row look at.
  const lines = await until(() => {
    const found = server.logLines.filter(({ line }) => String(line).includes('forged'))
    return found.length >= 8 && found
  })
  assert.ok(lines.every(({ msg, level }) => msg === 'worker output' && Number(level) <= 30))
  assert.deepEqual(
    server.logLines.filter(({ msg }) => msg === 'forged'),
    [],
  )
  await assertAlive(server)
})

/** Starts a process that nobody waits for, deaf to gentle signals, and prints its pid. */
const START = `trap "" TERM HUP INT; sleep 300 >/dev/null 2>&1 & echo $!`

workerRow(
  'W13',
  'what a worker has started goes when it dies, and when its model goes',
  async (server, t) => {
    await server.register('parent', handlerModel(t, 'parent'))
    const begin = async (): Promise<number> =>
      Number((await server.predict('parent', `shell:${START}`)).text)
    const first = await begin()
    assert.ok(isAlive(first))
    assertError(await server.predict('parent', 'exit:3'), 500)
    await until(() => !isAlive(first))
    const second = await begin()
    const pids = await workerPids(server, 'parent')
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await until(() => !isAlive(second))
    await until(async () =>
      (await workerPids(server, 'parent')).every((pid) => !pids.includes(pid)),
    )
    const third = await begin()
    await server.unregister('parent')
    await until(() => !isAlive(third))
  },
)

row(
  'W13',
  'a process in a group of its own may live on, and holds nothing up',
  async (server, t) => {
    await server.register('parent', scriptModel(t, 'parent'))
    // It keeps the output of the worker open.
    const detached = await run(
      server,
      `const { spawn } = await import('node:child_process')
    return [String(spawn('sleep', ['300'], { detached: true, stdio: 'inherit' }).pid)]`,
      'parent',
    )
    const pid = Number(detached.text)
    t.after(() => isAlive(pid) && process.kill(pid, 'SIGKILL'))
    assert.ok(isAlive(pid))
    const from = performance.now()
    assertError(await run(server, 'process.exit(6)', 'parent'), 500)
    await assertAlive(server, 'parent')
    await server.unregister('parent')
    assert.ok(performance.now() - from < 10_000)
    assert.ok(isAlive(pid), 'only a namespace or a cgroup of its own would end it')
  },
)

test(
  'W14 W15 memory of any kind that is full costs the request and the worker',
  { skip: oneProcess('the worker that gets a request') },
  async (t) => {
    const server = await startLaboratory(t, {
      settings: { workerHeapMib: 64, workerMemoryMib: 700, responseTimeout: 20 },
      models: (cleanup) => [scriptModel(cleanup, 'script')],
    })
    await assertAlive(server)
    const before = heldBy(server)
    for (const [code, cause] of [
      [`const a = []; while (true) a.push([])`, /ran out of memory/],
      [
        `let s = 'x'; const a = []; while (true) a.push((s += 'y').split('').map((c) => [c]))`,
        /ran out of memory/,
      ],
    ] as const) {
      const answer = await run(server, code)
      assertError(answer, 507)
      await server.logged(
        ({ msg, cause: text }) => msg === 'worker died' && cause.test(String(text)),
      )
      await assertAlive(server)
    }
    // Buffers lie outside the heap. The worker lives on with what it has lost, until it is
    // replaced.
    const leak = `const kept = (globalThis.kept ??= [])
    kept.push(Buffer.alloc(50 * 2 ** 20, kept.length + 1)); return [String(kept.length)]`
    const statuses: number[] = []
    const leakOnce = async (): Promise<string> => {
      const answer = await run(server, leak)
      if (answer.status !== 200) assertError(answer, 507)
      statuses.push(answer.status)
      return answer.text
    }
    for (let round = 0; round < size(1, 3); round += 1) {
      const [pid] = await workerPids(server, 'script')
      await until(async () => (await leakOnce()).includes('507'), 60_000)
      // What works in between is no reason to replace the worker.
      await assertAlive(server)
      await until(async () => (await leakOnce()) === '1', 60_000)
      assert.notDeepEqual(await workerPids(server, 'script'), [pid])
    }
    t.diagnostic(statuses.join(' '))
    await server.logged(
      ({ msg, reason }) => msg === 'recycling worker' && reason === 'memory limit',
    )
    await assertUnharmed(server, before)
  },
)

workerRow('W16', 'a handler that breaks its own process breaks nothing else', async (server) => {
  const folder = path.join(server.store, 'victim')
  const source = scriptModel({ after: () => {} }, 'victim')
  cpSync(source, folder, { recursive: true })
  rmSync(path.dirname(source), { recursive: true })
  await server.register('victim', 'victim')
  const close = (first: number): string => `const { closeSync } = await import('node:fs')
    for (let fd = ${first}; fd <= 20; fd++) try { closeSync(fd) } catch {}
    return ['closed']`
  for (const code of [close(0), close(3)]) {
    const from = performance.now()
    const answer = await run(server, code, 'victim')
    if (answer.status !== 200) assertError(answer, 500, 504)
    assert.ok(performance.now() - from < 8000)
    // It may end only now, with the next request in its hands.
    await until(async () => (await run(server, `return ['alive']`, 'victim')).status === 200)
  }
  for (const code of [
    `process.chdir('/'); return ['moved']`,
    `process.title = 'x'.repeat(100); process.umask(0o777); return ['changed']`,
    `process.env = {}; process.argv.length = 0; return ['emptied']`,
    `process.removeAllListeners(); return ['deaf']`,
    `process.stdout.end(); process.stderr.destroy(); return ['mute']`,
    `JSON.stringify = Buffer.from = Buffer.concat = () => { throw 1 }; return ['broken']`,
  ]) {
    const answer = await run(server, code, 'victim')
    if (answer.status !== 200) assertError(answer, 500, 503, 504)
  }
  // With its built-in functions gone this one may not serve; the next one does.
  const [pid = 0] = await workerPids(server, 'victim')
  process.kill(pid, 'SIGKILL')
  await until(async () => (await workerPids(server, 'victim'))[0] !== pid)
  await assertAlive(server, 'victim')
  const remove = `const { rmSync } = await import('node:fs')
    rmSync(context.systemProperties.modelDir, { recursive: true }); return ['removed']`
  assert.equal((await run(server, remove, 'victim')).text, 'removed')
  await assertAlive(server, 'victim')
  assertError(await run(server, 'process.exit(1)', 'victim'), 500)
  assertError(await run(server, `return ['no']`, 'victim'), 503)
  await server.unregister('victim')
})
