/**
 * Clients that third-party generators make from the document of a running server. They compile,
 * work, and report mistakes.
 */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { GENERATORS, installGenerators } from '../helpers/client-generators.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { tinyTextModel } from '../helpers/text-models.ts'

const TSC = path.resolve('node_modules/typescript/bin/tsc')
const MODELS = [path.resolve('examples/iris'), path.resolve('examples/digits')]
const TIMEOUT = { timeout: 240_000 }

/**
 * Uses of a client that the compiler must reject, one in each line, with a pattern for the
 * compiler's message.
 */
type Mistakes = readonly (readonly [what: string, code: string, message: RegExp])[]

const HEY_API = `
import { readFileSync } from 'node:fs'
import { client } from './generated/client.gen'
import { inferIris, predictDigits, predictIris, predictMood } from './generated'

async function main(): Promise<void> {
  const [, , baseUrl = '', picture = ''] = process.argv
  client.setConfig({ baseUrl })
  const flower = await predictIris({ body: { features: [[5.8, 2.7, 5.1, 1.9]] } })
  const label: 'setosa' | 'versicolor' | 'virginica' | undefined = flower.data?.label[0]
  const inferred = await inferIris({
    body: {
      inputs: [{ name: 'features', datatype: 'FP32', shape: [1, 4], data: [5.8, 2.7, 5.1, 1.9] }],
      outputs: [{ name: 'label' }],
    },
  })
  const image = new Blob([readFileSync(picture)], { type: 'image/png' })
  const digit = await predictDigits({ body: { image } })
  const found: '0' | '1' | '2' | '3' | '4' | '5' | '6' | '7' | '8' | '9' | undefined = digit.data?.[0]?.class
  const wrong = await predictIris({ body: { features: [[1, 2, 3, 4], []] as never } })
  const mood = await predictMood({ body: { inputs: 'good cat' } })
  const isPositive: boolean = mood.data?.flat()[0]?.label === 'positive'
  console.log(JSON.stringify([label, inferred.data?.outputs[0]?.data, found, wrong.error, isPositive]))
}
void main()
`
const HEY_API_MISTAKES: Mistakes = [
  ['name', 'predictIris({ body: { feature: [[1, 2, 3, 4]] } })', /'feature' does not exist/],
  [
    'type',
    "predictIris({ body: { features: [['1', 2, 3, 4]] } })",
    /'string' is not assignable to type 'number'/,
  ],
  [
    'rank',
    'predictIris({ body: { features: [1, 2, 3, 4] } })',
    /'number' is not assignable to type '\[/,
  ],
  [
    'length',
    'predictIris({ body: { features: [[1, 2, 3]] } })',
    /has 3 element\(s\) but target requires 4/,
  ],
  ['missing input', 'predictIris({ body: {} })', /'features' is missing/],
  [
    'output',
    'predictIris({ body: { features: [] } }).then(({ data }) => data?.labels)',
    /'labels' does not exist/,
  ],
  [
    'tensor name',
    "inferIris({ body: { inputs: [{ name: 'feature', datatype: 'FP32', shape: [1, 4], data: [] }] } })",
    /'"feature"' is not assignable to type '"features"'/,
  ],
  [
    'label of a text',
    "predictMood({ body: { inputs: 'a' } }).then(({ data }) => data?.flat()[0]?.label === 'positiv')",
    /no overlap/,
  ],
  ['text', 'predictMood({ body: { inputs: 7 } })', /'number' is not assignable to type 'string \|/],
  [
    'datatype',
    "inferIris({ body: { inputs: [{ name: 'features', datatype: 'INT64', shape: [1, 4], data: [] }] } })",
    /'"INT64"' is not assignable to type '"FP32"'/,
  ],
  [
    'tensor rank',
    "inferIris({ body: { inputs: [{ name: 'features', datatype: 'FP32', shape: [4], data: [] }] } })",
    /has 1 element\(s\) but target requires 2/,
  ],
]

const OPENAPI_FETCH = `
import createClient from 'openapi-fetch'
import type { paths } from './generated'

async function main(): Promise<void> {
  const client = createClient<paths>({ baseUrl: process.argv[2] ?? '' })
  const { data } = await client.POST('/predictions/iris', { body: { features: [[5.8, 2.7, 5.1, 1.9]] } })
  const label: 'setosa' | 'versicolor' | 'virginica' | undefined = data?.label[0]
  const inferred = await client.POST('/v2/models/iris/infer', {
    body: { inputs: [{ name: 'features', datatype: 'FP32', shape: [1, 4], data: [5.8, 2.7, 5.1, 1.9] }] },
  })
  const missing = await client.GET('/v2/models/{model}', { params: { path: { model: 'missing' } } })
  const mood = await client.POST('/predictions/mood', { body: { inputs: 'good cat' } })
  const isPositive: boolean = mood.data?.flat()[0]?.label === 'positive'
  console.log(JSON.stringify([label, inferred.data?.model_name, missing.error?.error, isPositive]))
}
void main()
`
const OPENAPI_FETCH_MISTAKES: Mistakes = [
  [
    'label of a text',
    "client.POST('/predictions/mood', { body: { inputs: 'a' } }).then(({ data }) => data?.flat()[0]?.label === 'positiv')",
    /no overlap/,
  ],
  [
    'model',
    "client.POST('/predictions/irises', { body: { features: [[1, 2, 3, 4]] } })",
    /'"\/predictions\/irises"' is not assignable/,
  ],
  [
    'name',
    "client.POST('/predictions/iris', { body: { feature: [[1, 2, 3, 4]] } })",
    /'feature' does not exist/,
  ],
  [
    'type',
    "client.POST('/predictions/iris', { body: { features: [['1', 2, 3, 4]] } })",
    /'string' is not assignable to type 'number'/,
  ],
  [
    'rank',
    "client.POST('/predictions/iris', { body: { features: [1, 2, 3, 4] } })",
    /'number' is not assignable to type 'number\[\]'/,
  ],
  [
    'datatype',
    "client.POST('/v2/models/iris/infer', { body: { inputs: [{ name: 'features', datatype: 'INT64', shape: [1, 4], data: [] }] } })",
    /'"INT64"' is not assignable to type '"FP32"'/,
  ],
]

test('a client of @hey-api/openapi-ts', TIMEOUT, async (t) => {
  if (!installGenerators(t)) return
  const { server, folder } = await begin(t)
  const generator = path.join(GENERATORS, 'node_modules/@hey-api/openapi-ts/bin/run.js')
  await runNode(
    folder,
    generator,
    '-i',
    'openapi.json',
    '-o',
    'generated',
    '-c',
    '@hey-api/client-fetch',
  )
  const imports = "import { inferIris, predictIris, predictMood } from './generated'"
  compile(folder, HEY_API, imports, HEY_API_MISTAKES)

  const picture = path.resolve('examples/digits/samples/7.png')
  const [label, inferred, digit, wrong, isPositive] = await useClient(
    folder,
    server.inferenceUrl,
    picture,
  )
  assert.deepEqual([label, inferred, digit], ['virginica', [2], '7'])
  assert.equal(isPositive, await isPositiveText(server))
  assert.equal(wrong.type, 'InvalidInputException')
})

test('a client of openapi-typescript and openapi-fetch', TIMEOUT, async (t) => {
  if (!installGenerators(t)) return
  const { server, folder } = await begin(t)
  const generator = path.join(GENERATORS, 'node_modules/openapi-typescript/bin/cli.js')
  await runNode(folder, generator, 'openapi.json', '-o', 'generated.ts')
  const imports =
    "import createClient from 'openapi-fetch'\nimport type { paths } from './generated'\nconst client = createClient<paths>()"
  compile(folder, OPENAPI_FETCH, imports, OPENAPI_FETCH_MISTAKES)

  const answers = await useClient(folder, server.inferenceUrl)
  const text = "Request for unknown model: 'missing' is not found"
  assert.deepEqual(answers, ['virginica', 'iris', text, await isPositiveText(server)])
})

/** What the model says of the text that the programs send. */
async function isPositiveText(server: TestServer): Promise<boolean> {
  const response = await server.fetch('/predictions/mood', { method: 'POST', body: 'good cat' })
  const labels = (await json(response)) as { label: string }[]
  return labels[0]?.label === 'positive'
}

/** A server, and a folder with its document. */
async function begin(t: TestContext): Promise<{ server: TestServer; folder: string }> {
  const mood = tinyTextModel(t, 'mood', {
    suffix: 'ForSequenceClassification',
    labels: ['negative', 'positive'],
    graph: 'pooled',
    width: 2,
  })
  const server = await serve(t, [...MODELS, mood])
  const folder = temporaryFolder(t)
  const document = await server.fetch('/openapi.json')
  writeFileSync(path.join(folder, 'openapi.json'), await document.text())
  symlinkSync(path.join(GENERATORS, 'node_modules'), path.join(folder, 'node_modules'), 'junction')
  return { server, folder }
}

/**
 * Compiles the program and the mistakes with the compiler of this project. It must report each
 * mistake.
 */
function compile(folder: string, program: string, imports: string, mistakes: Mistakes): void {
  writeFileSync(path.join(folder, 'program.ts'), program)
  const head = imports.split('\n')
  const lines = [...head, ...mistakes.map(([, code]) => `void ${code}`)]
  writeFileSync(path.join(folder, 'mistakes.ts'), lines.join('\n'))
  const compilerOptions = {
    target: 'es2022',
    lib: ['es2023', 'dom'],
    module: 'commonjs',
    moduleResolution: 'bundler',
    types: ['node'],
    typeRoots: [path.resolve('node_modules/@types')],
    strict: true,
    skipLibCheck: true,
    outDir: 'compiled',
  }
  writeFileSync(
    path.join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['program.ts', 'mistakes.ts'] }),
  )
  const { stdout } = spawnSync(process.execPath, [TSC, '--pretty', 'false'], {
    cwd: folder,
    encoding: 'utf8',
  })
  for (const [index, [what, code, message]] of mistakes.entries()) {
    const found = messageAt(stdout, head.length + index + 1)
    assert.match(found, message, `${what}: ${code}`)
  }
  const elsewhere = stdout
    .split('\n')
    .filter((line) => /^[^ ].*error/.test(line) && !line.startsWith('mistakes.ts'))
  assert.deepEqual(elsewhere, [], 'everything else compiles')
}

/** What the compiler says of a line of the mistakes, with the lines that explain it. */
function messageAt(output: string, line: number): string {
  const [, , found = ''] =
    new RegExp(`(^|\\n)mistakes\\.ts\\(${line},\\d+\\): (error .*(?:\\n .*)*)`).exec(output) ?? []
  return found
}

/** Runs the compiled program, which prints its answers as one JSON array. */
async function useClient(folder: string, ...args: string[]) {
  return JSON.parse(await runNode(folder, path.join(folder, 'compiled/program.js'), ...args))
}

/** Not synchronously: the server that the program asks is in this process. */
async function runNode(cwd: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd, timeout: 120_000 })
  return stdout
}
