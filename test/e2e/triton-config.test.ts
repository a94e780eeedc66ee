/**
 * Repositories of Triton: what of their `config.pbtxt` counts, and where the operator reads what
 * does not.
 */
import assert from 'node:assert/strict'
import { mkdirSync, renameSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const network = readFileSync(path.resolve('examples/iris/model.onnx'))

interface ConfigKey {
  readonly from: string
  readonly key: string
  readonly outcome: string
  readonly text: string
}

/** A store of one model `m` with versions and a configuration. */
function repository(
  t: TestContext,
  config: string,
  versions: readonly string[] = ['1'],
  settings?: object,
): string {
  const store = temporaryFolder(t)
  for (const version of versions) {
    mkdirSync(path.join(store, 'm', version), { recursive: true })
    writeFileSync(path.join(store, 'm', version, 'model.onnx'), network)
  }
  writeFileSync(path.join(store, 'm', 'config.pbtxt'), config)
  if (settings !== undefined)
    writeFileSync(path.join(store, 'm', 'model.json'), JSON.stringify(settings))
  return store
}

async function describe(server: TestServer): Promise<{
  batchSize: number
  maxBatchDelay: number
  minWorkers: number
  modelConfig?: ConfigKey[]
  settings: Record<string, { value: unknown; from: string }>
}> {
  const answer = await server.manage('/models/m')
  assert.equal(answer.status, 200)
  return (await json(answer)) as Awaited<ReturnType<typeof describe>>
}

const linesOf = (keys: readonly ConfigKey[] = []): string[] =>
  keys.map(({ key, outcome, text }) => `${outcome} ${key}: ${text}`)

test('C15: each key of a config.pbtxt is reported as read, changed or ignored, in the log and by GET', async (t) => {
  const config = `
    name: "m" platform: "onnxruntime_onnx" backend: "onnxruntime"
    max_batch_size: 100000
    input [ { name: "features" data_type: TYPE_FP32 dims: [ 4 ] allow_ragged_batch: false } ]
    output [ { name: "label" data_type: TYPE_INT64 dims: [ 1 ] }, { name: "x" dims: 3 } ]
    instance_group [ { count: 1 kind: KIND_CPU rate_limiter { resources [] } }, { kind: KIND_CPU } ]
    dynamic_batching {
      preferred_batch_size: [ 4, 8 ]
      max_queue_delay_microseconds: 100
      default_queue_policy { timeout_action: REJECT }
    }
    response_cache { enable: true }
    optimization { graph { level: 1 } }
    model_warmup [ { name: "a" }, { name: "b" } ]
    parameters { key: "intra_op_thread_count" value: { string_value: "4" } }
    version_policy: { all { } }
    max_batchsize: 3
    instance_group { cont: 2 }
  `
  const server = await serve(t, [], { modelStore: repository(t, config), workers: 0 })
  const { modelConfig, maxBatchDelay, settings, minWorkers } = await describe(server)
  assert.deepEqual([maxBatchDelay, minWorkers, settings['batchSize']?.value], [0.1, 3, 65_536])
  assert.deepEqual(new Set(modelConfig?.map(({ from }) => from)), new Set(['config.pbtxt']))
  assert.deepEqual(linesOf(modelConfig), [
    'ignored name: the model name comes from the folder, the archive or the registration',
    'read platform: used unchanged',
    'read backend: used unchanged',
    'changed max_batch_size: batchSize = 65536, maxBatchSize = 100000 (batchSize is at most 65536)',
    'ignored input: onnxd reads names, types and shapes of inputs and outputs from the ONNX file',
    'ignored input.allow_ragged_batch: onnxd never joins requests of different shapes into one run',
    'ignored output: onnxd reads names, types and shapes of inputs and outputs from the ONNX file',
    'read instance_group.count: workers = 3',
    'ignored instance_group.kind: the settings gpus and providers select the device',
    'ignored instance_group.rate_limiter: onnxd has no rate limiter; a free worker gets the next batch',
    'ignored instance_group.cont: ModelConfig of Triton has no such field; did you mean count?',
    'ignored dynamic_batching.preferred_batch_size: a batch takes all waiting requests, up to max_batch_size',
    'read dynamic_batching.max_queue_delay_microseconds: maxBatchDelay = 0.1',
    'ignored dynamic_batching.default_queue_policy: the settings queueSize and queueTimeout and the timeout of a request limit the wait',
    'ignored response_cache: onnxd has no response cache',
    'ignored optimization: use the settings graphOptimization, providers and threads instead',
    'ignored model_warmup: onnxd warms up each model with zeros, unless warmUp in model.json is false',
    'ignored parameters: set parameters of onnxd in model.json',
    'read version_policy: used unchanged',
    'ignored max_batchsize: ModelConfig of Triton has no such field; did you mean max_batch_size?',
  ])
  await server.logged(({ msg }) => msg === 'model configuration')
  const logged = server.logLines.filter(({ msg }) => msg === 'model configuration')
  assert.equal(logged.length, 1)
  const [{ model, read, changed, ignored } = {}] = logged
  assert.equal(model, 'm')
  const all = [read, changed, ignored].flat().map(String).toSorted()
  const expected = modelConfig?.map(({ from, key, text }) => `${from}: ${key}: ${text}`).toSorted()
  assert.deepEqual(all, expected)
})

test('C15: what model.json sets is not what config.pbtxt says, and the report says so', async (t) => {
  const store = repository(
    t,
    'max_batch_size: 8 instance_group { count: 2 } dynamic_batching { }',
    ['1'],
    {
      batchSize: 3,
      maxBatchSize: 5,
      workers: 0,
    },
  )
  const { batchSize, minWorkers, modelConfig } = await describe(
    await serve(t, [], { modelStore: store }),
  )
  assert.deepEqual([batchSize, minWorkers], [3, 0])
  assert.deepEqual(linesOf(modelConfig), [
    'ignored max_batch_size: model.json sets batchSize and maxBatchSize',
    'ignored instance_group.count: model.json sets workers',
    'read dynamic_batching: the value is empty',
  ])
})

test('C15: a model without a configuration has no report, and one from a load request has its own', async (t) => {
  const store = temporaryFolder(t)
  writeFileSync(path.join(store, 'm.onnx'), network)
  const server = await serve(t, [], { modelStore: store })
  assert.equal((await describe(server)).modelConfig, undefined)
  const config = JSON.stringify({
    max_batch_size: 4,
    dynamic_batching: { max_queue_delay_microseconds: 50, preferred_batch_size: [2, 4] },
    instanceGroup: [{ count: '1' }],
    responseCache: { enable: true },
    versionPolicy: { all: {} },
    platform: 'onnxruntime_onnx',
    input: null,
    bach: 1,
  })
  const answer = await server.manage('/v2/repository/models/m/load', {
    method: 'POST',
    body: JSON.stringify({ parameters: { config } }),
  })
  assert.equal(answer.status, 200)
  const { modelConfig, maxBatchDelay } = await describe(server)
  assert.equal(maxBatchDelay, 0.05)
  assert.deepEqual(new Set(modelConfig?.map(({ from }) => from)), new Set(['load request']))
  assert.deepEqual(linesOf(modelConfig), [
    'read max_batch_size: batchSize = 4, maxBatchSize = 4',
    'read dynamic_batching.max_queue_delay_microseconds: maxBatchDelay = 0.05',
    'ignored dynamic_batching.preferred_batch_size: a batch takes all waiting requests, up to max_batch_size',
    'read instance_group.count: workers = 1',
    'ignored response_cache: onnxd has no response cache',
    'ignored version_policy: this field has an effect only in config.pbtxt',
    'ignored platform: this field has an effect only in config.pbtxt',
    'ignored bach: ModelConfig of Triton has no such field',
  ])
  const shown = (await json(await server.fetch('/v2/models/m/config'))) as {
    dynamic_batching: { max_queue_delay_microseconds: number }
  }
  assert.equal(shown.dynamic_batching.max_queue_delay_microseconds, 50)
})

test('C15: version_policy chooses the versions, and the configuration shows it as it is', async (t) => {
  const versions = ['1', '2', '3', '10']
  const cases: [config: string, served: string[], policy: unknown][] = [
    ['', versions, { specific: { versions: ['10'] } }],
    ['version_policy: { all { }}', versions, { all: {} }],
    ['version_policy { latest { num_versions: 2 } }', ['3', '10'], { latest: { num_versions: 2 } }],
    ['version_policy { latest { } }', ['10'], { latest: { num_versions: 1 } }],
    [
      'version_policy { specific { versions: [ 1, 3 ] } }',
      ['1', '3'],
      { specific: { versions: [1, 3] } },
    ],
    [
      'version_policy { specific { versions: 2 versions: 7 } }',
      ['2'],
      { specific: { versions: [2, 7] } },
    ],
  ]
  const modelStore = temporaryFolder(t)
  for (const [index, [config]] of cases.entries())
    renameSync(path.join(repository(t, config, versions), 'm'), path.join(modelStore, `m${index}`))
  const server = await serve(t, [], { modelStore, workers: 0 })
  for (const [index, [config, served, policy]] of cases.entries()) {
    const all = (await json(await server.manage(`/models/m${index}/all`))) as {
      modelVersion: string
    }[]
    assert.deepEqual(
      all.map(({ modelVersion }) => modelVersion),
      served,
      config,
    )
    const shown = (await json(await server.fetch(`/v2/models/m${index}/config`))) as {
      version_policy: unknown
    }
    assert.deepEqual(shown.version_policy, policy, config)
  }
})

test('C15: a delay below a millisecond is kept wherever it is set', async (t) => {
  const store = temporaryFolder(t)
  writeFileSync(path.join(store, 'm.onnx'), network)
  const state = temporaryFolder(t)
  const first = await serve(t, [], { modelStore: store, load: 'none', stateDir: state })
  const query = 'url=m&batch_size=4&max_batch_delay=0.1'
  assert.equal((await first.manage(`/models?${query}`, { method: 'POST' })).status, 200)
  assert.equal((await describe(first)).maxBatchDelay, 0.1)
  const answers = await Promise.all(
    Array.from({ length: 8 }, () =>
      first.fetch('/predictions/m', {
        method: 'POST',
        body: '{"features":[[5.1,3.5,1.4,0.2]]}',
        headers: { 'content-type': 'application/json' },
      }),
    ),
  )
  assert.deepEqual(
    answers.map(({ status }) => status),
    Array.from({ length: 8 }, () => 200),
  )
  await first.close()
  const second = await serve(t, [], { modelStore: store, load: 'none', stateDir: state })
  assert.equal((await describe(second)).maxBatchDelay, 0.1)
})

test('C15: wrong ensembles and other back-ends are refused in words', async (t) => {
  const store = temporaryFolder(t)
  const folders: [name: string, config: string, file: string, reason: RegExp][] = [
    ['ensemble', 'platform: "ensemble" ensemble_scheduling { step [] }', '', /has no step/],
    ['steps', 'ensemble_scheduling { step [ { model_name: "a" } ] }', '', /has no output/],
    ['bare', 'platform: "ensemble"', '', /requires the Triton backend "ensemble"/],
    [
      'trt',
      'platform: "tensorrt_plan"',
      'model.plan',
      /requires the Triton backend "tensorrt_plan"/,
    ],
    ['python', 'backend: "python"', 'model.py', /requires the Triton backend "python"/],
    ['torch', 'backend: "pytorch" platform: "pytorch_libtorch"', 'model.pt', /"pytorch"/],
    ['custom', 'backend: "identity"', 'model.onnx', /requires the Triton backend "identity"/],
  ]
  for (const [name, config, file] of folders) {
    mkdirSync(path.join(store, name, '1'), { recursive: true })
    writeFileSync(path.join(store, name, 'config.pbtxt'), config)
    if (file !== '') writeFileSync(path.join(store, name, '1', file), network)
  }
  const server = await serve(t, [path.resolve('examples/iris')], { modelStore: store })
  const { failed = [] } = (await json(await server.manage('/models'))) as {
    failed?: { modelUrl: string; reason: string }[]
  }
  for (const [name, , , reason] of folders) {
    const failure = failed.find(({ modelUrl }) => modelUrl === name)
    assert.match(failure?.reason ?? '', reason, name)
    assert.match(
      failure?.reason ?? '',
      /The pipeline|of the pipeline|Export the model to ONNX/,
      name,
    )
    const load = await server.manage(`/v2/repository/models/${name}/load`, { method: 'POST' })
    assert.equal(load.status, 400)
    assert.match(((await json(load)) as { error: string }).error, reason)
  }
  // Who names a handler in model.json has decided.
  writeFileSync(path.join(store, 'custom', 'model.json'), '{"handler":"onnx"}')
  const load = await server.manage('/v2/repository/models/custom/load', { method: 'POST' })
  assert.equal(load.status, 200)
})
