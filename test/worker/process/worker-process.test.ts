import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import { encodeLoad, encodePredict } from '../../../src/worker/wire/encode.ts'
import type { WorkerReply } from '../../../src/worker/wire/messages.ts'
import { temporaryFolder } from '../../helpers/server.ts'
import { until } from '../../helpers/until.ts'
import { BROKEN_MESSAGES, ownVectors, sharedVectors } from '../../helpers/wire-vectors.ts'
import {
  WORKER_ENTRY,
  WorkerClient,
  launchWorker,
  loadRequest,
  modelFolder,
  startWorker,
  wireRequest,
} from '../../helpers/worker-client.ts'

const ECHO = `export function handle(data, context) {
  return data?.map((input) => input.body ?? 'nothing')
}`
const SHOW_ENVIRONMENT = `export function handle(data) {
  const { OMP_NUM_THREADS, MXNET_USE_OPERATOR_TUNING, ORT_DISABLE_TELEMETRY } = process.env
  return data?.map(() => [OMP_NUM_THREADS, MXNET_USE_OPERATOR_TUNING, ORT_DISABLE_TELEMETRY])
}`

test('start-up lines have the order and the texts of MMS', async (t) => {
  const folder = temporaryFolder(t)
  const socketPath = path.join(folder, 'w.sock')
  const args = ['--sock-type', 'unix', '--sock-name', socketPath, '--handler', '']
  const worker = await startWorker(t, { folder, args: [...args, '--model-name', 'a\n[PID] 1'] })
  const client = await worker.connect()
  await worker.printed('Connection accepted')
  assert.deepEqual(worker.stdout.split('\n'), [
    `model_service_worker started with args: ${args.join(' ')} --model-name a [PID] 1 --tmp-dir ${folder}`,
    `Listening on port: ${socketPath}`,
    `[PID] ${worker.pid}`,
    'MMS worker started.',
    `Node runtime: ${process.versions.node}`,
    `Connection accepted: ${socketPath}.`,
    '',
  ])
  assert.equal(statSync(socketPath).mode & 0o777, 0o600)
  client.socket.destroy()
  await worker.printed('Frontend disconnected.')
})

test('tcp listens on the given port, or on a free one that the start-up line names', async (t) => {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  const fixed = await startWorker(t, { args: ['--sock-type', 'tcp', '--port', String(port)] })
  assert.match(fixed.stdout, /^Listening on port: None$/m)
  const free = await startWorker(t, {
    args: ['--sock-type', 'tcp', '--host', '127.0.0.1', '--port', '0'],
  })
  const freePort = Number(/^Listening on port: (\d+)$/m.exec(free.stdout)?.[1])
  const modelPath = await modelFolder(t, { 'service.mjs': ECHO })
  for (const [worker, address] of [
    [fixed, port],
    [free, freePort],
  ] as const) {
    const client = await WorkerClient.connect({ host: '127.0.0.1', port: address })
    assert.equal((await client.load({ modelPath })).code, 200)
    await worker.printed(`Connection accepted: 127.0.0.1:${address}.`)
  }
})

test('arguments and settings that cannot be used end the process with 2 and a message', async (t) => {
  const unix = ['--sock-type', 'unix', '--sock-name', '/tmp/never.sock']
  const cases: [args: string[], environment: Record<string, string>, message: RegExp][] = [
    [[], {}, /--sock-type is required/],
    [['--sock-type', 'pipe'], {}, /unix or tcp/],
    [['--sock-type', 'unix'], {}, /--sock-name is required/],
    [['--sock-type', 'unix', '--sock-name', `/tmp/${'x'.repeat(99)}`], {}, /104 bytes/],
    [['--sock-type', 'tcp'], {}, /--port is required/],
    [['--sock-type', 'tcp', '--port', '65536'], {}, /65535/],
    [[...unix, '--preload-model', 'maybe'], {}, /--preload-model/],
    [[...unix, '--bogus', '1'], {}, /--bogus/],
    [unix, { ONNXD_WORKER_OPTIONS: '{' }, /not valid JSON/],
    [unix, { ONNXD_WORKER_OPTIONS: '[1]' }, /not a JSON object/],
    [unix, { ONNXD_WORKER_OPTIONS: '{"threads":0}' }, /\{"threads":0\}/],
    [unix, { ONNXD_WORKER_OPTIONS: '{"constructor":1}' }, /\{"constructor":1\}/],
    [unix, { ONNXD_PARENT_PID: 'x' }, /ONNXD_PARENT_PID/],
  ]
  await Promise.all(
    cases.map(async ([args, environment, message]) => {
      const worker = await launchWorker(t, { args, environment })
      assert.deepEqual(await worker.exited, { code: 2, signal: null }, String(message))
      assert.match(worker.stderr, message)
      assert.doesNotMatch(worker.stdout, /MMS worker started/)
    }),
  )
})

test('a stale socket is replaced, a file of another kind is not', async (t) => {
  const first = await startWorker(t)
  first.process.kill('SIGKILL')
  await first.exited
  assert.ok(existsSync(first.socketPath), 'SIGKILL leaves the file')
  const second = await startWorker(t, { folder: first.folder })
  await second.connect()
  await second.stop()
  writeFileSync(second.socketPath, 'precious')
  const third = await launchWorker(t, { folder: first.folder })
  assert.equal((await third.exited).code, 1)
  assert.match(third.stderr, /is not a socket/)
  assert.equal(readFileSync(second.socketPath, 'utf8'), 'precious')
})

test('the socket file goes with the process, however that ends', async (t) => {
  const modelPath = await modelFolder(t, {
    'exit.mjs': `export function handle(data) { if (data) process.exit(7) }`,
    'throw.mjs': `export function handle(data) {
      if (data) { setTimeout(() => { throw new Error('later') }); return new Promise(() => {}) }
    }`,
    'reject.mjs': `export function handle(data) {
      if (data) { void Promise.reject(new Error('nobody looks')); return new Promise(() => {}) }
    }`,
  })
  const ends: [end: string, code: number, message: RegExp][] = [
    ['SIGTERM', 0, /^$/],
    ['SIGINT', 0, /^$/],
    ['SIGHUP', 0, /^$/],
    ['exit.mjs', 7, /^$/],
    ['throw.mjs', 1, /Error: later/],
    ['reject.mjs', 1, /nobody looks/],
  ]
  for (const [end, code, message] of ends) {
    const worker = await startWorker(t)
    assert.ok(existsSync(worker.socketPath))
    if (end.startsWith('SIG')) {
      worker.process.kill(end as NodeJS.Signals)
    } else {
      const client = await worker.connect()
      assert.equal((await client.load({ modelPath, handler: end })).code, 200)
      client.send(encodePredict([wireRequest([])]))
    }
    assert.deepEqual(await worker.exited, { code, signal: null }, end)
    assert.match(worker.stderr, message)
    assert.deepEqual(readdirSync(worker.folder), [], end)
  }
})

test('defaults of the environment are set only where the operator set nothing', async (t) => {
  const modelPath = await modelFolder(t, { 'service.mjs': SHOW_ENVIRONMENT })
  const cases: [environment: Record<string, string>, expected: string[]][] = [
    [{}, ['1', '0', '1']],
    [{ OMP_NUM_THREADS: '3', ORT_DISABLE_TELEMETRY: '0' }, ['3', '0', '0']],
  ]
  for (const [environment, expected] of cases) {
    const client = await (await startWorker(t, { environment })).connect()
    await client.load({ modelPath })
    const reply = await client.predict([wireRequest([])])
    assert.deepEqual(JSON.parse(String(reply.predictions[0]?.body)), expected)
  }
})

test('options of a model come from a file at its load, which is also when its folder is entered', async (t) => {
  const file = path.join(temporaryFolder(t), 'options.json')
  const folder = await modelFolder(t, {
    'service.mjs': `export function handle(data) {
      return data?.map(() => [process.cwd(), process.env.OMP_NUM_THREADS])
    }`,
  })
  const shown = async (environment: Record<string, string>): Promise<unknown> => {
    const started = await startWorker(t, {
      environment: { ONNXD_WORKER_OPTIONS_FILE: file, ...environment },
    })
    writeFileSync(file, '{"threads":3}')
    const client = await started.connect()
    assert.equal((await client.load({ modelPath: folder })).code, 200)
    assert.equal(existsSync(file), false)
    const reply = await client.predict([wireRequest([])])
    return JSON.parse(String(reply.predictions[0]?.body))
  }
  assert.deepEqual(await shown({}), [folder, '3'])
  assert.deepEqual(await shown({ OMP_NUM_THREADS: '5' }), [folder, '5'])

  const worker = await startWorker(t, { environment: { ONNXD_WORKER_OPTIONS_FILE: file } })
  const failures: [text: string, modelPath: string, code: number, message: RegExp][] = [
    ['{"threads":0}', folder, 500, /^ONNXD_WORKER_OPTIONS: \{"threads":0\}$/],
    ['{}', path.join(folder, 'gone'), 400, /^The files of the model cannot be read \(ENOENT\)\.$/],
  ]
  for (const [text, modelPath, code, message] of failures) {
    writeFileSync(file, text)
    const reply = await (await worker.connect()).load({ modelPath })
    assert.equal(reply.code, code)
    assert.match(reply.message, message)
  }
})

test('a load reply ends in the pid; a failed load says why, and its connection is closed', async (t) => {
  const worker = await startWorker(t, { environment: { ONNXD_WORKER_OPTIONS: '{"threads":2}' } })
  const modelPath = await modelFolder(t, {
    'service.mjs': ECHO,
    'broken.mjs': 'export function handle() { throw new Error("first line\\nsecond line") }',
    'memory.mjs':
      'export function handle() { throw new RangeError("Array buffer allocation failed") }',
  })
  const good = await worker.connect()
  assert.deepEqual(await good.load({ modelPath, modelName: 'modèle' }), {
    code: 200,
    message: `loaded model modèle. [PID]:${worker.pid}`,
    predictions: [],
  })
  const failures: [handler: string, code: number, message: string][] = [
    ['broken.mjs', 500, 'first line second line'],
    ['memory.mjs', 507, 'System out of memory'],
    ['absent.mjs', 400, "The model's folder has no absent.mjs."],
  ]
  for (const [handler, code, message] of failures) {
    const client = await worker.connect()
    assert.deepEqual(await client.load({ modelPath, handler }), { code, message, predictions: [] })
    assert.deepEqual(await client.end(), [])
  }
  await worker.printed('second line', 'stderr')
  assert.equal((await good.predict([wireRequest([['body', 'still here']])])).code, 200)
})

test('requests are answered in order, whole, however they are cut', async (t) => {
  const worker = await startWorker(t)
  const modelPath = await modelFolder(t, {
    'service.mjs': `let count = 0
      export async function handle(data) {
        if (!data) return
        count += 1
        await new Promise((resolve) => setTimeout(resolve, count % 2 ? 10 : 0))
        return data.map((input) => input.body)
      }`,
  })
  const client = await worker.connect()
  const load = Buffer.concat(encodeLoad(loadRequest({ modelPath }), 'mms'))
  const predicts = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((text) =>
    Buffer.concat(encodePredict([wireRequest([['body', text]])])),
  )
  client.send(Buffer.concat([load, ...predicts]))
  assert.equal((await client.reply()).code, 200)
  let bodies = ''
  for (const _ of predicts) bodies += String((await client.reply()).predictions[0]?.body)
  assert.equal(bodies, 'abcdefgh')

  client.socket.setNoDelay(true)
  for (const byte of predicts[0] ?? []) {
    client.send(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  const reply = await client.reply()
  assert.deepEqual(reply, {
    code: 200,
    message: 'Prediction success',
    predictions: [
      { id: 'r1', contentType: '', status: 200, reason: '', headers: [], body: Buffer.from('a') },
    ],
  })
  // A front-end that has said all it wants to say is still answered.
  client.send(Buffer.concat(predicts))
  client.socket.end()
  assert.equal((await client.end()).length, predicts.length)
  assert.equal(worker.stderr, '')
})

test('a reply that the front-end does not read holds up the next run, not the worker', async (t) => {
  const worker = await startWorker(t)
  const modelPath = await modelFolder(t, {
    'service.mjs': `let count = 0
      export function handle(data) {
        if (data) console.log('run', ++count)
        return data?.map(() => Buffer.alloc(8 * 1024 * 1024, count))
      }`,
  })
  const client = await worker.connect()
  await client.load({ modelPath })
  client.socket.pause()
  const predict = Buffer.concat(encodePredict([wireRequest([])]))
  client.send(Buffer.concat([predict, predict, predict]))
  await worker.printed('run 1')
  const other = await worker.connect()
  await other.load({ modelPath, handler: 'service.mjs' })
  assert.doesNotMatch(worker.stdout, /run 2/)
  client.socket.resume()
  for (const marker of [1, 2, 3]) {
    const body = (await client.reply()).predictions[0]?.body
    assert.deepEqual([body?.length, body?.[0], body?.at(-1)], [8 * 1024 * 1024, marker, marker])
  }
})

test('bytes that break the protocol close their connection without a reply, and no other', async (t) => {
  const worker = await startWorker(t)
  const modelPath = await modelFolder(t, { 'service.mjs': ECHO })
  const neighbour = await worker.connect()
  await neighbour.load({ modelPath })
  const early = await worker.connect()
  early.send(encodePredict([wireRequest([['body', 'x']])]))
  assert.deepEqual(await early.end(), [])
  const hostile: [what: string, bytes: Buffer][] = [
    ['unknown command', Buffer.from('U')],
    ['a name of 2 GiB', Buffer.from('4c7fffffff', 'hex')],
    ['cut in the middle', Buffer.concat(encodeLoad(loadRequest({}), 'mms')).subarray(0, 20)],
  ]
  for (const [what, bytes] of hostile) {
    const client = await worker.connect()
    client.send(bytes)
    if (what.startsWith('cut')) client.socket.end()
    assert.deepEqual(await client.end(), [], what)
  }
  await until('one line for each', () => worker.stderr.split('Connection closed: ').length === 5)
  assert.equal((await neighbour.predict([wireRequest([['body', 'y']])])).code, 200)
})

test('every malformed message ends its connection without a reply', async (t) => {
  const worker = await startWorker(t)
  const modelPath = await modelFolder(t, { 'service.mjs': ECHO })
  const repliesTo = async (hex: string): Promise<readonly WorkerReply[]> => {
    const client = await worker.connect()
    await client.load({ modelPath })
    client.send(Buffer.from(hex, 'hex'))
    client.socket.end()
    return client.end()
  }
  for (const [what, hex, isReply] of BROKEN_MESSAGES) {
    if (!isReply) assert.deepEqual(await repliesTo(hex), [], what)
  }
  for (const { name, kind, hex } of ownVectors('mms')) {
    if (kind.endsWith('-response')) continue
    assert.deepEqual(await repliesTo(hex.slice(0, -2)), [], `${name} without its last byte`)
  }
  // Wrong JSON or text in a value costs the original its worker; here it costs one answer.
  const isAnswered = /-(bad-json|empty-json|json-bom)$/
  for (const { name, hex } of sharedVectors('mms')) {
    if (!name.startsWith('malformed-')) continue
    const [reply, ...more] = await repliesTo(hex)
    const statuses = [reply?.code, reply?.predictions[0]?.status, more.length]
    assert.deepEqual(
      statuses,
      isAnswered.test(name) ? [200, 400, 0] : [undefined, undefined, 0],
      name,
    )
  }
})

test('a second load replaces the model; each connection has a model of its own', async (t) => {
  const worker = await startWorker(t)
  const counter = `let count = 0
    export function handle(data) { return data?.map(() => String(++count)) }`
  const modelPath = await modelFolder(t, { 'counter.mjs': counter, 'service.mjs': ECHO })
  const clients = await Promise.all([worker.connect(), worker.connect()])
  const count = async (client: WorkerClient): Promise<string> =>
    String((await client.predict([wireRequest([])])).predictions[0]?.body)
  for (const client of clients) await client.load({ modelPath, handler: 'counter' })
  const [first, second] = clients
  assert.deepEqual([await count(first), await count(first), await count(second)], ['1', '2', '1'])
  assert.equal((await first.load({ modelPath })).code, 200)
  assert.equal(await count(first), 'nothing')
  assert.equal(await count(second), '2')
  first.socket.destroy()
  assert.equal(await count(second), '3')
  assert.equal((await (await worker.connect()).load({ modelPath })).code, 200)
})

test('a preloaded model is loaded once, after the ready line, for all connections', async (t) => {
  const modelPath = await modelFolder(t, {
    'service.mjs': `let runs = 0
      export async function handle(data, context) {
        if (!data) return console.log('initialised with', context.systemProperties.batchSize)
        const run = ++runs
        await new Promise((resolve) => setTimeout(resolve, 20))
        return data.map(() => \`\${run} \${runs}\`)
      }`,
    'broken.mjs': 'throw new Error("cannot preload")',
    'memory.mjs': `globalThis.loads ??= 0
      export function handle(data) {
        if (!data && ++globalThis.loads === 1) throw new Error('std::bad_alloc')
        return data?.map(() => 'ok')
      }`,
  })
  const preloading = async (handler: string) => {
    const folder = temporaryFolder(t)
    const socket = ['--sock-type', 'unix', '--sock-name', path.join(folder, 'w.sock')]
    const model = ['--handler', handler, '--model-path', modelPath, '--model-name', 'm']
    return startWorker(t, { folder, args: [...socket, ...model, '--preload-model', 'YES'] })
  }
  const worker = await preloading('service.mjs')
  const clients = await Promise.all([worker.connect(), worker.connect()])
  for (const client of clients) {
    assert.equal((await client.load({ modelPath: '/nowhere', batchSize: 4 })).code, 200)
  }
  const runs = await Promise.all(clients.map((client) => client.predict([wireRequest([])])))
  // Had the calls overlapped, the first would have seen the second begin.
  assert.deepEqual(runs.map(({ predictions }) => String(predictions[0]?.body)).toSorted(), [
    '1 1',
    '2 2',
  ])
  assert.equal(worker.stdout.match(/initialised with 1/g)?.length, 1)
  assert.ok(worker.stdout.indexOf('MMS worker started.') < worker.stdout.indexOf('initialised'))

  const broken = await preloading('broken.mjs')
  assert.equal((await broken.exited).code, 1)
  assert.match(broken.stderr, /cannot preload/)

  const memory = await preloading('memory.mjs')
  const client = await memory.connect()
  assert.equal((await client.load({ modelPath, handler: 'memory.mjs' })).code, 200)
})

test('a worker for one connection takes no second one and ends with it', async (t) => {
  const modelPath = await modelFolder(t, { 'service.mjs': ECHO })
  const environment = { ONNXD_WORKER_ONCE: '1' }
  const worker = await startWorker(t, { environment })
  const client = await worker.connect()
  assert.equal((await client.load({ modelPath })).code, 200)
  await assert.rejects(worker.connect(), /ENOENT|ECONNREFUSED/)
  client.socket.destroy()
  assert.deepEqual(await worker.exited, { code: 0, signal: null })

  const attacked = await startWorker(t, { environment })
  ;(await attacked.connect()).send(Buffer.from('garbage'))
  assert.deepEqual(await attacked.exited, { code: 1, signal: null })
})

test('a worker stuck in a loop dies with its front-end', async (t) => {
  const folder = temporaryFolder(t)
  const modelPath = await modelFolder(t, {
    'service.mjs': `export function handle(data) {
      if (data) { console.log('stuck'); for (;;) {} }
    }`,
  })
  const socketPath = path.join(folder, 'w.sock')
  const script = `
    const { spawn } = require('node:child_process')
    spawn(process.execPath, ${JSON.stringify([WORKER_ENTRY, '--sock-type', 'unix', '--sock-name', socketPath])}, {
      env: { ...process.env, ONNXD_PARENT_PID: String(process.pid) },
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    setInterval(() => {}, 1000)`
  const frontEnd = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  frontEnd.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  await until('the worker listens', () => output.includes('Node runtime'))
  const pid = Number(/^\[PID\] (\d+)$/m.exec(output)?.[1])
  const client = await WorkerClient.connect({ path: socketPath })
  t.after(() => {
    if (!client.isClosed) process.kill(pid, 'SIGKILL')
    frontEnd.kill('SIGKILL')
  })
  await client.load({ modelPath })
  client.send(encodePredict([wireRequest([])]))
  await until('the worker is stuck', () => output.includes('stuck'))
  frontEnd.kill('SIGKILL')
  const killedAt = performance.now()
  // Its socket closes with the worker; a pid may stay a while, until somebody reaps it.
  assert.deepEqual(await client.end(), [])
  const lagMs = performance.now() - killedAt
  assert.ok(lagMs < 15_000, `${lagMs} ms`)
})

test('a response above the limit becomes an error of its own', async (t) => {
  const worker = await startWorker(t, {
    environment: { ONNXD_WORKER_OPTIONS: '{"maxResponseBytes":100}' },
  })
  const modelPath = await modelFolder(t, {
    'service.mjs':
      'export const handle = (data) => data?.map((input) => "x".repeat(Number(input.n)))',
  })
  const client = await worker.connect()
  await client.load({ modelPath })
  const requests = ['100', '101'].map((n) => wireRequest([['n', n, 'text/plain']], [], n))
  const { code, predictions } = await client.predict(requests)
  assert.equal(code, 200)
  assert.deepEqual(
    predictions.map(({ id, status }) => [id, status]),
    [
      ['100', 200],
      ['101', 507],
    ],
  )
  assert.deepEqual(JSON.parse(String(predictions[1]?.body)), {
    code: 507,
    type: 'InsufficientMemoryException',
    message: 'The response has 101 bytes, more than the limit of 100 (maxResponseBytes).',
  })
})
