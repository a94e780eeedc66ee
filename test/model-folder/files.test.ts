/** What is found at a model's path, and what is refused. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { ServerError } from '../../src/errors.ts'
import { pathInside, readModelFiles } from '../../src/model-folder/files.ts'
import type { ModelFiles } from '../../src/model-folder/files.ts'

/** A folder with these files; `{}` stands for any content. */
function modelFolder(t: TestContext, files: Readonly<Record<string, unknown>>): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-model-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    writeFileSync(
      path.join(folder, name),
      typeof content === 'string' ? content : JSON.stringify(content),
    )
  }
  return folder
}

async function read(
  folder: string,
  inside = '.',
): Promise<ModelFiles & { readonly network: string | undefined }> {
  const files = await readModelFiles(path.join(folder, inside))
  return { ...files, network: files.onnxFile && path.relative(folder, files.onnxFile) }
}

function isInvalid(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ServerError, String(error))
    assert.deepEqual([error.type, error.statusCode], ['InvalidModelException', 400])
    assert.match(error.message, pattern)
    assert.ok(!error.message.includes(tmpdir()), error.message)
    return true
  }
}

test('the .onnx file of a folder is the one in the settings, else model.onnx, else the only one, else none', async (t) => {
  assert.equal((await read(modelFolder(t, { 'a.onnx': '' }))).network, 'a.onnx')
  assert.equal(
    (await read(modelFolder(t, { 'a.onnx': '', 'model.onnx': '' }))).network,
    'model.onnx',
  )
  assert.equal(
    (
      await read(
        modelFolder(t, { 'a.onnx': '', 'model.onnx': '', 'model.json': { model: 'a.onnx' } }),
      )
    ).network,
    'a.onnx',
  )
  assert.equal(
    (await read(modelFolder(t, { 'a.onnx': '', '.hidden.onnx': '', 'b.ONNX': '', onnx: '' })))
      .network,
    'a.onnx',
  )
  assert.equal((await read(modelFolder(t, { 'handler.mjs': '' }))).network, undefined)
  const several = modelFolder(t, { 'a.onnx': '', 'b.onnx': '' })
  await assert.rejects(read(several), isInvalid(/2 \.onnx files.*model\.json/))
  const withCode = modelFolder(t, {
    'a.onnx': '',
    'b.onnx': '',
    'model.json': { handler: 'handler.mjs:handle' },
  })
  assert.equal((await read(withCode)).network, undefined, 'code of its own opens what it likes')
})

test('a bare .onnx file is the model, whatever lies beside it', async (t) => {
  const folder = modelFolder(t, {
    'a.onnx': '',
    'b.onnx': '',
    'model.onnx': '',
    'MAR-INF/MANIFEST.json': {},
  })
  const found = await read(folder, 'a.onnx')
  assert.deepEqual(
    [found.network, found.folder, found.manifest, found.settings],
    ['a.onnx', folder, undefined, {}],
  )
})

test('settings beside a bare file are its own only when they name it, or nobody else could be meant', async (t) => {
  const topK = { topK: 3 }
  const settingsOf = async (files: Record<string, unknown>, file: string): Promise<unknown> =>
    (await read(modelFolder(t, files), file)).settings
  assert.deepEqual(await settingsOf({ 'a.onnx': '', 'model.json': topK }, 'a.onnx'), topK)
  assert.deepEqual(
    await settingsOf({ 'a.onnx': '', 'b.onnx': '', 'model.json': topK }, 'a.onnx'),
    {},
  )
  assert.deepEqual(
    await settingsOf({ 'model.onnx': '', 'b.onnx': '', 'model.json': topK }, 'model.onnx'),
    topK,
  )
  assert.deepEqual(
    await settingsOf(
      { 'a.onnx': '', 'b.onnx': '', 'model.json': { ...topK, model: 'b.onnx' } },
      'a.onnx',
    ),
    {},
  )
  assert.deepEqual(
    await settingsOf(
      { 'a.onnx': '', 'b.onnx': '', 'model.json': { ...topK, model: 'b.onnx' } },
      'b.onnx',
    ),
    { ...topK, model: 'b.onnx' },
  )
})

test('a numbered version uses the settings of its model unless it has its own', async (t) => {
  const folder = modelFolder(t, {
    'model.json': { labels: 'labels.txt' },
    '1/model.onnx': '',
    '2/model.onnx': '',
    '2/model.json': { labels: 'other.txt' },
    'v3/model.onnx': '',
  })
  const shared = await read(folder, '1')
  assert.deepEqual(
    [shared.settings, shared.settingsFolder, shared.network],
    [{ labels: 'labels.txt' }, folder, path.join('1', 'model.onnx')],
  )
  const own = await read(folder, '2')
  assert.deepEqual(
    [own.settings, own.settingsFolder],
    [{ labels: 'other.txt' }, path.join(folder, '2')],
  )
  assert.deepEqual((await read(folder, 'v3')).settings, {}, 'v3 is no number')
  assert.deepEqual(
    (await read(folder, '1/model.onnx')).settings,
    { labels: 'labels.txt' },
    'also by its file',
  )
})

test('the manifest of an archive is read, with keys nobody knows', async (t) => {
  const manifest = {
    runtime: 'node',
    createdBy: 'x',
    model: { modelName: 'm', modelVersion: 2, handler: 'h.mjs:f', extensions: {} },
  }
  const found = await read(modelFolder(t, { 'MAR-INF/MANIFEST.json': manifest, 'a.onnx': '' }))
  assert.deepEqual(found.manifest, manifest)
  assert.equal(
    (await read(modelFolder(t, { 'MAR-INF': 'a file', 'a.onnx': '' }))).manifest,
    undefined,
  )
})

for (const [what, content, pattern] of [
  ['is no JSON', '{', /Failed to parse model\.json/],
  [
    'has a comma too many',
    '{\n  "workers": 2,\n}',
    /^Failed to parse model\.json: .*property name at line 3, column 1\.$/,
  ],
  ['has a wrong word', '{"workers": two}', /^Failed to parse model\.json: unexpected token '?w/],
  ['is empty', '', /^Failed to parse model\.json: unexpected end\.$/],
  [
    'has a misspelt key',
    '{"batchSze": 4}',
    /model\.json is not valid: batchSze: unknown key; the closest one is batchSize\.$/,
  ],
  ['exceeds a maximum', '{"workers": 1000}', /workers: Expected integer of at most 256, got 1000/],
  ['is no object', '[]', /model\.json is not valid: the value/],
  ['has an unknown key', '{"worker": 1}', /model\.json is not valid: worker/],
  ['has a key of every object', '{"constructor": 1}', /model\.json is not valid: constructor/],
  ['has a wrong type', '{"workers": "2"}', /model\.json is not valid: workers: .*got "2"/],
  ['is out of range', '{"batchSize": 0}', /model\.json is not valid: batchSize: .*got 0/],
  [
    'has a wrong word deep inside',
    '{"image": {"layout": "CWH"}}',
    /model\.json is not valid: image\.layout: Expected one of NCHW,NHWC/,
  ],
  ['is too large', `{"labels": "${'x'.repeat(1024 * 1024)}"}`, /model\.json is larger than 1 MiB/],
  ['points outside', '{"model": "../other.onnx"}', /"\.\.\/other\.onnx" points outside/],
  [
    'points to another folder of this machine',
    '{"model": "/etc/passwd"}',
    /"\/etc\/passwd" points outside/,
  ],
] as const) {
  test(`a model.json that ${what} is refused, with the place and without paths of this machine`, async (t) => {
    await assert.rejects(
      read(modelFolder(t, { 'model.json': content, 'a.onnx': '' })),
      isInvalid(pattern),
    )
  })
}

test('a manifest that does not fit is refused', async (t) => {
  const broken = { model: { modelName: 7 } }
  await assert.rejects(
    read(modelFolder(t, { 'MAR-INF/MANIFEST.json': broken })),
    isInvalid(/MANIFEST\.json is not valid: model\.modelName/),
  )
})

test('settings that are no file are refused instead of read', { timeout: 5000 }, async (t) => {
  const folder = modelFolder(t, { 'a.onnx': '' })
  mkdirSync(path.join(folder, 'model.json'))
  await assert.rejects(read(folder), isInvalid(/model\.json is not a file/))
  const pipes = modelFolder(t, { 'a.onnx': '' })
  execFileSync('mkfifo', [path.join(pipes, 'model.json')])
  await assert.rejects(read(pipes), isInvalid(/model\.json is not a file/))
})

test('a path that does not exist is the caller’s to explain', async () => {
  await assert.rejects(readModelFiles('/nowhere/at-all'), { code: 'ENOENT' })
})

test('names stay inside their folder, whatever they are made of', () => {
  for (const [name, expected] of [
    ['a', '/m/a'],
    ['a/b.txt', '/m/a/b.txt'],
    ['./a', '/m/a'],
    ['a/../b', '/m/b'],
    ['..a', '/m/..a'],
    ['a..', '/m/a..'],
    ['...', '/m/...'],
    ['%2e%2e/a', '/m/%2e%2e/a'],
  ] as const) {
    assert.equal(pathInside('/m', name), expected)
  }
  for (const name of [
    '',
    '.',
    '..',
    '../m2',
    '../m',
    'a/..',
    'a/../..',
    './..',
    '/m/a',
    '/',
    'a\0b',
    '..//m',
    '../m/../n',
  ]) {
    assert.throws(() => pathInside('/m', name), isInvalid(/points outside/), name)
  }
  assert.equal(pathInside('/', 'labels.txt'), '/labels.txt')
  assert.equal(pathInside('/m/', 'a'), '/m/a')
  assert.throws(() => pathInside('/', '..'), isInvalid(/points outside/))
})

test('C1: a key of model.json that is null is as if absent', async (t) => {
  const settings = { handler: null, workers: null, labels: null, image: { width: null, scale: 2 } }
  const folder = modelFolder(t, { 'model.onnx': {}, 'model.json': settings })
  assert.deepEqual((await read(folder)).settings, { image: { scale: 2 } })
  for (const wrong of ['null', '{"image":{"mean":[null]}}', '{"nothing":1}']) {
    const other = modelFolder(t, { 'model.onnx': {}, 'model.json': wrong })
    await assert.rejects(read(other), isInvalid(/model\.json is not valid/), wrong)
  }
})
