import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'node:test'
import type { TestContext } from 'node:test'

/** In pieces, since this file is searched for it as well. */
const MARKER = ['TO', 'DO'].join('')
/**
 * Programs that run in worker processes: those of onnxd's front-end, and those of the command for
 * other front-ends.
 */
const WORKER_ENTRIES = [
  'main',
  'weights-main',
  'launcher',
  'connection-main',
  'custom/modules/hooks-thread',
].map((name) => `src/worker/process/${name}.ts`)
/** Modules that handlers and their tests import. */
const HANDLER_ENTRIES = ['src/handler/handler.ts', 'src/testing/testing.ts']
/** Program of a further HTTP process. */
const SHARD_ENTRY = 'src/shards/main.ts'
/** The first modules of the pages for browsers. */
const PAGE_ENTRIES = ['console', 'playground'].map((name) => `src/pages/${name}/main.tsx`)
const LAYERS = 'eslint(no-restricted-imports)'
const CONFIGURATION = 'oxlint.config.mjs'
const LAYERS_OF_LINT = 'scripts/lint-layers.mjs'

/** Imports that lint has to refuse, as the importing folder or file and what it must not import. */
const FORBIDDEN: readonly [from: string, to: string][] = [
  ['src/server.ts', 'onnxruntime-node'],
  ['src/server.ts', './worker/process/handler.ts'],
  ['src/command', '../worker/process/handler.ts'],
  ['src/command', 'onnxruntime-node'],
  ['src/app.ts', 'sharp'],
  ['src/leaf.ts', './routes/mms/ping.ts'],
  ['src/leaf.ts', './models/registry.ts'],
  ['src/leaf.ts', './openapi/document.ts'],
  ['src/leaf.ts', './worker/wire/encode.ts'],
  ['src/leaf.ts', './server.ts'],
  ['src/leaf.ts', 'fastify'],
  ['src/contract', '../models/registry.ts'],
  ['src/model-folder', '../worker/wire/encode.ts'],
  ['src/config', '../server.ts'],
  ['src/routes', '../worker/host/worker.ts'],
  ['src/routes', '../worker/wire/messages.ts'],
  ['src/routes', '../worker/process/handler.ts'],
  ['src/routes', '../app.ts'],
  ['src/routes', 'onnxruntime-node'],
  ['src/openapi', '../routes/mms/ping.ts'],
  ['src/openapi', '../worker/wire/messages.ts'],
  ['src/openapi', 'fastify'],
  ['src/openapi', 'onnxruntime-node'],
  ['src/models', '../openapi/document.ts'],
  ['src/models', '../routes/mms/ping.ts'],
  ['src/models', '../server.ts'],
  ['src/models', '../worker/process/handler.ts'],
  ['src/models', 'fastify'],
  ['src/models', '@fastify/multipart'],
  ['src/models', 'onnxruntime-node'],
  ['src/models', 'sharp'],
  ['src/worker/host', '../process/handler.ts'],
  ['src/worker/host', '../../models/registry.ts'],
  ['src/worker/host', '../../routes/mms/ping.ts'],
  ['src/worker/host', '../../app.ts'],
  ['src/worker/host', 'fastify'],
  ['src/worker/host', 'onnxruntime-node'],
  ['src/worker/wire', '../host/worker.ts'],
  ['src/worker/wire', '../process/handler.ts'],
  ['src/worker/wire', '../../config/config.ts'],
  ['src/worker/wire', '../../models/registry.ts'],
  ['src/worker/wire', 'node:net'],
  ['src/worker/wire', 'node:fs'],
  ['src/worker/wire', 'pino'],
  ['src/worker/process', '../host/child.ts'],
  ['src/worker/process', '../../models/registry.ts'],
  ['src/worker/process', '../../routes/mms/ping.ts'],
  ['src/worker/process', '../../config/config.ts'],
  ['src/worker/process', '../../server.ts'],
  ['src/worker/process', 'fastify'],
  ['src/worker/process/onnx', '../../host/child.ts'],
  ['src/worker/process/onnx', '../../../models/registry.ts'],
]

/** Imports that pass a room's door by, and the doors that lint has to name. */
const BESIDE_THE_DOOR: readonly [from: string, to: string, doors: RegExp][] = [
  ['src/routes', '../models/scheduling/alarm.ts', /scheduling is entered by pool\.ts/],
  ['src/models', './archives/tar-header.ts', /archives is entered by extract\.ts/],
  ['src/models/triton', '../sources/layout.ts', /sources is entered by prepare\.ts/],
  ['src/models', './transfers/address-guard.ts', /transfers is entered by model-files\.ts/],
  ['src/server.ts', './models/state/state-disk.ts', /state is entered by persistence\.ts/],
  ['src/routes', '../models/metrics/families.ts', /metrics is entered by page\.ts/],
  ['src/routes/kserve', '../inference/send-prediction.ts', /inference is entered by relay\.ts/],
  ['src/worker/process/onnx', './oip/request.ts', /oip is entered by codec\.ts/],
  ['src/worker/host', '../wire/frame-writer.ts', /wire is entered by decode\.ts/],
  ['src/cli.ts', './config/layers.ts', /config is entered by config\.ts/],
]

const ALLOWED: readonly [from: string, to: string][] = [
  ['src/server.ts', './app.ts'],
  ['src/command', '../server.ts'],
  ['src/config', '../model-folder/settings.ts'],
  ['src/models/workers', '../scheduling/pool.ts'],
  ['src/server.ts', './worker/host/runtime-directory.ts'],
  ['src/leaf.ts', './errors.ts'],
  ['src/leaf.ts', '@sinclair/typebox'],
  ['src/routes', '../models/registry.ts'],
  ['src/routes', '../errors.ts'],
  ['src/routes', 'fastify'],
  ['src/routes', '../openapi/document.ts'],
  ['src/openapi', '../models/model-metadata.ts'],
  ['src/models', '../worker/host/worker.ts'],
  ['src/models', '../worker/wire/messages.ts'],
  ['src/models', '../config/config.ts'],
  ['src/worker/host', '../wire/encode.ts'],
  ['src/worker/host', '../../errors.ts'],
  ['src/worker/wire', './bytes.ts'],
  ['src/worker/wire', '../../errors.ts'],
  ['src/worker/wire', 'node:assert/strict'],
  ['src/worker/process', '../wire/decode.ts'],
  ['src/worker/process', '../../model-folder/settings.ts'],
  ['src/worker/process/onnx', '../../wire/messages.ts'],
  ['src/worker/process/onnx', 'onnxruntime-node'],
]

/** One mistake each, where it is made and the rule that has to find it. */
const MISTAKES: readonly [rule: string, file: string, source: string][] = [
  [
    'typescript(no-floating-promises)',
    'src/models/a.ts',
    'export function f(p: Promise<void>): void {\n  p\n}',
  ],
  [
    'typescript(no-misused-promises)',
    'src/models/b.ts',
    'export const f = (p: Promise<void>): number => (p ? 1 : 2)',
  ],
  [
    'typescript(await-thenable)',
    'src/models/c.ts',
    'export const f = async (n: number): Promise<number> => await n',
  ],
  ['typescript(no-explicit-any)', 'src/models/d.ts', 'export const f = (x: any): unknown => x'],
  [
    'typescript(no-non-null-assertion)',
    'src/models/e.ts',
    'export const f = (x?: string): string => x!',
  ],
  [
    'typescript(consistent-type-imports)',
    'src/models/f.ts',
    "import { Job } from './g.ts'\nexport type J = Job",
  ],
  ['import(no-default-export)', 'src/models/h.ts', 'export default 1'],
  ['node(no-process-env)', 'src/models/i.ts', 'export const f = (): unknown => process.env.HOME'],
  ['eslint(no-console)', 'src/models/j.ts', "console.log('here')\nexport {}"],
  ['eslint(no-empty)', 'src/models/k.ts', 'try {\n  JSON.parse("")\n} catch {}\nexport {}'],
  ['eslint(max-lines)', 'src/models/l.ts', 'export {}\n'.repeat(251)],
  ['eslint(no-warning-comments)', 'src/models/m.ts', `// ${MARKER} later\nexport {}`],
  ['unicorn(filename-case)', 'src/models/camelCase.ts', 'export {}'],
  ['unicorn(prefer-node-protocol)', 'src/models/n.ts', "import 'path'\nexport {}"],
  [
    'import(no-cycle)',
    'src/models/o.ts',
    "import { p } from './p.ts'\nexport const o = (): unknown => p",
  ],
  [
    // A circle of types alone.
    'import(no-cycle)',
    'src/models/r.ts',
    "import type { S } from './s.ts'\nexport interface R {\n  readonly s: S\n}",
  ],
  [
    'typescript(switch-exhaustiveness-check)',
    'src/models/q.ts',
    "export function f(x: 'a' | 'b'): number {\n  switch (x) {\n    case 'a':\n      return 1\n  }\n  return 2\n}",
  ],
]

test('lint refuses every import that goes up or sideways in the layers', (t) => {
  const { files, places } = plantImports(FORBIDDEN)
  const found = lint(t, files)
  for (const [index, [from, to]] of FORBIDDEN.entries()) {
    assert.ok(found.has(`${places[index]} ${LAYERS}`), `${from} may import ${to}`)
  }
})

test('lint refuses an import that passes the door of a room by, and names the doors', (t) => {
  const { files, places } = plantImports(BESIDE_THE_DOOR)
  const found = lint(t, files)
  for (const [index, [from, to, doors]] of BESIDE_THE_DOOR.entries()) {
    assert.match(found.get(`${places[index]} ${LAYERS}`) ?? '', doors, `${from} may import ${to}`)
  }
})

test('lint accepts the imports that go down', (t) => {
  const { files, places } = plantImports(ALLOWED)
  const found = lint(t, files)
  for (const [index, [from, to]] of ALLOWED.entries()) {
    assert.ok(!found.has(`${places[index]} ${LAYERS}`), `${from} may not import ${to}`)
  }
})

test('lint finds one planted mistake for each rule that the style depends on', (t) => {
  const right = [
    ['src/models/g.ts', 'export class Job {\n  readonly id = 1\n}'],
    ['src/models/p.ts', "import { o } from './o.ts'\nexport const p = (): unknown => o"],
    ['src/models/s.ts', "import type { R } from './r.ts'\nexport type S = R[]"],
    ['src/models/right.ts', "export const right = (x: string | undefined): string => x ?? ''"],
    // The entry of the worker reads the environment, and its output is the log.
    ['src/worker/process/main.ts', 'export const home = process.env.HOME\nconsole.log(home)'],
  ] as const
  const found = lint(t, [...right, ...MISTAKES.map(([, file, source]) => [file, source] as const)])
  const rulesIn = (wanted: string): string[] =>
    [...found.keys()]
      .filter((place) => place.startsWith(`${wanted}:`))
      .map((place) => place.split(' ')[1] ?? '')
  for (const [rule, file] of MISTAKES) {
    assert.ok(
      rulesIn(file).includes(rule),
      `${rule} finds nothing in ${file}, only ${rulesIn(file).join()}`,
    )
  }
  for (const file of ['src/models/g.ts', 'src/models/right.ts', 'src/worker/process/main.ts']) {
    assert.deepEqual(rulesIn(file), [])
  }
})

test('the server never reaches the files of the worker process, nor they the server', () => {
  const server = new Set([...reach('src/cli.ts'), ...reach(SHARD_ENTRY)])
  assert.deepEqual(
    [...server].filter((name) => /^(src\/worker\/process\/|onnxruntime-|sharp$)/.test(name)),
    [],
  )
  assert.ok(server.has('fastify'), 'the graph has been followed')
  const entries = [...WORKER_ENTRIES, ...HANDLER_ENTRIES]
  const worker = new Set(entries.flatMap((entry) => [...reach(entry)]))
  assert.deepEqual(
    [...worker].filter((name) =>
      /^(src\/(routes|models|worker\/host|config|server)\b|@?fastify)/.test(name),
    ),
    [],
  )
  assert.ok(worker.has('onnxruntime-node'), 'the graph has been followed')
})

test('every source file belongs to the server, to the worker process, to handlers or to a page', () => {
  const used = new Set([
    ...reach('src/cli.ts'),
    ...reach(SHARD_ENTRY),
    ...[...WORKER_ENTRIES, ...HANDLER_ENTRIES].flatMap((entry) => [...reach(entry)]),
    ...PAGE_ENTRIES.flatMap((entry) => [...reach(entry)]),
  ])
  const unused = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.tsx?$/.test(file))
    .map((file) => path.posix.join('src', file.split(path.sep).join('/')))
    .filter((file) => !used.has(file))
  assert.deepEqual(unused, [])
})

test('no file switches lint or the compiler off', () => {
  for (const file of sourceFiles()) {
    const source = readFileSync(file, 'utf8')
    assert.doesNotMatch(source, /(oxlint|eslint)-disable|@ts-(ignore|nocheck|expect-error)/, file)
  }
})

test('lines of comments have at most 100 characters, and cite nothing that is not here', () => {
  const problems: string[] = []
  for (const file of sourceFiles()) {
    for (const [index, line] of readFileSync(file, 'utf8').split('\n').entries()) {
      if (!/^\s*(?:\*|\/\*\*|\/\/)/.test(line)) continue
      const isWide = line.length > 100
      const isCitation = /\bsection \d+\.\d/i.test(line) && !line.includes('RFC')
      if (isWide || isCitation) problems.push(`${file}:${index + 1}`)
    }
  }
  assert.deepEqual(problems, [])
})

/**
 * One file for each importer, with one import in each line. `places` has the position of each
 * import.
 */
function plantImports(
  imports: readonly (readonly [from: string, to: string, ...others: unknown[]])[],
): {
  files: [file: string, source: string][]
  places: string[]
} {
  const lines = new Map<string, string[]>()
  const places = imports.map(([from, to]) => {
    const file = from.endsWith('.ts') ? from : `${from}/planted.ts`
    const planted = [...(lines.get(file) ?? []), `import '${to}'`]
    lines.set(file, planted)
    return `${file}:${planted.length}`
  })
  return { files: [...lines].map(([file, planted]) => [file, planted.join('\n')]), places }
}

/** The parts of a finding of lint that are looked at. */
interface Finding {
  readonly code: string
  readonly help?: string
  readonly filename: string
  readonly labels: readonly { readonly span: { readonly line: number } }[]
}

/**
 * Lints planted files under the project's own configuration. Returns the advice of each finding
 * by `file:line rule`.
 */
function lint(
  t: TestContext,
  files: readonly (readonly [file: string, source: string])[],
): ReadonlyMap<string, string> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'onnxd-lint-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  symlinkSync(path.resolve('node_modules'), path.join(folder, 'node_modules'), 'junction')
  mkdirSync(path.join(folder, 'scripts'))
  for (const name of [CONFIGURATION, LAYERS_OF_LINT, 'tsconfig.json', 'package.json']) {
    copyFileSync(name, path.join(folder, name))
  }
  for (const [file, source] of files) {
    mkdirSync(path.join(folder, path.dirname(file)), { recursive: true })
    writeFileSync(path.join(folder, file), source)
  }
  const linter = path.resolve('node_modules/oxlint/bin/oxlint')
  const args = [linter, '-c', CONFIGURATION, '--format=json', 'src']
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' })
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: Finding[] }
  assert.notEqual(diagnostics.length, 0, stderr)
  return new Map(
    diagnostics.map(({ code, help = '', filename, labels }) => [
      `${filename}:${labels[0]?.span.line} ${code}`,
      help,
    ]),
  )
}

/** Files and packages that a program imports, itself or through others, types included. */
function reach(entry: string, reached = new Set<string>()): Set<string> {
  if (reached.has(entry)) return reached
  reached.add(entry)
  const source = readFileSync(entry, 'utf8')
  for (const [, specifier = ''] of source.matchAll(/(?:\bfrom |^import |\bimport\()'([^']+)'/gm)) {
    if (!specifier.startsWith('.')) reached.add(specifier)
    else reach(path.posix.join(path.posix.dirname(entry), specifier), reached)
  }
  return reached
}

function sourceFiles(): string[] {
  return ['src', 'test', 'scripts'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(tsx?|mjs)$/.test(file) && !file.includes('node_modules'))
      .map((file) => path.join(folder, file)),
  )
}
