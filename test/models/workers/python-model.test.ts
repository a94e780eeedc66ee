/** Models with Python handlers, as far as no Python is needed. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import type { ServerError } from '../../../src/errors.ts'
import { checkPythonInput } from '../../../src/models/workers/python-input.ts'
import { findPython } from '../../../src/worker/host/python/python-installation.ts'
import { TracebackErrors } from '../../../src/worker/host/python/traceback-errors.ts'
import { fakeMms } from '../../helpers/fake-mms.ts'
import { pythonArchive } from '../../helpers/python-model.ts'
import { processesNaming } from '../../helpers/server-process.ts'
import { json, runtimeFolder, serve, temporaryFolder, until } from '../../helpers/server.ts'

test('only what MMS’s worker can decode passes', () => {
  const check = (value: string | Buffer, contentType = 'application/json'): void =>
    checkPythonInput([{ name: 'body', contentType, value: Buffer.from(value) }])
  const good: [string | Buffer, string?][] = [
    ['{"a":[1,-2.5e3,"\\u00e9\\ud800",null,true]}'],
    ['[NaN,-Infinity,Infinity]'],
    ['"NaN [{ 1,"'],
    ['{"\\\\":NaN,"\\"NaN":["Infinity",-Infinity]}'],
    [`${'['.repeat(500)}${']'.repeat(500)}`],
    ['9'.repeat(4000)],
    ['"' + '9'.repeat(5000) + '"'],
    ['{', 'application/x-thing'],
    ['{', 'application/JSON'],
    [Buffer.from([0xff]), 'image/png'],
    [Buffer.from([0xff]), ''],
    ['grüße', 'text/plain'],
  ]
  for (const [value, type] of good) assert.doesNotThrow(() => check(value, type), String(value))
  const bad: [string | Buffer, RegExp, string?][] = [
    ['', /"body" is not valid JSON/],
    ['{"a":', /not valid JSON/],
    ['[nan]', /not valid JSON/],
    ['[NaN', /not valid JSON/],
    ['[NaN,"NaN', /not valid JSON/],
    ['"\\', /not valid JSON/],
    ['\u{feff}1', /not valid JSON/],
    ['"\n"', /not valid JSON/],
    [`${'['.repeat(501)}${']'.repeat(501)}`, /more than 500 levels/],
    [`[1${'0'.repeat(4001)}]`, /more than 4000 digits/],
    [Buffer.from([0x22, 0xff, 0x22]), /is not valid UTF-8/],
    [Buffer.from([0xff]), /is not valid UTF-8/, 'text/plain'],
  ]
  for (const [value, message, type] of bad) {
    assert.throws(
      () => check(value, type),
      (error: ServerError) => error.statusCode === 400 && message.test(error.message),
      String(value),
    )
  }
})

test('the last error of a Python worker is found in its output', () => {
  const words = new TracebackErrors()
  const say = (...lines: string[]): string | undefined => {
    for (const line of lines) words.note(line)
    return words.text
  }
  assert.equal(say('ValueError: printed by somebody', 'Error'), undefined)
  const frames = ['  File "service.py", line 1, in <module>', '    import scipy', '    ^^^^']
  const start = 'Traceback (most recent call last):'
  assert.equal(say(start, ...frames, 'ImportError: no scipy'), 'ImportError: no scipy')
  assert.equal(say('Model worker: bye'), 'ImportError: no scipy')
  const link = 'During handling of the above exception, another exception occurred:'
  assert.equal(
    say(start, ...frames, 'KeyError: 1', link, start, ...frames, 'ValueError: 2'),
    'KeyError: 1; then ValueError: 2',
  )
})

test('an interpreter without either worker is refused, and so is what is none', async (t) => {
  const folder = temporaryFolder(t)
  const bare = program(folder, 'bare', 'console.log(JSON.stringify(["3.12.1", "", ""]))')
  await assert.rejects(
    findPython(bare, {}),
    /neither the package multi-model-server nor torchserve/,
  )
  const broken = program(folder, 'broken', 'process.exit(1)')
  await assert.rejects(findPython(broken, {}), /cannot be started/)
  await assert.rejects(serve(t, [], { python: bare }), /neither the package/)
  mkdirSync(path.join(folder, 'venv', 'bin'), { recursive: true })
  program(
    path.join(folder, 'venv', 'bin'),
    'python',
    'console.log(JSON.stringify(["3.12.1", "/mms", "/ts"]))',
  )
  const found = await findPython(path.join(folder, 'venv'), {})
  assert.deepEqual(
    [found.version, [...found.homes]],
    [
      '3.12.1',
      [
        ['mms', '/mms'],
        ['torchserve', '/ts'],
      ],
    ],
  )
})

test('a model whose worker is not installed is refused with what to install', async (t) => {
  const folder = temporaryFolder(t)
  const python = program(folder, 'python', 'console.log(JSON.stringify(["3.12.1", "/mms", ""]))')
  const url = pythonArchive(folder, { flavor: 'torchserve', name: 'm' })
  const server = await serve(t, [], { python, allowHandlers: true, allowLocalPaths: true })
  const answer = await server.manage(`/models?url=${encodeURIComponent(url)}`, { method: 'POST' })
  assert.equal(answer.status, 400)
  assert.match(
    await answer.text(),
    /was written for torchserve, which is not installed in the Python of the setting python/,
  )
})

test('the worker is started as MMS starts it, its output comes through FIFOs, and it leaves nothing', async (t) => {
  const folder = temporaryFolder(t)
  const python = fakeMms(folder)
  const archive = pythonArchive(folder, {
    flavor: 'mms',
    name: 'm',
    handler: 'code/service:handle',
    files: { 'code/service.py': '' },
  })
  const server = await serve(t, [archive], { python, allowHandlers: true, threads: 3 })
  const runtime = runtimeFolder(server)
  const answer = await server.fetch('/predictions/m', { method: 'POST', body: 'x' })
  const { args, cwd, environment } = (await json(answer)) as {
    args: string[]
    cwd: string
    environment: Record<string, string>
  }
  assert.deepEqual(args, [
    '-m',
    'mms.model_service_worker',
    '--sock-type',
    'unix',
    '--sock-name',
    path.join(runtime, 'w1', 'w.sock'),
    '--handler',
    'code/service:handle',
    '--model-path',
    cwd,
    '--model-name',
    'm',
    '--preload-model',
    'false',
    '--tmp-dir',
    path.join(runtime, 'w1'),
  ])
  assert.equal(environment.PYTHONPATH, [path.join(cwd, 'code'), cwd].join(path.delimiter))
  assert.equal(environment.OMP_NUM_THREADS, '3')
  assert.equal(environment.MMS_DECODE_INPUT_REQUEST, 'true')
  for (const [line, stream] of [
    ['out of the FIFO', 'stdout'],
    ['err of the FIFO', 'stderr'],
  ]) {
    await server.logged((one) => one.line === line && one.stream === stream)
  }
  assert.deepEqual(readdirSync(path.join(runtime, 'w1')).toSorted(), [
    'w.sock',
    'w.sock-stderr',
    'w.sock-stdout',
  ])
  await server.manage('/models/m', { method: 'DELETE' })
  await until(() => readdirSync(runtime).join() === 'server.sock')
  assert.deepEqual(processesNaming(runtime), [])
})

/** An executable that Node runs. */
function program(folder: string, name: string, source: string): string {
  const file = path.join(folder, name)
  writeFileSync(file, `#!${process.execPath}\n${source}\n`)
  chmodSync(file, 0o755)
  return file
}
