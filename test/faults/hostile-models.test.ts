/** Block M: models that are no models, lie, never end, or want more memory than there is. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { bothFormats, uploadForm } from '../helpers/archives.ts'
import {
  chainModel,
  foreignNode,
  functionBomb,
  growingLoop,
  modelOfConstant,
  modelOfExternal,
  modelOfNodes,
  modelOfOutputs,
  modelWithoutInputs,
  nestedGraphs,
  nestedTypes,
  recursiveModel,
  writeLargeModel,
  zerosModel,
} from '../helpers/hostile-onnx.ts'
import { httpProcesses } from '../helpers/http-processes.ts'
import { workersOf } from '../helpers/observe.ts'
import { field, model, node, tensorValue } from '../helpers/onnx-fields.ts'
import { addModel } from '../helpers/onnx-files.ts'
import { randomNumbers } from '../helpers/random.ts'
import { listing, runtimeFolder, temporaryFolder, until } from '../helpers/server.ts'
import { zipOf } from '../helpers/zip.ts'
import { assertError, block, isFull, size } from './harness.ts'
import type { Answer, Laboratory } from './harness.ts'

const MEMORY_MIB = 512
/** Beyond the load timeout: to start, to kill, to answer, on a busy machine. */
const GRACE_MS = 5000
const LOAD_TIMEOUT_MS = 10_000
const JSON_TYPE = { 'content-type': 'application/json' }
const FLOAT = 1
const NAME = 'attacked'

const row = block({ settings: { workerMemoryMib: MEMORY_MIB } })

const upload = (
  server: Laboratory,
  bytes: Buffer,
  fields: Readonly<Record<string, string>> = {},
): Promise<Answer> => server.call('POST', '/models', uploadForm(NAME, bytes, 'm.onnx', fields))

type Attack = readonly [what: string, bytes: Buffer, reason?: RegExp]

/** Each load takes a process, so `npm test` takes every fifth case. */
const chosen = <T>(cases: readonly T[]): T[] =>
  cases.filter((_, index) => isFull || index % 5 === 0)

/** Uploads each model under one name. It is refused in time, and the name is free again. */
async function refuseAll(
  server: Laboratory,
  attacks: readonly Attack[],
  {
    statuses = [400],
    timeoutMs = LOAD_TIMEOUT_MS,
  }: { statuses?: number[]; timeoutMs?: number } = {},
): Promise<void> {
  for (const [what, bytes, reason = /./] of chosen(attacks)) {
    const startedAt = performance.now()
    const answer = await upload(server, bytes, { startup_timeout: String(timeoutMs / 1000) })
    const tookMs = performance.now() - startedAt
    assert.ok(statuses.includes(answer.status), `${what}: ${answer.status} ${answer.text}`)
    assertError(answer, ...statuses)
    assert.match((JSON.parse(answer.text) as { message: string }).message, reason, what)
    assert.ok(answer.text.length < 8192, `${what}: the text has ${answer.text.length} characters`)
    assert.ok(tookMs < timeoutMs + GRACE_MS, `${what} took ${tookMs} ms`)
  }
  await assertIsFree(server)
}

/** A sound model can have the name, and is served. */
async function assertIsFree(server: Laboratory): Promise<void> {
  const answer = await upload(server, addModel(1))
  assert.equal(answer.status, 200, answer.text)
  assert.deepEqual(await add(server, 1), { y: [2] })
  await server.unregister(NAME)
}

async function add(server: Laboratory, value: number): Promise<unknown> {
  const { status, text } = await server.predict(NAME, JSON.stringify({ x: [value] }), JSON_TYPE)
  assert.equal(status, 200, text)
  return JSON.parse(text)
}

row('M01', 'files that are no models are refused in words', async (server) => {
  const sound = addModel(1)
  const random = randomNumbers(20_261_129)
  const noise = Buffer.from(Array.from({ length: 4096 }, () => random.integer(0, 255)))
  const parts = size(4, 16)
  // The tag of the graph, and a length of 2 GiB.
  const lengthBomb = Buffer.concat([field(1, 8), Buffer.from([0x3a, 0x80, 0x80, 0x80, 0x80, 0x08])])
  const invalid = /^Failed to start workers: |is empty/
  await refuseAll(server, [
    ['nothing', Buffer.alloc(0), /is empty/],
    ['one byte', Buffer.from([8]), invalid],
    ['zeros', Buffer.alloc(1000), invalid],
    ['random bytes', noise, invalid],
    ['HTML', Buffer.from('<!doctype html><title>404</title>'), /HTML/],
    ['a zip file', zipOf([{ name: 'model.onnx', data: sound }]), /zip/i],
    ['a length of 2 GiB', lengthBomb, invalid],
    ['a length of 2^64', Buffer.from([0x3a, ...Buffer.alloc(9, 0xff), 1]), invalid],
    ['no graph', Buffer.concat([field(1, 8), field(8, field(2, 17))]), invalid],
    ...Array.from({ length: parts - 1 }, (_, index): Attack => {
      const length = Math.floor((sound.length * (index + 1)) / parts)
      return [`cut to ${length} of ${sound.length} bytes`, sound.subarray(0, length), invalid]
    }),
  ])
})

row(
  'M02',
  'graphs that make no sense are refused with the reason of the runtime',
  async (server) => {
    const relu = node('Relu', ['x'], ['y'])
    const opset = (version: number): Buffer => field(8, field(2, version))
    const graph = Buffer.concat([
      field(1, relu),
      field(2, 'graph'),
      field(11, tensorValue('x', FLOAT, [1])),
      field(12, tensorValue('y', FLOAT, [1])),
    ])
    const cycle = [
      node('Add', ['x', 'b'], ['a']),
      node('Relu', ['a'], ['b']),
      node('Relu', ['b'], ['y']),
    ]
    const long = 'N'.repeat(100_000)
    await refuseAll(server, [
      ['unknown operator', modelOfNodes([node('Nope', ['x'], ['y'])]), /No Op registered for Nope/],
      ['a name of 100 kB', modelOfNodes([node(long, ['x'], ['y'])]), /NNN.*…$/s],
      ['unknown domain', modelOfNodes([foreignNode('com.example', 'Nope')]), /com\.example/],
      [
        'operator set 9999',
        Buffer.concat([field(1, 8), opset(9999), field(7, graph)]),
        /opset|Opset|operator/i,
      ],
      ['format 9999', Buffer.concat([field(1, 9999), opset(17), field(7, graph)]), /IR|version/],
      ['cycle', modelOfNodes(cycle), /cycl|acyclic|topological/i],
      ['two makers of one output', modelOfNodes([relu, relu]), /[Dd]uplicate/],
      ['missing input', modelOfNodes([node('Add', ['x', 'nowhere'], ['y'])]), /nowhere/],
      ['output that nothing makes', modelOfNodes([node('Relu', ['x'], ['z'])]), /y/],
      ['path for a name', modelOfNodes([node('/etc/secret/x', ['x'], ['y'])])],
    ])
  },
)

row('M03', 'functions without an end cost one load timeout, and their process', async (server) => {
  await refuseAll(server, [['a function that calls itself', recursiveModel(), /recursive/]])
  const timeoutMs = size(2000, LOAD_TIMEOUT_MS)
  const bomb: Attack = ['2^25 operators', functionBomb(25), /took longer than|memory/]
  await refuseAll(server, [bomb], { statuses: [400, 504, 507], timeoutMs })
  const length = size(2000, 100_000)
  const chain = await upload(server, chainModel(length))
  assert.ok([200, 504, 507].includes(chain.status), `${length} operators: ${chain.text}`)
  if (chain.status !== 200) return
  assert.deepEqual(await add(server, 3), { y: [3] })
  await server.unregister(NAME)
})

row('M04', 'messages in messages without an end are refused', async (server) => {
  await refuseAll(
    server,
    [100, 1000, 5000].flatMap((levels): Attack[] => [
      [`${levels} graphs`, nestedGraphs(levels)],
      [`${levels} types`, nestedTypes(levels)],
    ]),
  )
})

/** What must never be seen: four floats of a file outside of the model. */
const CANARY = [31_337.25, -31_337.25, 1e9, 31_337.25]
const secretBytes = (): Buffer => Buffer.from(Float32Array.from(CANARY).buffer)

row('M05', 'weights outside of the model are not read', async (server, t) => {
  const outside = temporaryFolder(t)
  const secret = path.join(outside, 'secret.bin')
  writeFileSync(secret, secretBytes())
  const folder = path.join(server.store, 'm')
  mkdirSync(path.join(folder, 'inner'), { recursive: true })
  symlinkSync(secret, path.join(folder, 'link.bin'))
  symlinkSync(outside, path.join(folder, 'linked'))
  writeFileSync(path.join(folder, 'empty.bin'), '')
  writeFileSync(path.join(server.store, 'beside.bin'), secretBytes())
  const toSecret = path.relative(folder, secret)
  const locations: Readonly<Record<string, string>> = {
    absolute: secret,
    'dot dot': '../beside.bin',
    'dot dot to the outside': toSecret,
    'dot dot inside': 'inner/../../beside.bin',
    'dot dot behind a folder that is missing': `none/../${toSecret}`,
    symlink: 'link.bin',
    'linked folder': 'linked/secret.bin',
    missing: 'missing.bin',
    empty: 'empty.bin',
    'no name': '',
    folder: 'inner',
    device: '/dev/zero',
    'device of the process': '/proc/self/environ',
    NUL: 'a\0b',
    '64 KiB': 'x'.repeat(65_536),
  }
  const attempt = async (what: string, send: () => Promise<Answer>): Promise<void> => {
    const answer = await send()
    assertError(answer, 400)
    assert.doesNotMatch(answer.text, /31337/, what)
  }
  for (const [what, location] of chosen(Object.entries(locations))) {
    const bytes = modelOfExternal({ location })
    writeFileSync(path.join(folder, 'model.onnx'), bytes)
    const isLink = location.startsWith('link')
    // Links are refused for the whole folder, so the others are tried without them.
    const url = isLink ? 'm' : 'm/model.onnx'
    await attempt(what, () => server.call('POST', `/models?url=${url}&model_name=${NAME}`))
    if (isFull || location === secret) await attempt(what, () => upload(server, bytes))
  }
  for (const [fileName, bytes] of bothFormats([
    { name: 'model.onnx', data: modelOfExternal({ location: '../weights.bin' }) },
    { name: 'weights.bin', data: secretBytes() },
  ])) {
    await attempt(fileName, () => server.call('POST', '/models', uploadForm(NAME, bytes, fileName)))
  }
  rmSync(folder, { recursive: true })
  mkdirSync(folder)
  execFileSync('mkfifo', [path.join(folder, 'fifo.bin')])
  writeFileSync(path.join(folder, 'model.onnx'), modelOfExternal({ location: 'fifo.bin' }))
  for (const url of ['m', 'm/model.onnx'])
    await attempt('FIFO', () => server.call('POST', `/models?url=${url}&model_name=${NAME}`))
  rmSync(folder, { recursive: true })
  rmSync(path.join(server.store, 'beside.bin'))
  await assertIsFree(server)
})

row('M06', 'a hard link in the store is served, and none comes with a file', async (server, t) => {
  // Hard links in the store are allowed: only users who may write to the store can make one, and
  // stores with shared files contain many of them.
  const weights = path.join(temporaryFolder(t), 'weights.bin')
  writeFileSync(weights, Buffer.from(Float32Array.of(1).buffer))
  const folder = path.join(server.store, 'm')
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'model.onnx'), modelOfExternal({ location: 'w.bin' }))
  linkSync(weights, path.join(folder, 'w.bin'))
  await server.register(NAME, 'm')
  assert.deepEqual(await add(server, 1), { y: [2] })
  await server.unregister(NAME)
  rmSync(folder, { recursive: true })
  const [, [fileName, tar] = ['', Buffer.alloc(0)]] = bothFormats([
    { name: 'model.onnx', data: modelOfExternal({ location: 'w.bin' }) },
    { name: 'w.bin', data: readFileSync(weights) },
  ])
  const sound = await server.call('POST', '/models', uploadForm(NAME, tar, fileName))
  assert.equal(sound.status, 200, 'weights that the archive brings are read')
  assert.deepEqual(await add(server, 1), { y: [2] })
  await server.unregister(NAME)
})

row('M07', 'places of weights that are not in their file are refused', async (server) => {
  const max = String(2n ** 63n - 1n)
  const location = 'w.bin'
  const entries: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    'offset -1': { location, offset: '-1' },
    'offset 2^63-1': { location, offset: max },
    'offset 2^64': { location, offset: String(2n ** 64n) },
    'offset past the end': { location, offset: '4096' },
    'offset no number': { location, offset: 'four' },
    'length -1': { location, length: '-1' },
    'length 2^63-1': { location, length: max },
    'length past the end': { location, length: '400' },
    'length too short': { location, length: '2' },
    'both overflow': { location, offset: max, length: max },
    'address in memory': { location: '*/_ORT_MEM_ADDR_/*', offset: '4096', length: '4' },
    'address 0 in memory': { location: '*/_ORT_MEM_ADDR_/*', offset: '0', length: '4' },
  }
  const folder = path.join(server.store, 'm')
  mkdirSync(folder)
  writeFileSync(path.join(folder, location), Buffer.alloc(16))
  const attempt = async (what: string, bytes: Buffer): Promise<void> => {
    writeFileSync(path.join(folder, 'model.onnx'), bytes)
    const answer = await server.call('POST', `/models?url=m&model_name=${NAME}`)
    assert.equal(answer.status, 400, `${what}: ${answer.text}`)
    assertError(answer, 400)
  }
  for (const [what, each] of chosen(Object.entries(entries)))
    await attempt(what, modelOfExternal(each))
  await attempt('more than is there', modelOfExternal({ location }, [1000]))
  await attempt('2^40 elements', modelOfExternal({ location }, [2 ** 20, 2 ** 20]))
  rmSync(folder, { recursive: true })
  await assertIsFree(server)
})

row('M08', 'weights that are not what they say are refused', async (server) => {
  const float = field(2, FLOAT)
  const four = field(9, Buffer.alloc(4))
  const dims = (...values: (number | bigint)[]): Buffer =>
    Buffer.concat(values.map((value) => field(1, value)))
  await refuseAll(server, [
    ['more than there is', modelOfConstant(dims(1000), float, four)],
    ['less than there is', modelOfConstant(dims(1), float, field(9, Buffer.alloc(400)))],
    ['negative', modelOfConstant(dims(-1n), float, four)],
    ['2^62', modelOfConstant(dims(2n ** 62n), float, four)],
    ['a product that overflows', modelOfConstant(dims(2n ** 32n, 2n ** 32n), float, four)],
    ['type 0', modelOfConstant(dims(1), field(2, 0), four)],
    ['type 99', modelOfConstant(dims(1), field(2, 99), four)],
    ['type of another size', modelOfConstant(dims(1), field(2, 11), four)],
    ['no data', modelOfConstant(dims(1), float)],
    [
      '1000 dimensions',
      modelOfConstant(dims(...Array.from({ length: 1000 }, () => 2)), float, four),
    ],
  ])
})

row('M09', 'any number of inputs, outputs and letters is refused or served', async (server) => {
  const count = size(1000, 10_000)
  const long = 1 << 20
  const names = Array.from({ length: count }, (_, index) => `y${index}`)
  const models: readonly [what: string, bytes: Buffer, statuses: number[]][] = [
    ['no inputs', modelWithoutInputs(), [200]],
    ['no outputs', modelOfOutputs([]), [400]],
    // onnxruntime loads outputs in quadratic time, so the load timeout may come first.
    [`${count} outputs`, modelOfOutputs(names), [200, 504]],
    ['names of 1 MiB', modelOfOutputs(['y'.repeat(long)], ['x'.repeat(long)]), [200]],
    ['an output twice', modelOfOutputs(['y', 'y']), [200, 400]],
    ['an input twice', modelOfOutputs(['y'], ['x', 'x']), [400]],
    ['no name', modelOfOutputs([''], ['']), [400]],
    ['__proto__', modelOfOutputs(['constructor'], ['__proto__']), [200]],
    ['nothing at all', model(field(2, 'graph')), [200, 400]],
  ]
  for (const [what, bytes, statuses] of chosen(models)) {
    const answer = await upload(server, bytes)
    assert.ok(statuses.includes(answer.status), `${what}: ${answer.status} ${answer.text}`)
    if (answer.status !== 200) {
      assertError(answer, ...statuses)
      continue
    }
    for (const response of [
      await server.fetch(`/v2/models/${NAME}`),
      await server.manage(`/models/${NAME}`),
      await server.fetch(`/models/${NAME}/openapi.json`),
    ]) {
      const text = await response.text()
      assert.ok(response.status < 500, `${what}: ${response.status}`)
      assert.ok(text.length < 8 * bytes.length + 65_536, `${what}: ${text.length} characters`)
      JSON.parse(text)
    }
    const prediction = await server.predict(NAME, '{"x":[1]}', JSON_TYPE)
    assert.ok([200, 400].includes(prediction.status), `${what}: ${prediction.text}`)
    await server.unregister(NAME)
  }
})

row('M10', 'libraries of custom operators are not loaded', async (server) => {
  const folder = path.join(server.store, 'm')
  mkdirSync(path.join(folder, '1'), { recursive: true })
  writeFileSync(path.join(folder, 'evil.so'), 'no library: loading it would fail')
  writeFileSync(path.join(folder, '1', 'model.onnx'), addModel(1))
  const library = path.join(folder, 'evil.so')
  const configs = [
    `model_operations { op_library_filename: [ ${JSON.stringify(library)} ] }`,
    `model_operations { op_library_filename: "evil.so" }`,
    `parameters { key: "custom_ops_library" value { string_value: ${JSON.stringify(library)} } }`,
  ]
  for (const config of chosen(configs)) {
    writeFileSync(path.join(folder, 'config.pbtxt'), config)
    await server.register(NAME, 'm')
    assert.deepEqual(await add(server, 1), { y: [2] })
    await server.unregister(NAME)
  }
  writeFileSync(path.join(folder, '1', 'model.onnx'), modelOfNodes([foreignNode('evil', 'Op')]))
  assertError(await server.call('POST', `/models?url=m&model_name=${NAME}`), 400)
  rmSync(path.join(folder, 'config.pbtxt'))
  writeFileSync(path.join(folder, '1', 'model.onnx'), addModel(1))
  for (const settings of ['{"customOps":["evil.so"]}', '{"providers":["./evil.so"]}']) {
    writeFileSync(path.join(folder, '1', 'model.json'), settings)
    assertError(await server.call('POST', `/models?url=m&model_name=${NAME}`), 400)
  }
  rmSync(folder, { recursive: true })
})

row('M11', 'a model whose file became garbage is served by the worker it has', async (server) => {
  const file = path.join(server.store, `${NAME}.onnx`)
  writeFileSync(file, addModel(1))
  await server.register(NAME, `${NAME}.onnx`)
  for (const bytes of [addModel(2), Buffer.from('garbage')]) {
    writeFileSync(file, bytes)
    const scaling = `/models/${NAME}?min_worker=${2 * httpProcesses}&synchronous=true`
    assertError(await server.call('PUT', scaling), 409)
    assert.deepEqual(await add(server, 1), { y: [2] }, 'the old worker goes on')
  }
  for (const { pid } of await workersOf(server, NAME)) process.kill(pid, 'SIGKILL')
  await until(async () =>
    (await workersOf(server, NAME)).every(({ lastFailure = '' }) =>
      /"attacked\.onnx" has changed/.test(lastFailure),
    ),
  )
  const answer = await server.predict(NAME, '{"x":[0]}', JSON_TYPE)
  assert.ok(answer.status >= 500, 'no answer is better than one of another network')
  writeFileSync(file, addModel(3))
  const again = await server.call('POST', `/v2/repository/models/${NAME}/load`)
  assert.equal(again.status, 200, again.text)
  assert.deepEqual(await add(server, 1), { y: [4] })
  await server.unregister(NAME)
  rmSync(file)
})

row('M12', 'an upload whose digest is another one is refused and deleted', async (server) => {
  const bytes = addModel(1)
  const digest = createHash('sha256').update(bytes).digest('hex')
  const send = (sha256: string, isFirst: boolean): Promise<Answer> => {
    const form = new FormData()
    form.set('model_name', NAME)
    if (isFirst) form.set('sha256', sha256)
    form.set('model', new Blob([bytes]), 'm.onnx')
    if (!isFirst) form.set('sha256', sha256)
    return server.call('POST', '/models', form)
  }
  const other = digest.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))
  for (const isFirst of [true, false]) {
    const wrong = await send(other, isFirst)
    assertError(wrong, 400)
    const { message } = JSON.parse(wrong.text) as { message: string }
    assert.equal(message, `The SHA-256 of the uploaded file is ${digest}, not ${other}.`)
    for (const malformed of [digest.slice(1), `${digest}0`, 'x'.repeat(64)]) {
      const refused = await send(malformed, isFirst)
      assertError(refused, 400)
      assert.match(refused.text, /sha256/)
    }
  }
  for (const [sha256, isFirst] of [
    [digest, true],
    [digest.toUpperCase(), false],
  ] as const) {
    assert.equal((await send(sha256, isFirst)).status, 200)
    const uploads = listing(path.join(runtimeFolder(server), 'models'))
    assert.equal(uploads.filter((name) => name.endsWith('.onnx')).length, 1, uploads.join(' '))
    await server.unregister(NAME)
  }
})

/** The largest memory that a process has had, MiB. */
function peakMib(pid: number): number {
  const [, kib = '0'] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kib) / 1024
}

async function workerPid(server: Laboratory): Promise<number> {
  const [worker] = await workersOf(server, NAME)
  assert.ok(worker !== undefined)
  return worker.pid
}

row(
  'M13',
  'constants of gigabytes are loaded, and cost the request that wants them',
  async (server) => {
    for (const [shape, status] of [
      [[2n ** 30n], 507],
      [[2n ** 38n], 507],
      [[2n ** 20n, 2n ** 18n], 507],
      [[2n ** 40n, 2n ** 40n], 400],
    ] as const) {
      const loaded = await upload(server, zerosModel(shape))
      assert.equal(loaded.status, 200, loaded.text)
      const pid = await workerPid(server)
      assertError(await server.predict(NAME, '{"x":[1]}', JSON_TYPE), status)
      assert.equal(await workerPid(server), pid, 'the worker goes on')
      assert.ok(peakMib(pid) < MEMORY_MIB, `${peakMib(pid)} MiB`)
      await server.unregister(NAME)
    }
    assertError(await upload(server, zerosModel([-1n])), 400)
  },
)

row(
  'M14',
  'a loop that keeps more and more ends at the limit of memory or time',
  async (server) => {
    for (const floats of chosen([1n, 2n ** 10n, 2n ** 20n])) {
      const loaded = await upload(server, growingLoop(floats))
      assert.equal(loaded.status, 200, loaded.text)
      const small = await server.predict(NAME, '{"x":[1],"turns":2}', JSON_TYPE)
      assert.equal(small.status, 200, small.text)
      const pid = await workerPid(server)
      const watch = { peak: 0 }
      const timer = setInterval(() => {
        try {
          watch.peak = Math.max(watch.peak, peakMib(pid))
        } catch {
          clearInterval(timer)
        }
      }, 20)
      const answer = await server.predict(NAME, '{"x":[1],"turns":1000000000000}', JSON_TYPE)
      clearInterval(timer)
      assertError(answer, 504, 507)
      assert.ok(watch.peak < MEMORY_MIB + 128, `${watch.peak} MiB`)
      await server.unregister(NAME)
    }
  },
)

row(
  'M15',
  'a model that is larger than the memory of a worker is refused with 507',
  async (server) => {
    const file = path.join(server.store, 'large.onnx')
    const before = peakMib(server.pid)
    writeLargeModel(file, size(600, 2000))
    const answer = await server.call('POST', `/models?url=large.onnx&model_name=${NAME}`)
    assertError(answer, 507)
    writeLargeModel(file, 8)
    await server.register(NAME, 'large.onnx')
    await server.unregister(NAME)
    rmSync(file)
    const grownBy = peakMib(server.pid) - before
    assert.ok(grownBy < 64, `the front-end grew by ${grownBy} MiB`)
  },
)

row('M16', 'a response larger than the limit is 507 and never in the front-end', async (server) => {
  const loaded = await upload(server, zerosModel())
  assert.equal(loaded.status, 200, loaded.text)
  const before = peakMib(server.pid)
  const ask = (floats: number, accept: string): Promise<Answer> =>
    server.predict(NAME, JSON.stringify({ x: [1], shape: [floats] }), { ...JSON_TYPE, accept })
  const tooLarge = [20_000_000, 25_000_000, 50_000_000, 100_000_000]
  for (const floats of tooLarge) {
    for (const accept of ['application/octet-stream', 'application/json']) {
      const answer = await ask(floats, accept)
      // 20 million ones are 40 MB of JSON.
      if (answer.status === 200 && accept === 'application/json' && floats === 20_000_000) continue
      assertError(answer, 504, 507)
    }
  }
  const grownBy = peakMib(server.pid) - before
  assert.ok(grownBy < 200, `the front-end grew by ${grownBy} MiB`)
  const { text } = await ask(2, 'application/json')
  assert.deepEqual(JSON.parse(text), { y: [1, 1] })
  await server.unregister(NAME)
})
