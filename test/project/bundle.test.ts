/** The bundler refuses what would work file by file, but not in the program that ships. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { temporaryFolder } from '../helpers/server.ts'

/** A project whose program prints what the library `planted` gives it. */
function projectWith(t: TestContext) {
  const folder = temporaryFolder(t)
  const write = (name: string, text: string): void => {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    writeFileSync(path.join(folder, name), text)
  }
  mkdirSync(path.join(folder, 'scripts'))
  for (const name of ['scripts/bundle.mjs', 'scripts/bundle-check.mjs', 'scripts/bundle-pages.mjs'])
    copyFileSync(name, path.join(folder, name))
  mkdirSync(path.join(folder, 'node_modules'))
  for (const name of readdirSync('node_modules').filter((one) => !one.startsWith('.')))
    symlinkSync(path.resolve('node_modules', name), path.join(folder, 'node_modules', name))
  for (const name of ['worker/process/main', 'worker/process/launcher']) write(`src/${name}.ts`, '')
  for (const name of ['connection-main', 'weights-main', 'custom/modules/hooks-thread']) {
    write(`src/worker/process/${name}.ts`, '')
  }
  for (const name of ['handler', 'testing']) write(`src/${name}/${name}.ts`, '')
  write('src/shards/main.ts', '')
  write('src/cli.ts', "import { value } from './value.ts'\nconsole.log(value)\n")
  write('src/value.ts', "import planted from 'planted'\nexport const value = planted.give\n")
  write('node_modules/planted/index.js', 'exports.give = 1\n')
  write('node_modules/planted/package.json', '{ "name": "planted" }')
  return {
    write,
    built: () => path.join(folder, 'dist', 'cli.js'),
    build(): { status: number | null; output: string } {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        ['scripts/bundle.mjs', 'dist'],
        { cwd: folder, encoding: 'utf8' },
      )
      return { status, output: stdout + stderr }
    },
  }
}

const LIBRARY = 'node_modules/planted/index.js'

const REFUSED: [title: string, file: string, text: string, uses: string][] = [
  ['a free __filename', LIBRARY, 'exports.give = () => __filename', '__filename'],
  ['a free __dirname', LIBRARY, "exports.give = require('path').join(__dirname, 'x')", '__dirname'],
  [
    'a free one beside one of its own',
    LIBRARY,
    'exports.own = (__filename) => __filename; exports.give = () => __filename',
    '__filename',
  ],
  ['a computed require', LIBRARY, 'exports.give = (name) => require(name)', 'require as a value'],
  ['require.resolve', LIBRARY, "exports.give = require.resolve('fs')", 'require as a value'],
  [
    'a require that fails quietly',
    LIBRARY,
    "exports.give = () => { try { return require('absent') } catch {} }",
    'require("absent")',
  ],
  [
    'a require of its own making',
    LIBRARY,
    "exports.give = require('module').createRequire('/')",
    'createRequire',
  ],
  [
    'a thread from a file',
    LIBRARY,
    "const { Worker } = require('worker_threads'); exports.give = () => new Worker('./x.js')",
    'new Worker',
  ],
  [
    'the same by another name',
    LIBRARY,
    "const threads = require('worker_threads'); exports.give = () => new threads.Worker('./x.js')",
    'new Worker',
  ],
  ['a computed import', LIBRARY, 'exports.give = (name) => import(name)', 'a computed import'],
  [
    'a look at the main module',
    LIBRARY,
    'exports.give = () => process.mainModule.filename',
    'process.mainModule',
  ],
  [
    'a module that looks for itself',
    LIBRARY,
    'exports.give = () => module.filename',
    'the module object of CommonJS',
  ],
  ['a source with __dirname', 'src/value.ts', 'export const value = __dirname', '__dirname'],
  [
    'a source with a free require',
    'src/value.ts',
    'export const value = (name: string) => require(name)',
    'require as a value',
  ],
  [
    'a source that looks beside itself',
    'src/value.ts',
    "export const value = new URL('x.json', import.meta.url)",
    'import.meta',
  ],
  ['the same by its folder', 'src/value.ts', 'export const value = import.meta.dirname', 'import'],
]

for (const [title, file, text, uses] of REFUSED) {
  test(`B1: the build fails on ${title}, and says where`, (t) => {
    const project = projectWith(t)
    const first = project.build()
    assert.equal(first.status, 0, first.output)
    const before = readFileSync(project.built(), 'utf8')
    project.write(file, text)
    const { status, output } = project.build()
    assert.equal(status, 1, output)
    assert.ok(output.includes(`onnxd: ${file} uses ${uses}`), output)
    assert.ok(readFileSync(project.built(), 'utf8') === before, 'the last good build stays')
  })
}

test('B1: a library with import.meta is refused, too', (t) => {
  const project = projectWith(t)
  project.write('node_modules/planted/package.json', '{ "name": "planted", "type": "module" }')
  project.write(LIBRARY, 'export default { give: import.meta.url }')
  const { status, output } = project.build()
  assert.equal(status, 1)
  assert.match(output, /planted\/index\.js uses import\.meta/)
  assert.ok(!existsSync(project.built()))
})

test('names of its own, and what nobody calls, do not keep a library out of the bundle', (t) => {
  const project = projectWith(t)
  project.write(
    LIBRARY,
    `exports.give = ((__dirname) => __dirname)({ __filename: require('./beside.js') }).__filename
    exports.os = require('node:os')`,
  )
  project.write('node_modules/planted/beside.js', "module.exports = 'beside'")
  project.write(
    'src/value.ts',
    `import planted from 'planted'
    export const unused = () => import.meta.dirname
    export const value = planted.give`,
  )
  const { status, output } = project.build()
  assert.equal(status, 0, output)
  assert.equal(
    spawnSync(process.execPath, [project.built()], { encoding: 'utf8' }).stdout,
    'beside\n',
  )
})
