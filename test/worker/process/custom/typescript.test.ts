import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handlerFolder, loadFolder } from '../../../helpers/handler-folder.ts'
import { startWorker, wireRequest } from '../../../helpers/worker-client.ts'

const HANDLER = `import type { HandlerContext, RequestData, Tensors } from 'onnxd/handler'
import { twice } from './lib/twice.ts'

interface Pair {
  readonly a: readonly number[]
}

export async function handle(data: readonly RequestData[] | undefined, { model }: HandlerContext) {
  return data?.map(({ body }) => twice((body as Pair).a)) satisfies unknown
}
`

test('a handler in TypeScript runs as it is, with its imports', async (t) => {
  const files = {
    'service.ts': HANDLER,
    'lib/twice.ts':
      'export const twice = (list: readonly number[]): number[] => list.map((one) => 2 * one)',
  }
  for (const handler of ['service.ts:handle', 'service']) {
    const model = await loadFolder(t, handlerFolder(t, files), { handler })
    assert.deepEqual(await (await model.predict({ a: [1, 2] })).json(), [2, 4])
  }
  const worker = await startWorker(t)
  const client = await worker.connect()
  const modelPath = handlerFolder(t, files)
  const loaded = await client.load({ modelPath, handler: 'service.ts:handle' })
  assert.equal(loaded.code, 200, loaded.message)
  const { predictions } = await client.predict([
    wireRequest([['body', '{"a":[3]}', 'application/json']]),
  ])
  assert.deepEqual(JSON.parse(String(predictions[0]?.body)), [6])
  assert.doesNotMatch(worker.stderr, /ExperimentalWarning/)
})

test('a handler in an installed package may be TypeScript, and its dependencies may not', async (t) => {
  const list = 'data?.map(({ body }) => body)'
  const code = (imported: string, rest = ''): string => `import { twice } from '${imported}'
export const handle = (data: readonly { body: number }[] | undefined) => ${list}${rest}
void (twice satisfies unknown)
`
  const twice = 'export const twice = (one: number): number => 2 * one'
  const dependency = 'net/node_modules/tool'
  const folder = handlerFolder(t, {
    'node_modules/first/models/net/service.ts': code('../../lib/twice.ts'),
    'node_modules/first/lib/twice.ts': twice,
    'node_modules/@scope/second/net/service.ts': code('./twice.ts', '?.map((one) => 3 * one)'),
    'node_modules/@scope/second/net/twice.ts': twice,
    'node_modules/third/net/service.ts': code('tool'),
    [`node_modules/third/${dependency}/package.json`]: '{"type":"module","exports":"./tool.ts"}',
    [`node_modules/third/${dependency}/tool.ts`]: twice,
  })
  for (const [name, expected] of [
    ['first/models/net', 7],
    ['@scope/second/net', 21],
  ] as const) {
    const handler = 'service.ts:handle'
    const model = await loadFolder(t, `${folder}/node_modules/${name}`, { handler })
    assert.equal(await (await model.predict(7)).json(), expected)
  }
  await assert.rejects(
    loadFolder(t, `${folder}/node_modules/third/net`, { handler: 'service.ts:handle' }),
    /tool\.ts/,
  )
})

test('a stack names the line of the TypeScript file', async (t) => {
  const worker = await startWorker(t)
  const client = await worker.connect()
  const code = `type Body = { readonly deed: string }

interface Unused {
  readonly deed: string
}

export function handle(data: readonly { body: Body }[] | undefined) {
  if (data !== undefined) throw new Error('on line 8')
}
`
  const modelPath = handlerFolder(t, { 'service.mts': code }, null)
  const loaded = await client.load({ modelPath, handler: 'service.mts:handle' })
  assert.equal(loaded.code, 200, loaded.message)
  await client.predict([wireRequest([['body', '{}', 'application/json']])])
  await worker.printed('on line 8', 'stderr')
  assert.match(worker.stderr, /at (?:Object\.)?handle \(.*service\.mts:8:33\)/)
})

test('a mistake in the syntax names the file and the line', async (t) => {
  const mistakes: readonly [files: Record<string, string>, pattern: RegExp][] = [
    [{ 'service.ts': 'const a: number = 1\nexport const b: = 2\n' }, /service\.ts:2/],
    [{ 'service.ts': 'export const a: number = 1\n\nexport const c = a +\n' }, /service\.ts:[34]/],
    [{ 'service.ts': 'export const a = 1\nexport enum Color { Red }\n' }, /service\.ts:2.*enum/s],
    [
      { 'service.ts': "import './lib.ts'\n", 'lib.ts': 'const a: string = 1\n\nlet let = 1\n' },
      /lib\.ts:3/,
    ],
    [{ 'service.mjs': 'export const a = 1\nexport const b = }\n' }, /service\.mjs:2/],
  ]
  for (const [files, pattern] of mistakes) {
    const [handler = ''] = Object.keys(files)
    const loading = loadFolder(t, handlerFolder(t, files, null), { handler })
    await assert.rejects(loading, (error: Error) => {
      assert.equal(error.name, 'InvalidModelException', error.stack)
      assert.match(error.message, pattern)
      assert.doesNotMatch(error.message, /\/tmp|\n/)
      return true
    })
  }
})
