/** The types of `onnxd/handler`, as the compiler of a handler's author sees them. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../helpers/server.ts'

const FLOWERS = 'examples/handlers/flowers'

/** Statements of a function that has a typed `context`, and the error that each of them is. */
const WRONG: Readonly<Record<string, readonly [code: string, error: RegExp]>> = {
  'input-name': [
    'await context.model.run({ feature: row })',
    /'feature' does not exist in type 'Inputs'/,
  ],
  'missing-input': ['await context.model.run({})', /TS2769|TS2345|TS2741/],
  'input-type': [
    "await context.model.run({ features: tensor('float64', new Float64Array(4), [1, 4]) })",
    /"?float64"?.* not assignable|No overload/,
  ],
  'input-array': [
    "await context.model.run({ features: { type: 'float32', dims: [1, 4], data: [1, 2, 3, 4] } })",
    /not assignable|No overload|missing/,
  ],
  'input-rank': [
    "await context.model.run({ features: tensor('float32', new Float32Array(4), [4]) })",
    /not assignable|No overload/,
  ],
  'input-size': [
    "await context.model.run({ features: tensor('float32', new Float32Array(5), [1, 5]) })",
    /not assignable|No overload/,
  ],
  'output-name': [
    "await context.model.run({ features: row }, ['labels'])",
    /"labels".*not assignable/,
  ],
  'output-not-run': [
    "const { label } = await context.model.run({ features: row }, ['probabilities']); void label",
    /TS2339.*'label'/,
  ],
  'output-type': [
    'const { label } = await context.model.run({ features: row }); const n: number | undefined = label.data[0]; void n',
    /TS2322.*bigint/,
  ],
  'output-rank': [
    'const { label } = await context.model.run({ features: row }); void label.dims[1]',
    /TS2493|no element at index/,
  ],
  'call-name': [
    "await context.server.predict('irsi', { features: [[1]] })",
    /"irsi".* not assignable to .*"iris"/,
  ],
  'call-data': [
    "await context.server.predict('iris', { feature: [[1]] })",
    /'feature' does not exist/,
  ],
  'call-values': [
    "await context.server.predict('iris', { features: [['a']] })",
    /TS2322.*'string' is not assignable to type 'number'/,
  ],
  'call-result': [
    "const { label } = await context.server.predict('iris', { features: [[1]] }); const n: number | undefined = label[0]; void n",
    /TS2322.*string/,
  ],
  'untyped-result': [
    "const { label } = await others.predict('iris', 5)",
    /'label' does not exist on type/,
  ],
  'place-axis': [
    'const { places } = await context.model.placeImages(new Uint8Array(1)); void places[0]?.scale[2]',
    /TS2493|no element at index/,
  ],
  label: ["if (context.model.labels[0] === 'setsoa') return", /TS2367.*no overlap/],
}

const RIGHT = `const { label, probabilities } = await context.model.run({ features: row })
  const species: Label | undefined = context.model.labels[Number(label.data[0])]
  if (species === 'setosa') return
  const plain = await context.model.run({
    features: { type: 'float32', dims: [1, 4], data: new Float32Array(4) },
  })
  const size: 3 = plain.probabilities.dims[1]
  void [probabilities.data[size]]
  const found = await context.server.predict('iris', { features: [[1, 2, 3, 4]] }, { version: '1' })
  const first: string | undefined = found.label[0]
  const anything: unknown = await others.predict('other', first)
  const { inputs, places } = await context.model.placeImages([new Uint8Array(1)])
  const four: 4 = inputs.features.dims[1]
  const [x, y] = places[0]?.scale ?? [1, 1]
  class Calling extends OnnxHandler<Model, Calls> {
    override async postprocess(_: unknown, __: unknown, { server }: HandlerContext<Model, Calls>) {
      const { label: names }: { readonly label: readonly string[] } = await server.predict('iris', {
        features: [[x, y, four]],
      })
      return names
    }
  }
  void [anything, Calling]`

function moduleOf(code: string): string {
  return `import { OnnxHandler, tensor } from 'onnxd/handler'
import type { HandlerContext, HandlerServer, ModelCall, RequestData } from 'onnxd/handler'
import type { Label, Model } from './model.d.ts'

interface Calls {
  readonly iris: ModelCall<
    { readonly features: readonly (readonly number[])[] },
    { readonly label: readonly string[] }
  >
}
declare const others: HandlerServer
const row = tensor('float32', new Float32Array(4), [1, 4])
export async function handle(
  data: readonly RequestData[] | undefined,
  context: HandlerContext<Model, Calls>,
) {
  if (data === undefined) return
  ${code}
}
export type Unused = [Label, OnnxHandler, HandlerServer]
`
}

test('the compiler finds a wrong name, datatype, rank, size or label', (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(path.join(folder, 'node_modules'))
  symlinkSync(path.resolve('.'), path.join(folder, 'node_modules', 'onnxd'), 'junction')
  symlinkSync(path.resolve('node_modules/@types'), path.join(folder, 'node_modules', '@types'))
  const files = ['right.ts', 'service.ts']
  for (const name of ['model.d.ts', 'service.ts']) {
    copyFileSync(path.join(FLOWERS, name), path.join(folder, name))
  }
  writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(path.join(folder, 'right.ts'), moduleOf(RIGHT))
  for (const [name, [code]] of Object.entries(WRONG)) {
    writeFileSync(path.join(folder, `${name}.ts`), moduleOf(code))
    files.push(`${name}.ts`)
  }
  const options = ['--noEmit', '--pretty', 'false', '--target', 'es2023', '--module', 'nodenext']
  const checks = [
    '--strict',
    '--noUncheckedIndexedAccess',
    '--noImplicitOverride',
    '--types',
    'node',
  ]
  const { stdout } = spawnSync(
    process.execPath,
    [path.resolve('node_modules/typescript/bin/tsc'), ...options, ...checks, ...files],
    { cwd: folder, encoding: 'utf8' },
  )
  const found = groups(stdout.split('\n'))
  for (const name of ['right', 'service']) {
    assert.deepEqual(found.get(`${name}.ts`), undefined, stdout)
  }
  for (const [name, [, error]] of Object.entries(WRONG)) {
    assert.match((found.get(`${name}.ts`) ?? []).join('\n'), error, `${name}\n${stdout}`)
  }
  const known = [...files, '']
  assert.deepEqual(
    [...found.keys()].filter((name) => !known.includes(name)),
    [],
    stdout,
  )
})

/** The file of a line of the compiler's output. Details are indented. */
function fileOf(line: string): string {
  return /^([\w.-]+)\(/.exec(line)?.[1] ?? ''
}

function groups(lines: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  let name = ''
  for (const line of lines) {
    if (!line.startsWith(' ')) name = fileOf(line)
    found.set(name, [...(found.get(name) ?? []), line])
  }
  return found
}
