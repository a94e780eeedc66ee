/** The command as people use it: a process, its output, its exit code, its signals. */
import assert from 'node:assert/strict'
import { spawn, execFile } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { CLI, childrenOf, isAlive, temporaryFolder, until } from '../helpers/server.ts'

const digits = path.resolve('examples/digits')
const iris = path.resolve('examples/iris')
const run = promisify(execFile)

interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function start(
  t: TestContext,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): { child: ChildProcess; output: { stdout: string; stderr: string } } {
  const child = spawn(process.execPath, [CLI, ...args], { env: { ...process.env, ...environment } })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
  t.after(() => child.kill('SIGKILL'))
  return { child, output }
}

async function finish(
  t: TestContext,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  const { child, output } = start(t, args, environment)
  const [code] = await once(child, 'close')
  return { code, ...output }
}

test('serve prints, when ready, a curl line that works; Ctrl-C ends everything', async (t) => {
  const temporary = temporaryFolder(t)
  const { child, output } = start(
    t,
    ['serve', '--port', '0', '--management-port', '0', digits, iris],
    { TMPDIR: temporary, ONNXD_SPARE_WORKERS: '0' },
  )
  await until(() => output.stdout.includes('curl '), 60_000)
  assert.match(output.stdout, /onnxd is ready/)
  const command = output.stdout.split('\n').find((line) => line.includes('curl ')) ?? ''
  const { stdout } = await run('bash', ['-c', `${command.trim()} -s -w '\\n%{http_code}'`])
  assert.match(stdout, /\n200$/)
  const workers = childrenOf(child.pid ?? 0)
  assert.equal(workers.length, 2)
  assert.equal(readdirSync(temporary).length, 1)

  child.kill('SIGINT')
  const [code, signal] = await once(child, 'close')
  assert.deepEqual({ code, signal }, { code: 0, signal: null })
  await until(() => workers.every((pid) => !isAlive(pid)))
  assert.deepEqual(readdirSync(temporary), [])
})

test('a model that cannot be served is named with its reason; as the only model it ends the command with an error', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(path.join(folder, 'broken.onnx'), 'this is no model')
  const alone = await finish(t, [
    'serve',
    '--port',
    '0',
    '--management-port',
    '0',
    path.join(folder, 'broken.onnx'),
  ])
  assert.equal(alone.code, 1)
  assert.match(alone.stderr, /cannot serve .*broken\.onnx: Failed to start workers: /)
  assert.doesNotMatch(alone.stdout, /ready/)

  const missing = await finish(t, [
    'serve',
    '--port',
    '0',
    '--management-port',
    '0',
    path.join(folder, 'absent.onnx'),
  ])
  assert.equal(missing.code, 1)

  const { child, output } = start(t, [
    'serve',
    '--port',
    '0',
    '--management-port',
    '0',
    path.join(folder, 'broken.onnx'),
    iris,
  ])
  await until(() => output.stdout.includes('ready'), 60_000)
  assert.match(output.stderr, /cannot serve .*broken\.onnx/)
  child.kill('SIGTERM')
  assert.equal((await once(child, 'close'))[0], 0)
})

test('mistakes on the command line end it with 2 and one clear line', async (t) => {
  for (const [args, pattern] of [
    [['serve', '--port', '1.5'], /--port must be an integer/],
    [['serve', '--no-such-flag'], /no-such-flag/],
    [['serve', '--port', '70000'], /port/],
    [['frobnicate'], /unknown command "frobnicate"/],
    [
      ['serve', '--management-host', '0.0.0.0', '--port', '0', '--management-port', '0'],
      /ONNXD_MANAGEMENT_TOKEN/,
    ],
  ] as const) {
    const { code, stderr } = await finish(t, args)
    assert.equal(code, 2, stderr)
    assert.match(stderr, pattern)
  }
})

test('help and version print their text', async (t) => {
  const version = await finish(t, ['version'])
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
  const json = await finish(t, ['version', '--json'])
  assert.deepEqual(JSON.parse(json.stdout), { version: version.stdout.trim() })
  for (const args of [['--help'], ['help', '--help'], ['help', 'help']]) {
    assert.match((await finish(t, args)).stdout, /Usage: onnxd serve/)
  }
  assert.match((await finish(t, ['serve', '--help'])).stdout, /--max-batch-delay TEXT/)
})
