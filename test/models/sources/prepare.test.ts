import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { ServerError } from '../../../src/errors.ts'
import {
  MODEL_NAME_PATTERN,
  checkModelName,
  discard,
  prepareFromArgument,
  prepareFromUrl,
} from '../../../src/models/sources/prepare.ts'
import type { PreparedModel, SourceOptions } from '../../../src/models/sources/prepare.ts'
import { listStore } from '../../../src/models/sources/store/listing.ts'
import { ownModels } from '../../helpers/own-models.ts'
import { sharedPath, testShared } from '../../helpers/shared.ts'
import { zipOf } from '../../helpers/zip.ts'
import type { ZipEntry } from '../../helpers/zip.ts'

interface Workplace {
  readonly store: string
  readonly outside: string
  readonly temporaryRoot: string
  readonly options: SourceOptions
  /** Writes a file of the store, with its folders. */
  readonly write: (name: string, content?: string | Buffer) => void
}

function workplace(t: TestContext, changed: Partial<SourceOptions> = {}): Workplace {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'onnxd-source-')))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const [store, outside, temporaryRoot] = ['store', 'outside', 'temporary'].map((name) =>
    path.join(folder, name),
  )
  assert.ok(store && outside && temporaryRoot)
  mkdirSync(store)
  mkdirSync(outside)
  writeFileSync(path.join(outside, 'secret.onnx'), 'secret')
  return {
    store,
    outside,
    temporaryRoot,
    options: { modelStore: store, temporaryRoot, allowLocalPaths: false, ...changed },
    write: (name, content = 'network') => {
      mkdirSync(path.dirname(path.join(store, name)), { recursive: true })
      writeFileSync(path.join(store, name), content)
    },
  }
}

function leftIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}

async function refusal(preparing: Promise<PreparedModel[]>): Promise<ServerError> {
  const outcome = await preparing.catch((error: unknown) => error)
  assert.ok(
    outcome instanceof ServerError,
    `expected a ServerError, got ${JSON.stringify(outcome) ?? String(outcome)}`,
  )
  return outcome
}

/** The facts that tell layouts apart. */
function facts(models: readonly PreparedModel[]): string[] {
  return models.map(
    ({ name, version, modelPath }) => `${name} ${version} ${path.basename(modelPath)}`,
  )
}

test('each layout gives its names and versions', async (t) => {
  const { store, options, write } = workplace(t)
  write('mnist.onnx')
  write('odd name (1).onnx')
  write('_private.onnx')
  write('folder/model.onnx')
  write('one/net.onnx')
  for (const version of ['1', '2', '10']) write(`digits/${version}/model.onnx`)
  write('digits/3/notes.txt')
  write('digits/old/model.onnx')
  write('both/model.onnx')
  write('both/7/model.onnx')
  write('year/model.onnx')
  write('year/2024/data.csv')
  write('several/a.onnx')
  write('several/b.onnx')
  write('several/model.json', '{"model":"b.onnx","version":"2.1"}')
  write('2024/model.onnx')
  const cases: [argument: string, expected: string[]][] = [
    ['mnist.onnx', ['mnist 1.0 mnist.onnx']],
    ['odd name (1).onnx', ['odd_name__1_ 1.0 odd name (1).onnx']],
    ['_private.onnx', ['private 1.0 _private.onnx']],
    ['folder', ['folder 1.0 folder']],
    ['folder/', ['folder 1.0 folder']],
    ['folder/model.onnx', ['folder 1.0 model.onnx']],
    ['one', ['one 1.0 one']],
    ['one/net.onnx', ['net 1.0 net.onnx']],
    ['digits', ['digits 1 1', 'digits 2 2', 'digits 10 10']],
    ['digits/2', ['digits 2 2']],
    ['digits/2/model.onnx', ['digits 2 model.onnx']],
    ['both', ['both 7 7']],
    ['year', ['year 1.0 year']],
    ['several', ['several 2.1 several']],
    ['several/a.onnx', ['a 1.0 a.onnx']],
  ]
  for (const [argument, expected] of cases) {
    const fromArgument = await prepareFromArgument(path.join(store, argument), options)
    assert.deepEqual(facts(fromArgument), expected, argument)
    const fromUrl = await prepareFromUrl(argument, options)
    assert.deepEqual(facts(fromUrl), expected, argument)
    for (const model of fromUrl) {
      assert.equal(model.url, argument)
      assert.ok(path.isAbsolute(model.modelPath) && existsSync(model.modelPath))
      assert.deepEqual(
        [model.handler, model.runtime, model.hasCode, model.temporaryFolder],
        ['', 'node', false, undefined],
      )
      await discard(model)
      assert.ok(existsSync(model.modelPath), 'what the operator owns is never removed')
    }
  }
  assert.deepEqual(
    facts(await prepareFromUrl('2024', options)),
    ['2024 1.0 2024'],
    'a folder of the store is a model, not a version of the store',
  )
  assert.deepEqual(
    facts(await prepareFromArgument(`seven=${store}/digits`, options)).map(
      (fact) => fact.split(' ')[0],
    ),
    ['seven', 'seven', 'seven'],
  )
  assert.equal(
    (await prepareFromArgument(`seven=${store}/mnist.onnx`, options))[0]?.url,
    `${store}/mnist.onnx`,
  )
  assert.deepEqual(
    facts(await prepareFromUrl('digits', { ...options, version: '10', name: 'x' })),
    ['x 10 10'],
  )
  assert.deepEqual(facts(await prepareFromUrl('mnist.onnx', { ...options, version: '3.2' })), [
    'mnist 3.2 mnist.onnx',
  ])
  assert.equal(
    (await refusal(prepareFromUrl('digits', { ...options, version: '4' }))).type,
    'ModelVersionNotFoundException',
  )
})

test('settings are model.json over config.pbtxt', async (t) => {
  const { options, write } = workplace(t)
  write('m/1/model.onnx')
  write('m/2/model.onnx')
  write('m/2/model.json', '{"topK":3}')
  write(
    'm/config.pbtxt',
    'max_batch_size: 8 instance_group { count: 3 } dynamic_batching { max_queue_delay_microseconds: 5000 }',
  )
  write('m/model.json', '{"batchSize":4,"handler":"image"}')
  const [first, second] = await prepareFromUrl('m', options)
  assert.deepEqual(first?.settings, {
    maxBatchSize: 8,
    batchSize: 4,
    workers: 3,
    maxBatchDelay: 5,
    handler: 'image',
  })
  assert.equal(first.handler, 'image')
  assert.deepEqual(second?.settings, {
    maxBatchSize: 8,
    batchSize: 8,
    workers: 3,
    maxBatchDelay: 5,
    topK: 3,
  })
  assert.equal(second.handler, '')

  write('m/config.pbtxt', 'version_policy { latest {} }')
  assert.deepEqual(facts(await prepareFromUrl('m', options)), ['m 2 2'])
  write('m/config.pbtxt', 'version_policy { specific { versions: [1, 9] } }')
  assert.deepEqual(facts(await prepareFromUrl('m', options)), ['m 1 1'])
  write('m/config.pbtxt', 'version_policy { specific { versions: 9 } }')
  assert.match(
    (await refusal(prepareFromUrl('m', options))).message,
    /None of the versions 1, 2 matches/,
  )

  write('named/1/a.onnx')
  write('named/1/b.onnx')
  write('named/config.pbtxt', 'default_model_filename: "b.onnx"')
  assert.deepEqual(facts(await prepareFromUrl('named', options)), ['named 1 b.onnx'])
  write('named/config.pbtxt', 'default_model_filename: "../../m/1/model.onnx"')
  assert.match(
    (await refusal(prepareFromUrl('named', options))).message,
    /points outside the model's folder/,
  )
  write('named/config.pbtxt', 'max_batch_size: "8"')
  assert.match(
    (await refusal(prepareFromUrl('named', options))).message,
    /line 1, column 17: max_batch_size/,
  )
})

/** Every folder of a model store is prepared under its own name. */
async function assertPrepared(t: TestContext, models: string, least: number): Promise<void> {
  const { options } = workplace(t)
  const names = (await listStore(models)).filter((name) => !name.includes('.'))
  assert.ok(names.length >= least)
  for (const name of names) {
    const [model, ...others] = await prepareFromArgument(path.join(models, name), options)
    assert.deepEqual([model?.name, model?.version, others.length], [name, '1', 0])
  }
}

test('every model of a repository is prepared under its own name', (t) =>
  assertPrepared(t, ownModels(), 20))

testShared('every shared model is prepared under its own name', {}, (t) =>
  assertPrepared(t, sharedPath('models'), 25),
)

test('a refusal of a path outside the store names the flag that allows it', async (t) => {
  const { outside, options } = workplace(t)
  const file = path.join(outside, 'model.onnx')
  const flag = /\. Start the server with --allow-local-paths to register paths outside the store\.$/
  for (const url of [file, `file://${file}`]) {
    await assert.rejects(prepareFromUrl(url, options), { message: flag }, url)
  }
  for (const url of ['none.onnx', '../model.onnx', 's3://bucket/model.onnx']) {
    await assert.rejects(prepareFromUrl(url, options), ({ message }: Error) => !flag.test(message))
  }
})

test('a url outside the store is rejected with the texts and statuses of MMS', async (t) => {
  const { store, outside, options, write } = workplace(t)
  write('ok.onnx')
  write('a/b/model.onnx')
  const notInStore = [404, 'ModelNotFoundException', /^Model not found in model store: /] as const
  const relative = [
    404,
    'ModelNotFoundException',
    /^Relative path is not allowed in url: /,
  ] as const
  const remote = [403, 'BadRequestException', /^Remote URLs are not allowed: /] as const
  const scheme = [
    403,
    'BadRequestException',
    /^Only models of the model store are allowed: /,
  ] as const
  const malformed = [400, 'BadRequestException', /^Invalid model url: "/] as const
  const cases: [url: string, expected: readonly [number, string, RegExp]][] = [
    ['', [400, 'BadRequestException', /^Parameter url is required\.$/]],
    ['none.onnx', notInStore],
    ['.', notInStore],
    ['...', notInStore],
    ['%2e%2e%2fx', notInStore],
    ['CON', notInStore],
    ['x'.repeat(300), notInStore],
    ['ok.onnx/x', notInStore],
    ['/etc/passwd', notInStore],
    [`${store}/ok.onnx`, notInStore],
    ['../outside/secret.onnx', relative],
    ['a/../../outside/secret.onnx', relative],
    ['a/../ok.onnx', relative],
    ['..', relative],
    ['http://127.0.0.1/x.onnx', remote],
    ['HTTPS://example.com/x.mar', remote],
    ['http:127.0.0.1', remote],
    ['http://allowed@evil/', remote],
    ['//host/x', remote],
    ['file:///etc/passwd', scheme],
    ['FILE:/etc/passwd', scheme],
    ['data:,x', scheme],
    ['ftp://host/x', scheme],
    ['unix:/var/run/docker.sock', scheme],
    ['s3://bucket/x', scheme],
    [' ', malformed],
    [' ok.onnx', malformed],
    ['\thttp://host/x', malformed],
    ['ht\ntp://host/x', malformed],
    ['a\\b', malformed],
    ['..\\secret.onnx', malformed],
    ['http://evil\\@allowed/', malformed],
    ['ok.onnx\0', malformed],
    ['ok\u202egpj.onnx', malformed],
    ['x'.repeat(5000), malformed],
  ]
  for (const [url, [status, type, message]] of cases) {
    const error = await refusal(prepareFromUrl(url, options))
    assert.deepEqual([error.statusCode, error.type], [status, type], JSON.stringify(url))
    assert.match(error.message, message, JSON.stringify(url))
    assert.ok(url.includes(store) || !error.message.includes(store))
  }
  assert.deepEqual(facts(await prepareFromUrl('a/b', options)), ['b 1.0 b'])
  for (const modelStore of [undefined, '']) {
    const error = await refusal(prepareFromUrl('ok.onnx', { ...options, modelStore }))
    assert.deepEqual(
      [error.statusCode, error.message],
      [
        404,
        'Model store has not been configured. Start the server with --model-store, or upload the model.',
      ],
    )
  }
  const noStore = await refusal(
    prepareFromUrl('x', { ...options, modelStore: path.join(outside, 'none') }),
  )
  assert.equal(noStore.statusCode, 404)
})

test('local paths are used only when they are allowed', async (t) => {
  const { outside, options } = workplace(t, { allowLocalPaths: true })
  const file = path.join(outside, 'secret.onnx')
  for (const url of [file, pathToFileURL(file).href, `file:${file}`]) {
    const [model] = await prepareFromUrl(url, options)
    assert.deepEqual([model?.name, model?.modelPath, model?.url], ['secret', file, url])
  }
  const cases: [url: string, status: number][] = [
    ['file://host/x.onnx', 400],
    ['file:///a%2fb.onnx', 400],
    ['file:///a%00b.onnx', 400],
    ['data:,x', 400],
    ['http://host/x', 403],
    [`${outside}/../outside/secret.onnx`, 404],
    [`${outside}/none.onnx`, 404],
  ]
  for (const [url, status] of cases)
    assert.equal((await refusal(prepareFromUrl(url, options))).statusCode, status, url)
})

test(
  'links, FIFOs, sockets and empty files of the store are refused without waiting',
  { timeout: 20_000 },
  async (t) => {
    const { store, outside, options, write } = workplace(t)
    write('real/model.onnx')
    write('empty.onnx', '')
    write('notes.txt')
    symlinkSync('real', path.join(store, 'alias'))
    symlinkSync(path.join(outside, 'secret.onnx'), path.join(store, 'out.onnx'))
    symlinkSync(outside, path.join(store, 'outside'))
    symlinkSync('/dev/zero', path.join(store, 'zero.onnx'))
    symlinkSync('loop.onnx', path.join(store, 'loop.onnx'))
    symlinkSync('.', path.join(store, 'self'))
    symlinkSync(`${store}/../store`, path.join(store, 'round'))
    symlinkSync('gone', path.join(store, 'gone.onnx'))
    execFileSync('mkfifo', [path.join(store, 'fifo.onnx'), path.join(store, 'fifo.mar')])
    const server = createServer().listen(path.join(store, 'socket.onnx'))
    t.after(() => server.close())
    const inside: [folder: string, make: (folder: string) => void][] = [
      ['tree-fifo', (folder) => execFileSync('mkfifo', [path.join(folder, 'model.json')])],
      [
        'tree-link',
        (folder) =>
          symlinkSync(path.join(outside, 'secret.onnx'), path.join(folder, 'weights.bin')),
      ],
      [
        'tree-deep',
        (folder) => {
          mkdirSync(path.join(folder, 'x'))
          symlinkSync('/etc', path.join(folder, 'x/etc'))
        },
      ],
      ['tree-gone', (folder) => symlinkSync('nowhere', path.join(folder, 'labels.txt'))],
    ]
    for (const [name, make] of inside) {
      write(`${name}/model.onnx`)
      make(path.join(store, name))
    }
    const cases: [url: string, status: number, message: RegExp][] = [
      ['out.onnx', 404, /^Model not found in model store: out.onnx$/],
      ['outside', 404, /not found in model store/],
      ['outside/secret.onnx', 404, /not found in model store/],
      ['zero.onnx', 404, /not found in model store/],
      ['loop.onnx', 404, /not found in model store/],
      ['gone.onnx', 404, /not found in model store/],
      ['self', 404, /not found in model store/],
      ['round', 404, /not found in model store/],
      ['fifo.onnx', 400, /neither a file nor a folder/],
      ['fifo.mar', 400, /neither a file nor a folder/],
      ['socket.onnx', 400, /neither a file nor a folder/],
      ['empty.onnx', 400, /"empty.onnx" is empty/],
      ['notes.txt', 400, /not a folder, .onnx, .mar, .model, .zip or .tar.gz/],
      ['tree-fifo', 400, /"model.json" is not a regular file/],
      ['tree-link', 400, /"weights.bin" points outside/],
      ['tree-deep', 400, /etc" points outside the model store/],
      ['tree-gone', 400, /"labels.txt" is a broken symbolic link/],
    ]
    for (const [url, status, message] of cases) {
      const error = await refusal(prepareFromUrl(url, options))
      assert.match(error.message, message, url)
      assert.equal(error.statusCode, status, url)
      assert.ok(!error.message.includes(outside))
    }
    assert.deepEqual(facts(await prepareFromUrl('alias', options)), ['alias 1.0 alias'])
    const fifo = await refusal(prepareFromArgument(path.join(store, 'tree-fifo'), options))
    assert.match(fifo.message, /"model.json" is not a regular file/)

    execFileSync('mkfifo', [path.join(store, 'model.json')])
    write('beside.onnx')
    assert.match(
      (await refusal(prepareFromUrl('beside.onnx', options))).message,
      /"model.json" is not a regular file/,
    )
  },
)

test('a model of the command line may be a link, and one that is missing is named as it was written', async (t) => {
  const { store, outside, options } = workplace(t)
  symlinkSync(path.join(outside, 'secret.onnx'), path.join(store, 'link.onnx'))
  assert.deepEqual(facts(await prepareFromArgument(`${store}/link.onnx`, options)), [
    'link 1.0 link.onnx',
  ])
  const missing = await refusal(prepareFromArgument('./none/x.onnx', options))
  assert.deepEqual([missing.statusCode, missing.message], [404, 'Model not found: ./none/x.onnx'])
  assert.match((await refusal(prepareFromArgument('name=', options))).message, /not found: name=$/)
  assert.match(
    (await refusal(prepareFromArgument('./a=b.onnx', options))).message,
    /not found: .\/a=b.onnx$/,
  )
  assert.match(
    (await refusal(prepareFromArgument('bad name=x.onnx', options))).message,
    /Invalid model name: "bad name"/,
  )
})

test('archives are unpacked into a folder of their own, which discard removes', async (t) => {
  const { temporaryRoot, options, write } = workplace(t)
  const network: ZipEntry = { name: 'model.onnx', data: 'network' }
  const manifest = (content: unknown): ZipEntry => ({
    name: 'MAR-INF/MANIFEST.json',
    data: JSON.stringify(content),
  })
  const code: ZipEntry = { name: 'service.js', data: 'export const handle = () => {}' }
  const python: ZipEntry = { name: 'service.py', data: 'def handle(data, context): pass' }
  const cases: [file: string, entries: ZipEntry[], expected: Partial<PreparedModel>][] = [
    [
      'plain.mar',
      [network],
      { name: 'plain', version: '1.0', handler: '', runtime: 'node', hasCode: false },
    ],
    ['my-model.v2.mar', [network], { name: 'my_model_v2' }],
    ['old.model', [network], { name: 'old' }],
    [
      'named.mar',
      [
        network,
        manifest({ runtime: 'python', model: { modelName: 'res-net', modelVersion: '2.5' } }),
      ],
      { name: 'res-net', version: '2.5', runtime: 'node', hasCode: false },
    ],
    ['number.mar', [network, manifest({ model: { modelVersion: 3 } })], { version: '3' }],
    [
      'image.zip',
      [network, { name: 'model.json', data: '{"handler":"image","topK":2}' }],
      { handler: 'image', hasCode: false, settings: { handler: 'image', topK: 2 } },
    ],
    [
      'js.mar',
      [code, manifest({ runtime: 'python', model: { handler: 'service.js:handle' } })],
      { handler: 'service.js:handle', runtime: 'node', hasCode: true },
    ],
    [
      'js-short.mar',
      [code, manifest({ model: { handler: 'service' } })],
      { runtime: 'node', hasCode: true },
    ],
    [
      'py.mar',
      [python, manifest({ runtime: 'python3', model: { handler: 'service.py:handle' } })],
      { runtime: 'python3', hasCode: true },
    ],
    [
      'py-default.mar',
      [python, manifest({ model: { handler: 'service:handle' } })],
      { runtime: 'python', hasCode: true },
    ],
    [
      'torch.mar',
      [
        { name: 'w.pt', data: 'x' },
        manifest({ runtime: 'python', model: { handler: 'image_classifier' } }),
      ],
      { handler: 'image_classifier', runtime: 'python', hasCode: true },
    ],
    [
      'wrapped.zip',
      [
        { name: 'digits/model.onnx', data: 'x' },
        { name: '__MACOSX/._digits', data: 'x' },
      ],
      { name: 'wrapped' },
    ],
    [
      'numbered.zip',
      [
        { name: '4/model.onnx', data: 'x' },
        { name: 'config.pbtxt', data: 'max_batch_size: 2' },
      ],
      { name: 'numbered', version: '4', settings: { maxBatchSize: 2, batchSize: 2 } },
    ],
    [
      'addon.zip',
      [
        network,
        { name: 'binding.node', data: 'x' },
        { name: 'package.json', data: '{}' },
        { name: '.npmrc', data: '' },
      ],
      { hasCode: false },
    ],
  ]
  for (const [file, entries, expected] of cases) {
    write(file, zipOf(entries))
    const [model, ...others] = await prepareFromUrl(file, options)
    assert.ok(model && others.length === 0, file)
    for (const [key, value] of Object.entries(expected)) {
      assert.deepEqual(
        Object.entries(model).find(([name]) => name === key)?.[1],
        value,
        `${file} ${key}`,
      )
    }
    assert.deepEqual(leftIn(temporaryRoot), [path.basename(model.temporaryFolder ?? '')])
    assert.ok(model.modelPath.startsWith(model.temporaryFolder ?? 'nothing'))
    await discard(model)
    await discard(model)
    assert.deepEqual(leftIn(temporaryRoot), [])
  }

  write('unpacked/MAR-INF/MANIFEST.json', '{"model":{"modelName":"same","handler":"service.js"}}')
  write('unpacked/service.js', 'export const handle = () => {}')
  write('unpacked/1/model.onnx')
  const [unpacked] = await prepareFromUrl('unpacked', options)
  assert.deepEqual(
    [unpacked?.name, unpacked?.version, unpacked?.hasCode, unpacked?.temporaryFolder],
    ['same', '1.0', true, undefined],
  )
})

test('an archive whose content cannot be served is refused and leaves nothing', async (t) => {
  const { store, temporaryRoot, options, write } = workplace(t)
  const network: ZipEntry = { name: 'model.onnx', data: 'network' }
  const code: ZipEntry = { name: 'x.js', data: 'x' }
  const raw = (data: string): ZipEntry => ({ name: 'MAR-INF/MANIFEST.json', data })
  const handler = (text: string): ZipEntry => raw(JSON.stringify({ model: { handler: text } }))
  const cases: [what: string, entries: ZipEntry[], reason: RegExp][] = [
    ['nothing', [{ name: 'readme', data: 'x' }], /^The model has no .onnx file\.$/],
    ['no model entry', [raw('{}')], /^Missing Model entry in manifest file\.$/],
    ['no handler', [raw('{"model":{}}')], /^Model handler is not defined\.$/],
    ['runtime', [network, raw('{"runtime":"LSP"}')], /^Runtime is not defined or invalid\.$/],
    ['engine', [network, raw('{"engine":{}}')], /^engineName is required in <engine>\.$/],
    ['model null', [network, raw('{"model":null}')], /MANIFEST.json is not valid/],
    ['no JSON', [network, raw('{')], /^Failed to parse MANIFEST.json: .* at line 1, column 2\.$/],
    ['__proto__', [network, raw('{"__proto__":{"model":{"handler":"x.js"}}}')], /__proto__/],
    [
      'large manifest',
      [network, raw(`{"x":"${'y'.repeat(2 * 1024 * 1024)}"}`)],
      /larger than 1 MiB|unpacks to more/,
    ],
    ['name', [network, raw('{"model":{"modelName":"../x"}}')], /Invalid model name: "..\/x"/],
    ['version', [network, raw('{"model":{"modelVersion":"../x"}}')], /Invalid model version/],
    ['handler outside', [code, handler('../../x.js:f')], /no file for its handler/],
    ['handler absolute', [code, handler('/etc/passwd:f')], /no file for its handler/],
    ['handler of node', [code, handler('node:child_process')], /no file for its handler/],
    ['handler with NUL', [code, handler('x\0.js')], /no file for its handler/],
    ['handler missing', [code, handler('y.js:handle')], /no file for its handler/],
    [
      'two networks',
      [
        { name: 'a.onnx', data: 'x' },
        { name: 'b.onnx', data: 'x' },
      ],
      /2 .onnx files/,
    ],
    ['empty network', [{ name: 'a.onnx', data: '' }], /"a.onnx" is empty/],
    [
      'two versions',
      [
        { name: '1/m.onnx', data: 'x' },
        { name: '2/m.onnx', data: 'x' },
      ],
      /must contain one version of a model; this one contains 2/,
    ],
    [
      'settings outside',
      [network, { name: 'model.json', data: '{"model":"../../x.onnx"}' }],
      /points outside/,
    ],
    [
      'link',
      [network, { name: 'x', data: '/etc/passwd', mode: 0o120777 }],
      /"x" is a symbolic link/,
    ],
  ]
  for (const [what, entries, reason] of cases) {
    write('m.mar', zipOf(entries))
    const error = await refusal(prepareFromUrl('m.mar', options))
    assert.match(error.message, reason, what)
    assert.equal(error.statusCode, 400, what)
    assert.ok(!error.message.includes(store) && !error.message.includes(temporaryRoot), what)
    assert.deepEqual(leftIn(temporaryRoot), [], what)
  }
  write('m.mar', zipOf([network, code]))
  const limited = await refusal(prepareFromUrl('m.mar', { ...options, limits: { maxEntries: 1 } }))
  assert.match(limited.message, /at most 1/)
  write('日本.mar', zipOf([network]))
  assert.match(
    (await refusal(prepareFromUrl('日本.mar', options))).message,
    /^Model name is not defined\.$/,
  )
  assert.deepEqual(leftIn(temporaryRoot), [])
  assert.equal((await prepareFromUrl('日本.mar', { ...options, name: 'japan' }))[0]?.name, 'japan')
})

test('an archive that is exchanged for a link while it is prepared never points outside', async (t) => {
  const { store, outside, temporaryRoot, options, write } = workplace(t)
  write('good.zip', zipOf([{ name: 'model.onnx', data: 'good' }]))
  writeFileSync(path.join(outside, 'evil.mar'), zipOf([{ name: 'model.onnx', data: 'evil' }]))
  const file = path.join(store, 'm.mar')
  const good = readFileSync(path.join(store, 'good.zip'))
  const turns = async (count: number): Promise<void> => {
    for (let turn = 0; turn < count; turn += 1)
      await new Promise((resolve) => setImmediate(resolve))
  }
  const placeGood = (): void => {
    writeFileSync(`${file}.good`, good)
    renameSync(`${file}.good`, file)
  }
  let isRunning = true
  const exchanging = (async () => {
    for (let round = 0; isRunning; round += 1) {
      placeGood()
      // Every length from "exchanged at once" to "stays until it is unpacked".
      await turns(round % 60)
      symlinkSync(path.join(outside, 'evil.mar'), `${file}.link`)
      renameSync(`${file}.link`, file)
      await turns(round % 7)
    }
    placeGood()
  })()
  const prepareOnce = async (): Promise<boolean> => {
    try {
      const [model] = await prepareFromUrl('m.mar', options)
      assert.ok(model)
      assert.equal(readFileSync(path.join(model.modelPath, 'model.onnx'), 'utf8'), 'good')
      await discard(model)
      return true
    } catch (error) {
      assert.ok(error instanceof ServerError, String(error))
      assert.ok([400, 404].includes(error.statusCode))
      return false
    }
  }
  let prepared = 0
  try {
    for (let round = 0; round < 400; round += 1) if (await prepareOnce()) prepared += 1
  } finally {
    isRunning = false
    await exchanging
  }
  t.diagnostic(`${prepared} of 400 met the right archive`)
  assert.ok(await prepareOnce())
  assert.deepEqual(leftIn(temporaryRoot), [])
})

test('names keep to the pattern, and names of objects are names like any other', () => {
  for (const name of [
    'a',
    '0',
    'constructor',
    'toString',
    'hasOwnProperty',
    'A.b_c-d',
    'x'.repeat(128),
  ]) {
    assert.ok(MODEL_NAME_PATTERN.test(name))
    assert.doesNotThrow(() => checkModelName(name), name)
  }
  for (const name of [
    '',
    '.',
    '..',
    '.a',
    '-a',
    '__proto__',
    'a/b',
    'a b',
    'a\n',
    'a\0',
    'é',
    'x'.repeat(129),
    ...';|&$`<>(){}\'"*?~#!%\\',
  ].map((text) => (text.length === 1 && text !== '.' ? `a${text}` : text))) {
    assert.throws(
      () => checkModelName(name),
      { name: 'BadRequestException', statusCode: 400 },
      name,
    )
  }
})

test('a store lists what can be served, and nothing hidden', async (t) => {
  const { store, outside, write } = workplace(t)
  for (const name of [
    'b/model.onnx',
    'a.onnx',
    'c.mar',
    'd.model',
    'e.zip',
    'notes.txt',
    '.hidden.onnx',
    '.git/x',
  ])
    write(name)
  symlinkSync('b', path.join(store, 'link'))
  symlinkSync('gone', path.join(store, 'gone.onnx'))
  execFileSync('mkfifo', [path.join(store, 'fifo.onnx')])
  assert.deepEqual(await listStore(store), ['a.onnx', 'b', 'c.mar', 'd.model', 'e.zip', 'link'])
  for (const folder of [path.join(store, 'a.onnx'), path.join(outside, 'none')]) {
    await assert.rejects(listStore(folder), {
      name: 'ModelNotFoundException',
      message: 'The model store cannot be read.',
    })
  }
})
