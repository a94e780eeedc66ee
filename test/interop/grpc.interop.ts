/** Unmodified clients of gRPC: Triton's and KServe's, and those of gRPC's own project. */
import assert from 'node:assert/strict'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { needs } from '../helpers/needs.ts'
import { modelPath } from '../helpers/onnx-model.ts'
import { iris } from '../helpers/server-process.ts'
import { serve, temporaryFolder } from '../helpers/server.ts'

const triton = process.env['ONNXD_INTEROP_TRITONCLIENT_GRPC']
const kserve = process.env['ONNXD_INTEROP_KSERVE']
const TYPES = ['bool', 'uint8', 'uint16', 'uint32', 'uint64', 'int8', 'int16', 'int32', 'int64']
const MODELS = [
  ...[...TYPES, 'fp16', 'fp32', 'fp64'].map((type) => `identity_${type}`),
  'simple',
  'simple_identity',
  'scalar_fp32',
  'scores4',
]

test(
  'tritonclient: its whole gRPC API, streams, asyncio; health checks and reflection',
  { skip: triton === undefined && 'needs tritonclient[grpc]; run npm run test:interop' },
  async (t) => {
    const modelStore = temporaryFolder(t)
    for (const name of MODELS) {
      cpSync(modelPath(name), path.join(modelStore, name), { recursive: true })
    }
    const server = await serve(t, [], {
      grpcPort: 0,
      serverName: 'triton',
      priorityLevels: 3,
      modelStore,
      exposeRepository: true,
      threads: 1,
    })
    const checks = await run(t, triton ?? '', 'grpc_checks.py', server.grpcAddress)
    assert.equal(checks, 78)
  },
)

test(
  'kserve: InferenceGRPCClient asks and infers',
  { skip: kserve === undefined && 'needs the Python package kserve; run npm run test:interop' },
  async (t) => {
    const server = await serve(t, [iris], { grpcPort: 0 })
    const checks = await run(t, kserve ?? '', 'kserve_grpc_checks.py', server.grpcAddress)
    assert.equal(checks, 10)
  },
)

test(
  'the Python program on the page of gRPC prints a label',
  { skip: triton === undefined && 'needs tritonclient[grpc]; run npm run test:interop' },
  async (t) => {
    const server = await serve(t, [iris], { grpcPort: 0 })
    const [, page = ''] =
      /^```python\n(.*?)^```$/ms.exec(readFileSync('docs/grpc.md', 'utf8')) ?? []
    const program = page.replace('localhost:8001', server.grpcAddress)
    const python = path.join(triton ?? '', 'bin', 'python')
    const { stdout } = await promisify(execFile)(python, ['-c', program])
    assert.equal(stdout, '[2]\n')
  },
)

test(
  'grpcurl: finds the methods, and makes the call that the page of a model shows',
  { skip: needs('grpcurl', '-version') },
  async (t) => {
    const server = await serve(t, [iris], { grpcPort: 0 })
    const curl = async (...args: string[]): Promise<string> => {
      const { stdout } = await promisify(execFile)('grpcurl', ['-plaintext', ...args])
      return stdout
    }
    const services = await curl(server.grpcAddress, 'list')
    assert.match(services, /^inference\.GRPCInferenceService$/m)
    assert.match(services, /^grpc\.health\.v1\.Health$/m)
    const page = await (await server.fetch('/v2/models/iris/proto')).text()
    const [, message = '', method = ''] = /^\/\/ grpcurl \S+ -d '(.*)' \S+ (\S+)$/m.exec(page) ?? []
    const answer = await curl('-d', message, server.grpcAddress, method)
    assert.equal((JSON.parse(answer) as { model_name: string }).model_name, 'iris')
  },
)

test(
  'grpc-health-probe: the server and a model serve, another name does not exist',
  { skip: needs('grpc-health-probe', '-version') },
  async (t) => {
    const server = await serve(t, [iris], { grpcPort: 0 })
    const probe = (service: string): number | null =>
      spawnSync('grpc-health-probe', [`-addr=${server.grpcAddress}`, `-service=${service}`]).status
    assert.deepEqual([probe(''), probe('iris')], [0, 0])
    assert.notEqual(probe('nothing'), 0)
  },
)

/** Runs a script and returns how many checks have passed. */
async function run(
  t: TestContext,
  environment: string,
  script: string,
  address: string,
): Promise<number> {
  const python = path.join(environment, 'bin', 'python')
  const child = spawn(python, [path.resolve('test/interop', script), address], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  const [code] = await once(child, 'close')
  assert.equal(code, 0, output)
  assert.ok(output.includes('done\n'), output)
  const checks = output.match(/^ok /gm)?.length ?? 0
  t.diagnostic(`${checks} checks passed`)
  return checks
}
