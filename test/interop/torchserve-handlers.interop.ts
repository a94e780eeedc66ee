/** TorchServe's own worker: metrics.yaml, explanations, the context, and its default handlers. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { runOnnxd } from '../helpers/command-line.ts'
import { failedModels } from '../helpers/observe.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import { needsPython, pythonWorkers, useTorchStub } from '../helpers/python-model.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

/** Virtual environment with PyTorch, torchvision and torchtext. */
const torch = process.env['ONNXD_INTEROP_TORCH'] ?? ''
const needsTorch = torch === '' ? 'needs PyTorch; see scripts/interop.mjs' : false
const SCRIPT = path.resolve('test/interop/torch_models.py')

const METRICS = `
dimensions:
  - &model "ModelName"
model_metrics:
  counter:
    - name: Uses
      unit: count
      dimensions: [*model]
  gauge:
    - name: Depth
      unit: unit
      dimensions: [*model, "Level"]
  histogram:
    - name: Sizes
      unit: B
      dimensions: [*model]
`

const SERVICE = `
from ts.metrics.dimension import Dimension
from ts.metrics.metric_type_enum import MetricTypes


def handle(data, context):
    if data is None or context.get_request_header(0, "describe"):
        return None if data is None else ["{}"]
    metrics = context.metrics
    metrics.get_metric("Uses", MetricTypes.COUNTER).add_or_update(2, ["m"])
    metrics.get_metric("Depth", MetricTypes.GAUGE).add_or_update(3.5, ["m", "Model"])
    metrics.get_metric("Sizes", MetricTypes.HISTOGRAM).add_or_update(100, ["m"])
    metrics.add_metric("Typed", 4, unit="ms", dimensions=[Dimension("Own", "x")], metric_type=MetricTypes.GAUGE)
    metrics.add_counter("Old", 5)
    context.set_response_content_type(0, "application/json")
    properties = context.system_properties
    return [{
        "explain": context.get_request_header(0, "explain"),
        "path": context.get_request_header(0, "url_path"),
        "id": len(context.get_request_id(0)) > 0,
        "config": context.model_yaml_config,
        "manifest": context.manifest["model"],
        "limit": properties.get("limit_max_image_pixels"),
        "server": properties.get("server_name"),
    }]
`

/** Writes an archive with `onnxd archive`. */
async function archive(cwd: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runOnnxd(['archive', '--json', ...args], { cwd })
  assert.equal(code, 0, stderr)
  return path.join(cwd, JSON.parse(stdout).file)
}

const post = (server: TestServer, route: string, body: string | Buffer): Promise<Response> =>
  server.fetch(route, { method: 'POST', body, headers: { 'content-type': 'image/png' } })

async function serveWith(t: TestContext, python: string, models: string[]): Promise<TestServer> {
  const workerEnvironment = python === pythonWorkers ? ['PYTHONPATH'] : []
  return serve(t, models, { allowHandlers: true, python, workers: 1, workerEnvironment })
}

test('metrics.yaml and the context are those of TorchServe', { skip: needsPython }, async (t) => {
  useTorchStub(t)
  const folder = temporaryFolder(t)
  writeFileSync(path.join(folder, 'service.py'), SERVICE)
  writeFileSync(path.join(folder, 'metrics.yaml'), METRICS)
  writeFileSync(path.join(folder, 'config.yaml'), 'handler:\n  beams: 4\n')
  const files = ['--handler', 'service.py:handle', '--config-file', 'config.yaml']
  const model = await archive(folder, '--name', 'm', ...files, '--extra-files', 'metrics.yaml')
  const server = await serveWith(t, pythonWorkers, [model])
  for (const [route, explain] of [
    ['/predictions/m', 'False'],
    ['/explanations/m', 'True'],
  ] as const) {
    const response = await post(server, route, 'x')
    assert.equal(response.headers.get('content-type'), 'application/json')
    assert.deepEqual(await json(response), {
      explain,
      path: '',
      id: true,
      config: { handler: { beams: 4 } },
      manifest: {
        modelName: 'm',
        modelVersion: '1.0',
        handler: 'service.py:handle',
        configFile: 'config.yaml',
      },
      limit: true,
      server: 'MMS',
    })
  }
  const page = await until(async () => {
    const text = await (await server.manage('/metrics')).text()
    return /^Old\{.*\} 10$/m.test(text) && text
  })
  const values = [...parseMetrics(page)].map(([series, value]) => `${series} ${value}`)
  for (const pattern of [
    /^Uses\{.*ModelName="m".*\} 4$/,
    /^Depth\{.*Level="Model".*\} 3\.5$/,
    /^Sizes_count\{.*\} 2$/,
    /^Sizes_sum\{.*\} 200$/,
    /^Typed\{.*Own="x".*\} 4$/,
  ])
    assert.ok(
      values.some((value) => pattern.test(value)),
      `${pattern.source}\n${page.slice(0, 3000)}`,
    )
  for (const line of ['Uses counter', 'Depth gauge', 'Sizes histogram', 'Typed gauge'])
    assert.ok(page.includes(`# TYPE ${line}\n`), line)
})

test('a metrics.yaml that the worker rejects fails the load', { skip: needsPython }, async (t) => {
  useTorchStub(t)
  const folder = temporaryFolder(t)
  writeFileSync(path.join(folder, 'service.py'), SERVICE)
  writeFileSync(path.join(folder, 'metrics.yaml'), 'model_metrics:\n  timer: []\n')
  const files = ['--handler', 'service.py:handle', '--extra-files', 'metrics.yaml']
  const model = await archive(folder, '--name', 'm', ...files, '--config-file', 'metrics.yaml')
  const server = await serveWith(t, pythonWorkers, [model, 'examples/iris'])
  const [failure] = await failedModels(server)
  assert.match(JSON.stringify(failure), /Invalid metric type: 'timer'/)
})

test(
  "TorchServe's image_classifier and text_classifier run unchanged",
  { skip: needsTorch },
  async (t) => {
    const folder = temporaryFolder(t)
    const python = path.join(torch, 'bin', 'python')
    const made = spawnSync(python, [SCRIPT, folder], { encoding: 'utf8' })
    assert.equal(made.status, 0, made.stderr)
    const expected = JSON.parse(made.stdout)
    mkdirSync(path.join(folder, 'out'), { recursive: true })
    const weights = '--model-name image --serialized-file image.pt --extra-files index_to_name.json'
    const image = await archive(
      folder,
      ...`${weights} --handler image_classifier --export-path out`.split(' '),
    )
    const textFiles = '--model-name text --serialized-file text.pt --model-file text_model.py'
    const extra = '--extra-files source_vocab.pt,text/index_to_name.json'
    const text = await archive(
      folder,
      ...`${textFiles} ${extra} --handler text_classifier --export-path out`.split(' '),
    )
    const server = await serveWith(t, torch, [image, text])
    const picture = readFileSync(path.join(folder, 'picture.png'))
    const classes = await json(await post(server, '/predictions/image', picture))
    assert.deepEqual(Object.keys(classes as object), Object.keys(expected.image))
    for (const [name, value] of Object.entries(classes as Record<string, number>))
      assert.ok(Math.abs(value - expected.image[name]) < 1e-6, `${name}: ${value}`)
    const sentence = "It's <b>great</b>, isn't it?"
    const words = (await json(await post(server, '/predictions/text', sentence))) as Record<
      string,
      number
    >
    for (const [name, value] of Object.entries(words))
      assert.ok(Math.abs(value - expected.text[name]) < 1e-6, `${name}: ${value}`)
    assert.deepEqual(Object.keys(words).toSorted(), Object.keys(expected.text).toSorted())

    const explained = await json(await post(server, '/explanations/image', picture))
    const gradients = explained as number[][][]
    const shape = [gradients.length, gradients[0]?.length, gradients[0]?.[0]?.length]
    assert.deepEqual(shape, [3, 224, 224])
    const sum = gradients.flat(2).reduce((total, value) => total + value, 0)
    assert.ok(Math.abs(sum - expected.explained) < 1e-3, `${sum} instead of ${expected.explained}`)
  },
)
