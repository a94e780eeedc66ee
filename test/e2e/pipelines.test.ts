/** Models that are chains of other models: `pipeline` of `model.json`, ensembles of Triton. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { ownModels } from '../helpers/own-models.ts'
import { json, temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const ofFile: Cleanup = { after: (run) => after(run as () => void) }

/** `simple` returns the sum and the difference of its inputs. Twice, that is twice each input. */
const SUM = { model: 'simple', inputs: { INPUT0: 'a', INPUT1: 'b' } }
const STEPS = [
  { ...SUM, outputs: { OUTPUT0: 'sum', OUTPUT1: 'difference' } },
  {
    model: 'simple',
    version: '1',
    inputs: { INPUT0: 'sum', INPUT1: 'difference' },
    outputs: { OUTPUT0: 'twice_a', OUTPUT1: 'twice_b' },
  },
]

function pipeline(name: string, settings: object): string {
  const folder = path.join(temporaryFolder(ofFile), name)
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify({ pipeline: settings }))
  return folder
}

/** An ensemble in the layout of Triton: `config.pbtxt` and an empty folder for the version. */
function ensemble(name: string): string {
  const folder = path.join(temporaryFolder(ofFile), name)
  mkdirSync(path.join(folder, '1'), { recursive: true })
  const map = (field: string, entries: Record<string, string>): string =>
    Object.entries(entries)
      .map(([key, value]) => `${field} { key: "${key}" value: "${value}" }`)
      .join('\n')
  const steps = STEPS.map(
    ({ model, inputs, outputs }) => `step { model_name: "${model}" model_version: -1
${map('input_map', inputs)}
${map('output_map', outputs)} }`,
  )
  const config = `name: "${name}"
platform: "ensemble"
max_batch_size: 8
input [ { name: "a" data_type: TYPE_INT32 dims: [ 16 ] }, { name: "b" data_type: TYPE_INT32 dims: [ 16 ] } ]
output [ { name: "twice_b" data_type: TYPE_INT32 dims: [ 16 ] } ]
ensemble_scheduling { ${steps.join('\n')} }`
  writeFileSync(path.join(folder, 'config.pbtxt'), config)
  return folder
}

const MODELS = [
  pipeline('twice', { steps: STEPS }),
  pipeline('some', { steps: STEPS, outputs: ['sum', 'twice_b'] }),
  pipeline('lost', { steps: [{ ...SUM, model: 'nobody', outputs: { OUTPUT0: 'x' } }] }),
  pipeline('wrong', { steps: [{ ...SUM, outputs: { OUTPUT9: 'x' } }] }),
  pipeline('back', { steps: [{ model: 'forth', inputs: { x: 'x' }, outputs: { y: 'y' } }] }),
  pipeline('forth', { steps: [{ model: 'back', inputs: { x: 'x' }, outputs: { y: 'y' } }] }),
  ensemble('ensemble'),
  path.join(ownModels(), 'simple'),
]
/** Custom handlers are not allowed: a pipeline has no code. */
const server = (): Promise<TestServer> => sharedServer(MODELS, { allowLocalPaths: true })

const A = Array.from({ length: 16 }, (_, index) => index)
const B = A.map((value) => 100 - value)
const twice = (values: readonly number[]): number[] => values.map((value) => 2 * value)
const tensor = (name: string, data: readonly number[]) => {
  return { name, datatype: 'INT32', shape: [1, 16], data }
}

async function post(it: TestServer, route: string, body: object, headers = {}) {
  const answer = await it.fetch(route, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  })
  return { status: answer.status, body: (await json(answer)) as Record<string, unknown> }
}

test('a pipeline sends the outputs of its steps to the next ones', async () => {
  const it = await server()
  assert.deepEqual(await post(it, '/predictions/twice', { a: [A], b: [B] }), {
    status: 200,
    body: { twice_a: [twice(A)], twice_b: [twice(B)] },
  })
  const some = await post(it, '/predictions/some', { a: [A], b: [B] })
  assert.deepEqual(Object.keys(some.body), ['sum', 'twice_b'])
  const inputs = [tensor('a', A), tensor('b', B)]
  assert.deepEqual(await post(it, '/v2/models/twice/infer', { id: '7', inputs }), {
    status: 200,
    body: {
      model_name: 'twice',
      model_version: '1.0',
      id: '7',
      outputs: [tensor('twice_a', twice(A)), tensor('twice_b', twice(B))],
    },
  })
})

test('an ensemble of Triton is a pipeline', async () => {
  const it = await server()
  const inputs = [tensor('a', A), tensor('b', B)]
  const { status, body } = await post(it, '/v2/models/ensemble/infer', { inputs })
  assert.deepEqual([status, body['outputs']], [200, [tensor('twice_b', twice(B))]])
})

test('wrong requests and steps that fail are errors that name the cause', async () => {
  const it = await server()
  const cases: [route: string, body: object, status: number, message: RegExp][] = [
    ['/predictions/twice', { a: [A] }, 400, /^Missing input "b"; the model expects 2 inputs/],
    ['/predictions/twice', { a: [A], b: [B], c: 1 }, 400, /Unknown input "c"/],
    ['/predictions/twice', [A], 400, /2 inputs/],
    ['/predictions/twice', { a: ['x'], b: [B] }, 400, /"a"/],
    ['/predictions/twice', { a: [[1, 2]], b: [B] }, 400, /^Input "a": expected INT32 \[-1,16\]/],
    ['/predictions/lost', { a: [A], b: [B] }, 404, /^Step 1 \(model nobody\): .*nobody/],
    [
      '/predictions/wrong',
      { a: [A], b: [B] },
      500,
      /^Step 1 \(model simple\): .*no output "OUTPUT9"/,
    ],
    ['/predictions/back', { x: 1 }, 500, /in a circle: back → forth → back/],
    ['/v2/models/twice/infer', { inputs: [tensor('a', A), tensor('a', A)] }, 400, /"a" occurs/],
    ['/v2/models/twice/infer', {}, 400, /no "inputs"/],
    ['/v1/models/lost:predict', { instances: [] }, 404, /^Step 1 \(model nobody\)/],
  ]
  for (const [route, request, status, message] of cases) {
    const { status: got, body } = await post(it, route, request)
    const text = String(body['message'] ?? body['error'])
    assert.deepEqual([got, message.test(text)], [status, true], `${route} ${got} ${text}`)
  }
})

test('a pipeline whose steps do not fit together is not loaded', async () => {
  const step = (inputs: object, outputs: object, model = 'simple') => ({ model, inputs, outputs })
  const x = step({ INPUT0: 'x' }, { OUTPUT0: 'y' })
  const wrong: [settings: object, reason: RegExp][] = [
    [{ steps: [] }, /steps/],
    [{ steps: [x, x] }, /writes "y" a second time/],
    [{ steps: [step({ INPUT0: 'x' }, { OUTPUT0: 'x' })] }, /writes "x", which it or an earlier/],
    [{ steps: [step({ INPUT0: 'x' }, {})] }, /has no output/],
    [{ steps: [step({}, { OUTPUT0: 'y' })] }, /has no input/],
    [{ steps: [x], outputs: ['z'] }, /No step of the pipeline writes "z"/],
    [{ steps: [step({ INPUT0: 'x' }, { OUTPUT0: 'y' }, 'p6')] }, /p6 has itself as a step/],
    [{ step: [x] }, /pipeline\.steps: Expected required property/],
  ]
  const it = await server()
  for (const [index, [settings, reason]] of wrong.entries()) {
    const folder = pipeline(`p${index}`, settings)
    const route = `/models?url=${encodeURIComponent(folder)}`
    const answer = await it.manage(route, { method: 'POST' })
    const text = ((await json(answer)) as { message: string }).message
    assert.deepEqual([answer.status, reason.test(text)], [400, true], `${index}: ${text}`)
  }
})

test('a model of a pipeline may be unregistered and come back', async () => {
  const it = await server()
  const manage = async (route: string, method: string) =>
    (await it.manage(route, { method })).status
  const url = encodeURIComponent(path.join(ownModels(), 'simple'))
  const add = `/models?model_name=part&initial_workers=1&url=${url}`
  assert.equal(await manage(add, 'POST'), 200)
  const steps = [{ ...SUM, model: 'part', outputs: { OUTPUT0: 'sum' } }]
  const whole = encodeURIComponent(pipeline('whole', { steps }))
  assert.equal(await manage(`/models?initial_workers=1&url=${whole}`, 'POST'), 200)
  const run = async () => (await post(it, '/predictions/whole', { a: [A], b: [B] })).status
  assert.equal(await run(), 200)
  assert.equal(await manage('/models/part', 'DELETE'), 200)
  assert.equal(await run(), 404)
  assert.equal(await manage(add, 'POST'), 200)
  assert.equal(await run(), 200)
})
