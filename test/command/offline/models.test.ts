/** The commands that need no server: `run`, `inspect`, `check`, `init`. */
import assert from 'node:assert/strict'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { runOnnxd } from '../../helpers/command-line.ts'
import { modelOfExternal } from '../../helpers/hostile-onnx.ts'
import { identityGraph, modelBytes } from '../../helpers/onnx-builder.ts'
import { temporaryFolder } from '../../helpers/server.ts'
import { visionModels } from '../../helpers/vision-models.ts'

const iris = path.resolve('examples/iris')
const digits = path.resolve('examples/digits')
const seven = path.join(digits, 'samples', '7.png')

test('run sends one request and prints the response, for JSON, images and standard input', async () => {
  const flower = '{"features":[[5.1,3.5,1.4,0.2]]}'
  const [json, image, piped] = await Promise.all([
    runOnnxd(['run', iris, '-d', flower]),
    runOnnxd(['run', digits, '-i', seven, '--json']),
    runOnnxd(['run', digits], { input: readFileSync(seven) }),
  ])
  assert.equal(json.code, 0, json.stderr)
  assert.deepEqual(JSON.parse(json.stdout).label, ['setosa'])
  assert.equal(JSON.parse(image.stdout)[0].class, '7')
  assert.equal(JSON.parse(piped.stdout)[0].class, '7')
})

test('run prints a body that is not exactly JSON as it is', async (t) => {
  const counter = path.resolve('examples/handlers/counter')
  const args = ['-t', 'text/plain', '-d', '3']
  const streamed = await runOnnxd(['run', counter, ...args, '--', '--allow-handlers'])
  assert.equal(streamed.code, 0, streamed.stderr)
  const lines = streamed.stdout.trimEnd().split('\n')
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).number),
    [1, 2, 3],
  )
  const folder = temporaryFolder(t)
  const code = `export const handle = (data, context) => {
    if (data === undefined) return
    context.setResponseContentType(0, String(data[0].body))
    return ['{"a":1}\\n{"a":2}\\n']
  }`
  writeFileSync(path.join(folder, 'service.mjs'), code)
  writeFileSync(path.join(folder, 'model.json'), '{"handler":"service.mjs"}')
  for (const type of ['application/jsonl', 'application/json-seq', 'application/json']) {
    const asked = ['-t', 'text/plain', '-d', type]
    const {
      code: status,
      stdout,
      stderr,
    } = await runOnnxd(['run', folder, ...asked, '--', '--allow-handlers'])
    assert.equal(status, 0, stderr)
    assert.equal(stdout, '{"a":1}\n{"a":2}\n', type)
  }
})

test('run shows the error of a handler with its place', async (t) => {
  const folder = temporaryFolder(t)
  const steps = `import { OnnxHandler } from 'onnxd/handler'
export class Broken extends OnnxHandler {
  preprocess() {
    throw new TypeError('no such word')
  }
}`
  const plain = `export function handle(data) {
  if (data !== undefined) throw new TypeError('no such word')
}`
  for (const [name, code, place] of [
    ['steps', steps, /service\.mjs:4:\d+/],
    ['plain', plain, /service\.mjs:2:\d+/],
  ] as const) {
    const model = path.join(folder, name)
    cpSync(iris, model, { recursive: true })
    writeFileSync(path.join(model, 'service.mjs'), code)
    writeFileSync(path.join(model, 'model.json'), '{"handler":"service.mjs"}')
    const args = ['run', model, '-d', '{"features":[[1,2,3,4]]}', '--', '--allow-handlers']
    const { code: status, stdout, stderr } = await runOnnxd(args)
    assert.deepEqual([status, stdout], [1, ''])
    assert.match(stderr, /TypeError: no such word\n/)
    assert.match(stderr, place)
  }
})

test('run does not read a device without an end', { skip: !existsSync('/dev/zero') }, async () => {
  const { code, stderr } = await runOnnxd(['run', iris, '-i', '/dev/zero'])
  assert.notEqual(code, 0)
  assert.match(stderr, /Cannot read \/dev\/zero: it has more than 268435456 bytes/)
})

test('run writes bytes to a file, and says why a request is refused', async (t) => {
  const folder = temporaryFolder(t)
  const model = path.join(folder, 'echo.onnx')
  writeFileSync(model, modelBytes(identityGraph({ type: 'FP32', shape: ['N'] })))
  const [refused, none, absent] = await Promise.all([
    runOnnxd(['run', model, '-d', '{"y":[1]}']),
    runOnnxd(['run', model]),
    runOnnxd(['run', path.join(folder, 'absent.onnx'), '-d', '[]']),
  ])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /^onnxd: [^\n]*"y"[^\n]*\n$/)
  assert.deepEqual([none.code, none.stdout], [2, ''])
  assert.match(none.stderr, /^onnxd: The command needs a request: a file with -i/)
  assert.match(absent.stderr, /^onnxd: cannot serve .*absent\.onnx: Model not found/)
  const output = path.join(folder, 'y.json')
  const written = await runOnnxd(['run', model, '-d', '[1.5]', '-o', output])
  assert.match(written.stdout, /^\d+ B of application\/json written to /, written.stderr)
  assert.match(readFileSync(output, 'utf8'), /1\.5/)
})

test('inspect shows a line that sends an image, and says what the response is', async (t) => {
  const { ssd, segments, features } = visionModels(temporaryFolder(t))
  for (const [folder, pattern] of [
    [ssd, /lists the objects: class, score, and box in pixels .* 'Accept: image\/png'/],
    [segments, /has the area of each class and a mask/],
    [features, /is a vector of numbers/],
  ] as const) {
    const { stdout } = await runOnnxd(['inspect', folder])
    const name = path.basename(folder)
    const [line, note] = stdout.split('\n').slice(-3)
    assert.equal(line, `  curl -T photo.jpg http://127.0.0.1:8080/predictions/${name}`)
    assert.match(note ?? '', pattern)
  }
  const { stdout } = await runOnnxd(['inspect', digits])
  assert.match(stdout, /\n {2}The response has the 3 best classes, each with its probability\.\n/)
})

test('inspect shows the file, the tensors, the operators and a curl line', async () => {
  const { code, stdout } = await runOnnxd(['inspect', iris])
  assert.equal(code, 0)
  assert.match(stdout, /^opset +ai\.onnx \d+ \(IR version \d+\)$/m)
  assert.match(stdout, /^operators +5: ArgMax 1, Div 1, Gemm 1, Softmax 1, Sub 1$/m)
  assert.match(stdout, /^Inputs\n {2}features {2}FP32 {2}\[N, 4\]$/m)
  assert.match(stdout, /^ {2}curl .*http:\/\/127\.0\.0\.1:8080\/predictions\/iris$/m)
  const { stdout: json } = await runOnnxd(['inspect', digits, '--no-load', '--json'])
  const { handler, file, inputs } = JSON.parse(json)
  assert.equal(handler, 'image')
  assert.deepEqual(inputs[0].shape, [-1, 1, 8, 8])
  assert.deepEqual(inputs[0].dimensions, ['N', null, null, null])
  assert.equal(file.summary.operatorSets['ai.onnx'], 17)
})

test('inspect lists external files and says if one is missing', async (t) => {
  const folder = temporaryFolder(t)
  const model = path.join(folder, 'big.onnx')
  writeFileSync(model, modelOfExternal({ location: 'weights.bin' }))
  const { stdout } = await runOnnxd(['inspect', model, '--no-load'])
  assert.match(stdout, /^External files\n {2}weights\.bin {2}missing$/m)
  const { code, stdout: loaded } = await runOnnxd(['inspect', model])
  assert.equal(code, 1)
  assert.match(loaded, /^Cannot be served: /m)
})

test('check names each problem of a store with its remedy, and explains configurations', async (t) => {
  const store = path.join(temporaryFolder(t), 'models')
  mkdirSync(store)
  cpSync(iris, path.join(store, 'iris'), { recursive: true })
  writeFileSync(
    path.join(store, 'iris', 'config.pbtxt'),
    'name: "iris"\nmax_batch_size: 8\noptimization {\n  graph { level: 1 }\n}\ndynamic_batchin { }\n',
  )
  writeFileSync(path.join(store, 'broken.onnx'), 'version https://git-lfs.github.com/spec/v1\n')
  writeFileSync(path.join(store, 'net.pt'), 'x')
  symlinkSync('.', path.join(store, 'itself'))
  symlinkSync('../..', path.join(store, 'iris', 'above'))
  writeFileSync(path.join(store, 'notes.txt'), 'x')
  writeFileSync(
    path.join(store, 'config.properties'),
    '# ours\ninference_address=http://0.0.0.0:9000\n\nnumber_of_netty_threads=4\nbatchsize=1\n',
  )
  const { code, stdout } = await runOnnxd(['check', store])
  assert.equal(code, 1)
  assert.match(stdout, /✓ \S+iris\n {4}served as iris 1\.0, loaded in [\d.]+ m?s\n/)
  assert.match(stdout, /^ +2 {2}read +max_batch_size: batchSize = 8/m)
  assert.match(stdout, /^ +3 {2}ignored {2}optimization: use /m)
  assert.match(stdout, /^ +6 {2}ignored {2}dynamic_batchin: .*did you mean dynamic_batching\?/m)
  assert.match(stdout, /✗ \S+broken\.onnx\n {4}.*Git LFS pointer .*git lfs pull/)
  assert.match(stdout, /- \S+net\.pt\n {4}not served: it is a PyTorch file; export it/)
  assert.match(stdout, /- other files\n {4}not served: itself, notes\.txt\n/)
  assert.match(stdout, /^ +2 {2}read +inference_address: host = 0\.0\.0\.0$/m)
  assert.match(stdout, /^ +4 {2}ignored {2}number_of_netty_threads: this key tunes Netty/m)
  assert.match(stdout, /^ +5 {2}ignored {2}batchsize: /m)
  assert.match(stdout, /\n3 subjects, 2 of them models: 1 with a problem\.\n$/)
})

test(
  'check says what is neither a file nor a folder',
  { skip: !existsSync('/dev/null') },
  async () => {
    const { code, stderr } = await runOnnxd(['check', '/dev/null'])
    assert.equal(code, 2)
    assert.match(stderr, /\/dev\/null is neither a file nor a folder, so it cannot be checked\./)
  },
)

test('check of a handler that is not allowed says how to allow it, and then runs it', async () => {
  const handler = path.resolve('examples/handlers/words')
  const refused = await runOnnxd(['check', handler])
  assert.equal(refused.code, 1)
  assert.match(refused.stdout, /Remedy: If you trust the code/)
  const allowed = await runOnnxd(['check', handler, '--', '--allow-handlers'])
  assert.equal(allowed.code, 0, allowed.stdout)
})

test('init writes a model.json that fits the model, and does not replace one', async (t) => {
  const folder = temporaryFolder(t)
  copyFileSync(path.join(digits, 'model.onnx'), path.join(folder, 'net.onnx'))
  copyFileSync(path.join(digits, 'labels.txt'), path.join(folder, 'labels.txt'))
  const { code, stdout, stderr } = await runOnnxd(['init', folder])
  assert.equal(code, 0, stderr)
  assert.deepEqual(JSON.parse(readFileSync(path.join(folder, 'model.json'), 'utf8')), {
    handler: 'image',
    labels: 'labels.txt',
    batchSize: 8,
  })
  assert.match(stdout, /handler +"image": the input image \[N, 1, 8, 8\] looks like an image/)
  const again = await runOnnxd(['init', folder])
  assert.equal(again.code, 2)
  assert.match(again.stderr, /exists already\. Replace it with --force\./)
  assert.equal((await runOnnxd(['check', folder])).code, 0)
  const empty = await runOnnxd(['init', path.join(folder, 'absent')])
  assert.match(empty.stderr, /^onnxd: Cannot read the folder \S+: it does not exist\.\n$/)
  assert.match(stdout, /^ {2}image +An object with \w+, /m)
  assert.match(stdout, /^ {2}threads +Threads that a worker uses /m)
  assert.doesNotMatch(stdout, /^ {2}\w+ *$/m)
  assert.ok(!existsSync(path.join(folder, 'absent')))
})
