/** `onnxd archive`: the same bytes for the same files, archives that load, refusals. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { fromBuffer } from 'yauzl'
import type { Entry, ZipFile } from 'yauzl'
import { uploadForm } from '../../../helpers/archives.ts'
import { runOnnxd } from '../../../helpers/command-line.ts'
import type { CommandResult } from '../../../helpers/command-line.ts'
import { modelOfExternal } from '../../../helpers/hostile-onnx.ts'
import { identityGraph, modelBytes } from '../../../helpers/onnx-builder.ts'
import { CLI, json, serve, temporaryFolder, until } from '../../../helpers/server.ts'

const IRIS = path.resolve('examples/iris')
const HANDLERS = path.resolve('examples/handlers')
const FLOWER = '{"features":[[5.8,2.7,5.1,1.9]]}'
/** MS-DOS time of the first second of 1980. */
const FIRST_DAY = 33

type Files = Readonly<Record<string, string | Buffer>>

/** Writes files into a new folder of the given name. */
function folderOf(parent: string, name: string, files: Files): string {
  const folder = path.join(parent, name)
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    writeFileSync(path.join(folder, file), content)
  }
  return folder
}

const MODEL = modelBytes(identityGraph({ type: 'FP32', shape: ['N'] }))

async function archived(...args: string[]): Promise<CommandResult> {
  const result = await runOnnxd(['archive', ...args])
  assert.equal(result.code, 0, result.stderr)
  return result
}

interface ReadEntry {
  readonly entry: Entry
  readonly content: Buffer
}

/** The entries of a zip file, in their order. */
async function readZip(file: string): Promise<ReadEntry[]> {
  const zip = await new Promise<ZipFile>((resolve, reject) => {
    fromBuffer(readFileSync(file), { lazyEntries: true }, (error, opened) => {
      if (error) reject(error)
      else resolve(opened)
    })
  })
  const found: ReadEntry[] = []
  for await (const entry of zip.eachEntry()) {
    const chunks: Buffer[] = []
    for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Buffer)
    found.push({ entry, content: Buffer.concat(chunks) })
  }
  return found
}

async function manifestIn(file: string): Promise<unknown> {
  const entries = await readZip(file)
  const found = entries.find(({ entry }) => entry.fileName === 'MAR-INF/MANIFEST.json')
  return JSON.parse(found?.content.toString() ?? '')
}

test('the same files give the same bytes, whatever their folder, times and order are', async (t) => {
  const temporary = temporaryFolder(t)
  const files: Files = {
    'model.onnx': MODEL,
    'a/labels.txt': 'one\ntwo\n'.repeat(10_000),
    'ä.json': '{}',
    'Z.txt': '',
    'model.json': '{"batchSize": 4}',
    '.hidden/file': 'x',
    '__pycache__/service.pyc': 'x',
    'old.mar': 'x',
  }
  const first = folderOf(temporary, 'net', files)
  const second = folderOf(
    path.join(temporary, 'elsewhere'),
    'net',
    Object.fromEntries(Object.entries(files).toReversed()),
  )
  for (const name of Object.keys(files)) utimesSync(path.join(second, name), 1e9, 1e9)
  const [one, two] = ['1.mar', '2.mar'].map((name) => path.join(temporary, name))
  const { stdout } = await archived(first, '-o', one ?? '', '--json')
  const again = await runOnnxd(['archive', '.', '-o', two ?? ''], {
    cwd: second,
    environment: { TZ: 'Pacific/Auckland' },
  })
  assert.equal(again.code, 0, again.stderr)
  assert.ok(readFileSync(one ?? '').equals(readFileSync(two ?? '')))

  const facts = JSON.parse(stdout)
  const names = [
    'MAR-INF/MANIFEST.json',
    'Z.txt',
    'a/labels.txt',
    'model.json',
    'model.onnx',
    'ä.json',
  ]
  assert.deepEqual(
    facts.files.map(({ name }: { name: string }) => name),
    names,
  )
  assert.deepEqual(facts.leftOut, ['.hidden', '__pycache__', 'old.mar'])
  // Node's zlib would not give the same digest on all machines and versions of Node.
  assert.equal(facts.sha256, 'd3bf4f236daca2d1b4429623afa9fdba51413aa6bb308646880a6cfd5985e160')
  const entries = await readZip(one ?? '')
  for (const { entry, content } of entries) {
    assert.deepEqual([entry.lastModFileDate, entry.lastModFileTime], [FIRST_DAY, 0])
    assert.equal(entry.externalFileAttributes >>> 16, 0o100_644)
    const own = files[entry.fileName]
    if (own !== undefined) assert.ok(content.equals(Buffer.from(own)), entry.fileName)
  }
  assert.deepEqual(
    entries.map(({ entry }) => entry.fileName),
    names,
  )
})

test('an archive is checked, served and uploaded like the folder', async (t) => {
  const folder = temporaryFolder(t)
  const { stdout } = await archived(IRIS, '-o', folder, '--version', '2.5')
  assert.match(stdout, /iris\.mar is written\.\n\nmodel +iris 2\.5\nhandler +onnx, built in\n/)
  const file = path.join(folder, 'iris.mar')
  const checked = await runOnnxd(['check', file])
  assert.equal(checked.code, 0, checked.stdout)
  assert.match(checked.stdout, /served as iris 2\.5, /)
  const server = await serve(t, [file])
  const headers = { 'content-type': 'application/json' }
  const predict = async (name: string): Promise<unknown> =>
    json(await server.fetch(`/predictions/${name}`, { method: 'POST', body: FLOWER, headers }))
  const { label } = (await predict('iris')) as { label: string[] }
  assert.deepEqual(label, ['virginica'])
  const form = uploadForm('uploaded', readFileSync(file), 'iris.mar')
  const uploaded = await server.manage('/models/upload', { method: 'POST', body: form })
  assert.equal(uploaded.status, 200, await uploaded.clone().text())
  assert.deepEqual(await predict('uploaded'), await predict('iris'))
})

test('the folder of a handler keeps its manifest; flags change it', async (t) => {
  const folder = temporaryFolder(t)
  await archived(path.join(HANDLERS, 'dictionary'), '-o', folder)
  const file = path.join(folder, 'dictionary.mar')
  assert.deepEqual(await manifestIn(file), {
    runtime: 'node',
    model: { modelName: 'dictionary', modelVersion: '2.0', handler: 'service.mjs' },
  })
  const { stdout } = await archived(file, '-o', path.join(folder, 'other.mar'), '--name', 'other')
  assert.match(stdout, /runtime +node, for onnxd only; MMS and TorchServe need --runtime python/)
  const args = ['--runtime', 'python', '--version', '3', '-o', path.join(folder, 'again.mar')]
  await archived(file, ...args)
  assert.deepEqual(await manifestIn(path.join(folder, 'again.mar')), {
    runtime: 'python',
    model: { modelName: 'dictionary', modelVersion: '3', handler: 'service.mjs' },
  })
  const checked = await runOnnxd([
    'check',
    path.join(folder, 'again.mar'),
    '--',
    '--allow-handlers',
  ])
  assert.match(checked.stdout, /served as dictionary 3, /)
})

test('a numbered version has the settings of the folder above it, a single file its own', async (t) => {
  const folder = temporaryFolder(t)
  const store = folderOf(folder, 'net', {
    '7/model.onnx': MODEL,
    'config.pbtxt': 'max_batch_size: 4',
    'labels.txt': 'x',
    'other.onnx': MODEL,
  })
  for (const given of [store, path.join(store, '7'), path.join(store, '7', 'model.onnx')]) {
    const { stdout } = await archived(given, '-o', folder, '-f', '--json')
    const { name, version, files } = JSON.parse(stdout)
    assert.deepEqual([name, version], ['net', '7'], given)
    const found = files.map((one: { name: string }) => one.name)
    assert.ok(found.includes('model.onnx') && found.includes('config.pbtxt'), found.join(' '))
    assert.ok(!found.includes('other.onnx'))
    const { stdout: report } = await runOnnxd(['check', path.join(folder, 'net.mar')])
    assert.match(report, /max_batch_size: batchSize = 4/)
  }
  const loose = folderOf(folder, 'loose', {
    'big.onnx': modelOfExternal({ location: 'data/w.bin' }),
    'data/w.bin': Buffer.alloc(4),
    'another.onnx': MODEL,
    'notes.txt': 'x',
  })
  const { stdout } = await archived(path.join(loose, 'big.onnx'), '-o', folder, '--json')
  assert.deepEqual(
    JSON.parse(stdout).files.map((one: { name: string }) => one.name),
    ['MAR-INF/MANIFEST.json', 'big.onnx', 'data/w.bin'],
  )
})

test('the flags of the archivers of MMS and TorchServe work as there', async (t) => {
  const cwd = temporaryFolder(t)
  folderOf(cwd, 'code', { 'service.py': 'def handle(data, context): return data\n' })
  folderOf(cwd, 'extra', { 'vocab/words.txt': 'a', 'names.json': '{}' })
  folderOf(cwd, 'weights', { 'net.pt': 'weights', 'model.py': 'class Net: pass\n' })
  const run = (line: string): Promise<CommandResult> =>
    runOnnxd(['archive', ...line.split(' ')], { cwd })
  const weights = '--serialized-file weights/net.pt --model-file weights/model.py'
  const more = '--handler image_classifier --extra-files extra,code/service.py --export-path .'
  const torch = await run(`--model-name net --version 1.2 ${weights} ${more}`)
  assert.equal(torch.code, 0, torch.stderr)
  const file = path.join(cwd, 'net.mar')
  assert.deepEqual(await manifestIn(file), {
    archiverVersion: 'onnxd',
    runtime: 'python',
    model: {
      modelName: 'net',
      modelVersion: '1.2',
      handler: 'image_classifier',
      serializedFile: 'net.pt',
      modelFile: 'model.py',
    },
  })
  const names = (await readZip(file)).map(({ entry }) => entry.fileName)
  assert.deepEqual(names, [
    'MAR-INF/MANIFEST.json',
    'model.py',
    'names.json',
    'net.pt',
    'service.py',
    'vocab/words.txt',
  ])
  const mms = await run('--model-name m --model-path code --handler service:handle')
  assert.equal(mms.code, 0, mms.stderr)
  assert.deepEqual(await manifestIn(path.join(cwd, 'm.mar')), {
    runtime: 'python',
    model: { modelName: 'm', modelVersion: '1.0', handler: 'service:handle' },
  })
  const outside = await run('weights --name n --handler code/service.py:handle')
  assert.equal(outside.code, 0, outside.stderr)
  assert.match(outside.stdout, /^handler +service\.py:handle$/m)
  const stored = await run('weights/net.pt --handler base_handler --archive-format zip-store -f')
  assert.equal(stored.code, 0, stored.stderr)
  assert.match(stored.stdout, /^model +net 1\.0$/m)
})

test('a model that unpacks to very much more is stored, so that servers accept it', async (t) => {
  const folder = temporaryFolder(t)
  const bytes = 12 * 1024 * 1024
  const model = folderOf(folder, 'zeros', {
    'model.onnx': modelOfExternal({ location: 'w.bin' }, [bytes / 4]),
    'w.bin': Buffer.alloc(bytes),
  })
  await archived(model, '-o', folder)
  const checked = await runOnnxd(['check', path.join(folder, 'zeros.mar')])
  assert.equal(checked.code, 0, checked.stdout)
})

test('a pipeline and a folder of Hugging Face are models too', async (t) => {
  const folder = temporaryFolder(t)
  const steps = [{ model: 'one', inputs: { x: 'x' }, outputs: { y: 'y' } }]
  const pipeline = folderOf(folder, 'chain', {
    'model.json': JSON.stringify({ pipeline: { steps } }),
  })
  await archived(pipeline, '-o', folder)
  const nested = folderOf(folder, 'hub', { 'onnx/model.onnx': MODEL, 'config.json': '{}' })
  await archived(nested, '-o', folder)
  const checked = await runOnnxd(['check', path.join(folder, 'hub.mar')])
  assert.match(checked.stdout, /served as hub 1\.0, /)
})

test('what a server would not load is refused, and nothing is written', async (t) => {
  const cwd = temporaryFolder(t)
  const models = (name: string, files: Files): string =>
    path.relative(cwd, folderOf(path.join(cwd, 'models'), name, files))
  const outside = folderOf(cwd, 'outside', { 'w.bin': 'x', 'model.onnx': MODEL })
  const linked = models('linked', { 'model.onnx': MODEL })
  symlinkSync(path.join(outside, 'w.bin'), path.join(cwd, linked, 'w.bin'))
  const broken = models('broken', { 'model.onnx': MODEL })
  symlinkSync('absent', path.join(cwd, broken, 'w.bin'))
  const loop = models('loop', { 'model.onnx': MODEL, 'a/b': '' })
  symlinkSync('..', path.join(cwd, loop, 'a', 'up'))
  const pipe = models('pipe', { 'model.onnx': MODEL })
  assert.equal(spawnSync('mkfifo', [path.join(cwd, pipe, 'fifo')]).status, 0)
  const huge = models('huge', { 'model.onnx': MODEL, 'w.bin': '' })
  truncateSync(path.join(cwd, huge, 'w.bin'), 2 ** 32)
  const good = models('good', { 'model.onnx': MODEL })
  const set = models('set', { 'model.onnx': MODEL, 'model.json': '{"version": "1"}' })
  writeFileSync(path.join(cwd, 'present.mar'), 'x')
  const cases: [args: string[], code: number, message: RegExp][] = [
    [[], 2, /Name the folder or the file of a model/],
    [['absent'], 2, /Cannot read absent: it does not exist\./],
    [[models('empty', { 'notes.txt': '' })], 1, /neither an \.onnx file nor a handler/],
    [[models('two', { 'a.onnx': MODEL, 'b.onnx': MODEL })], 1, /2 \.onnx files; set "model"/],
    [[models('none', { 'model.onnx': '' })], 1, /"model\.onnx" is empty/],
    [
      [models('text', { 'model.onnx': 'no model\n' })],
      1,
      /"model\.onnx": .*is a text file, not an ONNX/,
    ],
    [['models/text/model.onnx'], 1, /is a text file, not an ONNX model/],
    [[models('ort', { 'model.onnx': '0000ORTM' })], 1, /is in the ORT format/],
    [[good, '-o', ''], 2, /-o needs the name of a file or a folder/],
    [
      [models('json', { 'model.onnx': MODEL, 'model.json': '{' })],
      1,
      /parse model\.json: .* line 1/,
    ],
    [
      [models('weights', { 'm.onnx': modelOfExternal({ location: 'w.bin' }) })],
      1,
      /needs the file "w\.bin"/,
    ],
    [
      [models('many', { '1/model.onnx': MODEL, '2/model.onnx': MODEL })],
      2,
      /versions 1, 2, .*\/many\/2\./,
    ],
    [[linked], 1, /"w\.bin" is a link that leads out of the folder/],
    [[broken], 1, /"w\.bin" cannot be read: it does not exist\./],
    [[loop], 1, /"a\/up" is a link to a folder that contains it\./],
    [[pipe], 1, /"fifo" is not a regular file\./],
    [[huge], 1, /too large for an archive: .* 4294967296 bytes/],
    [[good, '--name', 'a b'], 2, /Invalid model name: "a b"/],
    [[good, '--name', 'stats'], 2, /reserved/],
    [[good, '--version', '../1'], 2, /Invalid model version/],
    [[good, '--handler', 'servise.py'], 1, /no file for its handler "servise\.py"/],
    [[good, '--runtime', 'java'], 2, /Invalid RuntimeType value: java/],
    [[good, '--extra-files', 'outside'], 2, /Two files would have the name "model\.onnx"/],
    [[good, '--extra-files', 'outside/absent'], 2, /Cannot read outside\/absent/],
    [[good, '-o', 'good.tar.gz'], 2, /ends with \.mar, \.zip or \.model/],
    [[good, '-o', 'absent/'], 2, /its folder does not exist/],
    [[good, '-o', 'present.mar'], 2, /present\.mar exists already\. Replace it with --force\./],
    [[good, '--archive-format', 'tgz'], 2, /format tgz is not supported/],
    [[good, '--model-path', good], 2, /Use one of them/],
    [[set, '--version', '2'], 2, /model\.json sets version to "1", which wins over --version/],
    [['present.mar'], 1, /not a valid zip file/],
  ]
  const before = readdirSync(cwd)
  const refuse = async ([args, code, message]: (typeof cases)[number]): Promise<void> => {
    const result = await runOnnxd(['archive', ...args], { cwd })
    assert.match(result.stderr, message, args.join(' '))
    assert.match(result.stderr, /^onnxd: [^\n]*\n$/)
    assert.equal(result.code, code, args.join(' '))
  }
  while (cases.length > 0) await Promise.all(cases.splice(0, 4).map(refuse))
  assert.deepEqual(readdirSync(cwd), before)
})

test('Ctrl-C leaves nothing behind', async (t) => {
  const folder = temporaryFolder(t)
  const model = folderOf(folder, 'big', { 'model.onnx': MODEL, 'w.bin': '' })
  truncateSync(path.join(model, 'w.bin'), 2 ** 31)
  const output = path.join(folder, 'out')
  mkdirSync(output)
  const child = spawn(process.execPath, [CLI, 'archive', model, '-o', output], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  await until(() => readdirSync(output).length > 0)
  child.kill('SIGINT')
  const [code] = await once(child, 'exit')
  assert.equal(code, 130)
  assert.deepEqual(readdirSync(output), [])
})
