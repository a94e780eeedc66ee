/**
 * The commands in the documentation of MMS's inference and management APIs, in their order, against
 * one server. Expected statuses and bodies are those of MMS; `docs/compatibility.md` lists the
 * intended differences.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { modelNames } from '../helpers/observe.ts'
import { childrenOf, isAlive, serve, temporaryFolder, until } from '../helpers/server.ts'

const run = promisify(execFile)
const digits = path.resolve('examples/digits')
const picture = path.join(digits, 'samples', '7.png')

interface Step {
  readonly curl: string
  readonly status: number
  /** The whole body, or a check of it. */
  readonly body?: unknown
  readonly check?: (body: unknown) => void
}

const isSeven = (body: unknown): void => {
  assert.equal((body as { class: string }[])[0]?.class, '7')
}

const STEPS: Step[] = [
  { curl: '$I/ping', status: 200, body: { status: 'Healthy' } },
  { curl: '-X POST "$M/models?url=digits"', status: 200, body: { status: 'Workers scaled' } },
  {
    curl: '-X POST "$M/models?url=digits"',
    status: 409,
    body: {
      code: 409,
      type: 'ConflictStatusException',
      message: 'Model digits is already registered.',
    },
  },
  {
    curl: '-X POST "$M/models?url=digits&model_name=later&initial_workers=1&synchronous=false"',
    status: 202,
    body: { status: 'Processing worker updates...' },
  },
  {
    curl: '-X POST "$M/models?url=digits&model_name=now&initial_workers=1&synchronous=true"',
    status: 200,
    body: { status: 'Workers scaled' },
  },
  {
    curl: '-X POST "$M/models?url=digits&model_name=none&initial_workers=0"',
    status: 200,
    body: { status: 'Model "none" registered' },
  },
  {
    curl: '-X POST "$M/models?url=digits&model_name=batched&batch_size=8&max_batch_delay=50&response_timeout=120&startup_timeout=120&runtime=node&preload_model=false"',
    status: 200,
    body: { status: 'Workers scaled' },
  },
  { curl: `-X POST $I/predictions/digits -T ${picture}`, status: 200, check: isSeven },
  { curl: `-X POST $I/predictions/digits -F "data=@${picture}"`, status: 200, check: isSeven },
  { curl: `-X POST $I/predictions/digits/1.0 -T ${picture}`, status: 200, check: isSeven },
  {
    curl: `-X POST "$I/invocations?model_name=digits" -F "data=@${picture}"`,
    status: 200,
    check: isSeven,
  },
  { curl: `-X POST $I/models/digits/invoke -T ${picture}`, status: 200, check: isSeven },
  { curl: `-X POST $I/digits/predict -F "data=@${picture}"`, status: 200, check: isSeven },
  { curl: `-X POST $I/predictions/batched -T ${picture}`, status: 200, check: isSeven },
  {
    curl: '-X PUT "$M/models/digits?min_worker=2"',
    status: 202,
    body: { status: 'Processing worker updates...' },
  },
  {
    curl: '-X PUT "$M/models/digits?min_worker=2&synchronous=true"',
    status: 200,
    body: { status: 'Workers scaled' },
  },
  {
    curl: '-X PUT "$M/models/digits?min_worker=2&number_gpu=1&synchronous=true"',
    status: 200,
    body: {
      status: 'Workers scaled',
      notes: ['Parameter number_gpu has no effect: use the setting `gpus`.'],
    },
  },
  {
    curl: '-X PUT "$M/models/digits?min_worker=3&max_worker=2"',
    status: 400,
    body: {
      code: 400,
      type: 'BadRequestException',
      message: 'max_worker cannot be less than min_worker.',
    },
  },
  {
    curl: '$M/models/digits',
    status: 200,
    check: (body) => {
      const described = body as Record<string, unknown> & { workers: Record<string, unknown>[] }
      assert.deepEqual(
        [
          'modelName',
          'modelUrl',
          'runtime',
          'minWorkers',
          'maxWorkers',
          'batchSize',
          'maxBatchDelay',
          'loadedAtStartup',
          'workers',
        ].filter((key) => !(key in described)),
        [],
      )
      assert.deepEqual(
        [described.modelName, described.minWorkers, described.workers.length],
        ['digits', 2, 2],
      )
      for (const worker of described.workers) {
        assert.deepEqual(
          ['id', 'startTime', 'status', 'gpu', 'memoryUsage'].filter((key) => !(key in worker)),
          [],
        )
      }
    },
  },
  {
    curl: '$M/models/digits/1.0',
    status: 200,
    check: (body) => assert.equal((body as unknown[]).length, 1),
  },
  {
    curl: '$M/models/digits/all',
    status: 200,
    check: (body) => assert.equal((body as unknown[]).length, 1),
  },
  {
    curl: '-X PUT $M/models/digits/1.0/set-default',
    status: 200,
    body: { status: 'Default version successfully updated for model "digits" to "1.0"' },
  },
  {
    curl: '"$M/models?limit=2&next_page_token=2"',
    status: 200,
    check: (body) =>
      assert.deepEqual(
        (body as { models: { modelName: string }[] }).models.map(({ modelName }) => modelName),
        ['later', 'none'],
      ),
  },
  {
    curl: '$M/models/absent',
    status: 404,
    body: { code: 404, type: 'ModelNotFoundException', message: 'Model not found: absent' },
  },
  {
    curl: '-X DELETE $M/models/digits',
    status: 200,
    body: { status: 'Model "digits" unregistered' },
  },
  {
    curl: '-X DELETE $M/models/digits',
    status: 404,
    body: { code: 404, type: 'ModelNotFoundException', message: 'Model not found: digits' },
  },
  {
    curl: `-X POST $I/predictions/digits -T ${picture}`,
    status: 404,
    body: { code: 404, type: 'ModelNotFoundException', message: 'Model not found: digits' },
  },
]

test('each documented command gets the documented response', { timeout: 120_000 }, async (t) => {
  const store = temporaryFolder(t)
  cpSync(digits, path.join(store, 'digits'), { recursive: true })
  const server = await serve(t, [], { modelStore: store, load: 'none' })
  for (const { curl, status, body, check } of STEPS) {
    if (curl.includes('limit=2'))
      await until(async () => (await modelNames(server)).includes('later'))
    const script = `curl -s -w '\\n%{http_code}' ${curl}`
    const environment = { ...process.env, I: server.inferenceUrl, M: server.managementUrl }
    const { stdout } = await run('bash', ['-c', script], { env: environment })
    const end = stdout.lastIndexOf('\n')
    assert.equal(Number(stdout.slice(end + 1)), status, `${curl}\n${stdout}`)
    const answer: unknown = JSON.parse(stdout.slice(0, end))
    if (body !== undefined) assert.deepEqual(answer, body, curl)
    check?.(answer)
  }
  const pids = childrenOf(server.pid)
  assert.ok(pids.length > 0)
  await server.close()
  await until(() => !pids.some(isAlive))
})
