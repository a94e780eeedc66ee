/** `onnxd replay` and `onnxd bench --requests`, with real servers. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { replayRequests } from '../../../../src/command/client/replay/replay.ts'
import type { CommandInput } from '../../../../src/command/program/outcome.ts'
import { NO_TERMINAL } from '../../../../src/command/terminal/terminal.ts'
import { runOnnxd } from '../../../helpers/command-line.ts'
import type { CommandResult } from '../../../helpers/command-line.ts'
import { floats, node, writeModel, writeModelFolder } from '../../../helpers/onnx-builder.ts'
import type { ModelSource } from '../../../helpers/onnx-builder.ts'
import { temporaryFolder, until } from '../../../helpers/server.ts'
import type { Cleanup, TestServer } from '../../../helpers/server.ts'
import { sharedServer } from '../../../helpers/shared-server.ts'

const REQUESTS = 30

/** A model that returns `factor` times its input. */
function scaling(factor: number): ModelSource {
  const shape = ['N', 2]
  return {
    inputs: [{ name: 'x', type: 'FP32', shape }],
    outputs: [{ name: 'y', type: 'FP32', shape }],
    nodes: [node('Mul', ['x', 'factor'], 'y')],
    constants: { factor: floats([1], [factor]) },
  }
}

interface Recorded {
  readonly server: TestServer
  readonly file: string
  readonly folder: string
  readonly onnxd: (...args: string[]) => Promise<CommandResult>
}

let recorded: Promise<Recorded> | undefined
const cleanups: (() => unknown)[] = []
const cleanup: Cleanup = { after: (run) => cleanups.push(run as () => unknown) }

/** A server with three versions of a model, of which the first has recorded requests. */
function recording(): Promise<Recorded> {
  return (recorded ??= record())
}

async function record(): Promise<Recorded> {
  const folder = temporaryFolder(cleanup)
  const store = path.join(folder, 'store')
  mkdirSync(store)
  for (const [version, factor] of [
    ['1', 2],
    ['2', 2],
    ['3', 2.5],
  ] as const)
    writeModelFolder(path.join(store, 'scale'), version, scaling(factor))
  writeModel(path.join(folder, 'same.onnx'), scaling(2))
  const file = path.join(folder, 'requests.rec')
  const server = await sharedServer([], { modelStore: store, record: file, recordModels: 'scale' })
  for (let index = 0; index < REQUESTS; index += 1) {
    const headers = { 'content-type': 'application/json', 'x-request-id': `request-${index}` }
    const rows = [[index, 0.5]]
    const input = { name: 'x', datatype: 'FP32', shape: [1, 2], data: rows.flat() }
    const [route, body] =
      index % 3 === 0
        ? ['/predictions/scale/1', { x: rows }]
        : index % 3 === 1
          ? ['/v2/models/scale/versions/1/infer', { inputs: [input] }]
          : ['/v1/models/scale:predict', { instances: rows }]
    const init = { method: 'POST', headers: { ...headers, 'onnxd-version': '1' } }
    const response = await server.fetch(route, { ...init, body: JSON.stringify(body) })
    assert.equal(response.status, 200, await response.text())
  }
  const environment = { ONNXD_INFERENCE_URL: server.inferenceUrl, ONNXD_URL: server.managementUrl }
  await until(async () =>
    (await (await server.manage('/metrics')).text()).includes(
      `onnxd_recorded_requests_total ${REQUESTS}\n`,
    ),
  )
  return { server, file, folder, onnxd: (...args) => runOnnxd(args, { environment }) }
}

test.after(async () => {
  for (const run of cleanups.toReversed()) await run()
})

interface Report {
  readonly agreed: number
  readonly differed: number
  readonly sent: number
  readonly statusChanges: Record<string, number>
  readonly differences: { requestId: string; difference: number; reason: string }[]
  readonly latencyMs: Record<'recorded' | 'replayed', { p50: number; p99: number }>
  readonly seconds: number
}

/** Runs a replay. */
async function replay(...args: string[]): Promise<{ report: Report; code: number | null }> {
  const { onnxd, file } = await recording()
  const { code, stdout, stderr } = await onnxd('replay', file, ...args, '--json')
  assert.equal(stderr, '')
  return { report: JSON.parse(stdout) as Report, code }
}

test('an equal version agrees in every dialect, and nothing is recorded again', async () => {
  const { report, code } = await replay('--against', 'scale:2')
  const { agreed, differed, sent, statusChanges } = report
  assert.deepEqual([agreed, differed, sent, statusChanges], [REQUESTS, 0, REQUESTS, {}])
  assert.equal(code, 0)
  for (const { p50, p99 } of Object.values(report.latencyMs)) assert.ok(p50 > 0 && p99 >= p50)
})

test('a version that differs is found in every response, the largest differences with their ids', async () => {
  const { report, code } = await replay('--against', 'scale@3', '--limit', '20')
  assert.deepEqual([report.agreed, report.differed, code], [0, 20, 1])
  assert.equal(report.differences.length, 10)
  for (const { requestId, difference, reason } of report.differences) {
    assert.match(requestId, /^request-[12]\d$/)
    assert.ok(difference > 0.1 && difference <= 1)
    assert.match(reason, /y|predictions/)
  }
  const { onnxd, file } = await recording()
  const [tolerant, { stdout }] = await Promise.all([
    replay('--against', 'scale@3', '--tolerance', '0.5'),
    onnxd('replay', file, '--against', 'scale@3'),
  ])
  assert.deepEqual([tolerant.report.agreed, tolerant.code], [REQUESTS, 0])
  assert.match(stdout, /^recording +\S+requests\.rec, model scale$/m)
  assert.match(stdout, /^agree +0 \(0\.0 %\)$/m)
  assert.match(stdout, /^recorded +p50 \S+ ms, p99 /m)
  assert.match(stdout, /^Largest differences\nREQUEST +DIFFERENCE\nrequest-\d+ +0\.\d+ +/m)
})

test('the command loads the model of a path', async () => {
  const { folder } = await recording()
  const { report, code } = await replay('--against', path.join(folder, 'same.onnx'))
  assert.deepEqual([report.agreed, report.sent, code], [REQUESTS, REQUESTS, 0])
})

test('requests are sent at a rate, or with the pauses of the recording', async () => {
  const [fixed, original] = await Promise.all([
    replay('--against', 'scale@2', '--rate', '100'),
    replay('--against', 'scale@2', '--rate', 'original'),
  ])
  assert.ok(fixed.report.seconds >= (REQUESTS - 1) / 100, `${fixed.report.seconds}`)
  assert.deepEqual([fixed.report.agreed, original.report.agreed], [REQUESTS, REQUESTS])
})

test('other statuses are counted, and a server that is missing is named', async () => {
  const { report, code } = await replay('--against', 'scale@9')
  assert.deepEqual([report.statusChanges, report.agreed, code], [{ '200 → 404': REQUESTS }, 0, 1])
  const { onnxd, file } = await recording()
  const { stderr } = await onnxd('replay', file, '--against', 'scale', '--url', 'localhost:1')
  assert.match(stderr, /No server responds at http:\/\/localhost:1/)
})

test('wrong arguments and files are explained', async () => {
  const { file, folder } = await recording()
  const cases: [args: string[], flags: Record<string, string>, reason: RegExp][] = [
    [[file], {}, /Name what gets the requests/],
    [[file], { against: 'scale', model: 'scales' }, /no requests of model "scales".*scale/],
    [[file], { against: 'scale', rate: 'slow' }, /--rate must be original, max or a number/],
    [[file], { against: 'scale', tolerance: '2' }, /--tolerance must be a number from 0 to 1/],
    [[file], { against: 'scale', connections: '0' }, /--connections must be a whole number/],
    [[file], { against: 'scale@' }, /is not a model/],
    [[file], { against: './same.onnx', url: 'localhost:1' }, /--url names a running server/],
    [[path.join(folder, 'same.onnx')], { against: 'scale' }, /is not a recording of onnxd/],
    [[path.join(folder, 'none.rec')], { against: 'scale' }, /it does not exist/],
  ]
  for (const [args, flags, reason] of cases) {
    const input: CommandInput = {
      args,
      flags,
      rest: [],
      environment: {},
      terminal: NO_TERMINAL,
      print: () => Promise.resolve(),
      progress: () => {},
      signal: new AbortController().signal,
    }
    await assert.rejects(replayRequests(input), { name: 'ConfigError', message: reason })
  }
})

test('a recording is a load for bench', async () => {
  const { onnxd, file } = await recording()
  const args = ['bench', 'scale:2', '--requests', file, '-s', '0.5', '--warm-up', '0']
  const { stdout, code, stderr } = await onnxd(...args, '--json')
  assert.equal(code, 0, stderr)
  const result = JSON.parse(stdout) as {
    requests: number
    errors: number
    recordedRequests: number
  }
  assert.ok(result.requests > 0)
  assert.deepEqual([result.errors, result.recordedRequests], [0, REQUESTS])
})
