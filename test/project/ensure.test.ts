import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'

/** Stands in for npm: notes what it was asked, and "installs" what the lock file wants. */
const NPM = `
import fs from 'node:fs'
fs.appendFileSync('npm.log', process.argv.slice(2).join(' ') + '\\n')
if (fs.existsSync('offline')) process.exit(1)
for (const name of ['typescript', 'rolldown', 'swagger-ui-dist'])
  fs.cpSync(name, 'node_modules/' + name, { recursive: true })
fs.copyFileSync('package-lock.json', 'node_modules/.package-lock.json')
`

/** The real compiler and bundler, where the scripts look for them. */
const COMPILER = `import ${JSON.stringify(pathToFileURL('node_modules/typescript/lib/tsc.js').href)}\n`
const BUNDLER = `export * from ${JSON.stringify(import.meta.resolve('rolldown'))}\n`

test('installs once, and again when a version or a package for this platform is missing', (t) => {
  const project = buildProject(t)
  const first = project.ensure()
  assert.equal(first.status, 0, first.output)
  assert.match(first.output, /installing .*node_modules is missing/)
  assert.match(first.output, /installed in/)
  assert.equal(project.installs(), 1)

  const second = project.ensure()
  assert.deepEqual([second.status, second.output], [0, ''])
  assert.equal(project.installs(), 1)

  project.lock({ one: { version: '1.0.1' } })
  assert.match(project.ensure().output, /one is 1\.0\.0 instead of 1\.0\.1/)
  assert.equal(project.installs(), 2)

  project.lock({ one: { version: '1.0.1' }, 'native-here': native(process.platform) })
  assert.match(project.ensure().output, /native-here is missing/)
  assert.equal(project.installs(), 3)

  project.lock({
    one: { version: '1.0.1' },
    'native-elsewhere': native('sunos'),
    other: { version: '1.0.0', optional: true },
  })
  assert.deepEqual(project.ensure().output, '')
  assert.equal(project.installs(), 3)
})

test('fails with a reason when npm cannot install', (t) => {
  const project = buildProject(t)
  project.write('offline', '')
  const { status, output } = project.ensure('dist')
  assert.equal(status, 1)
  assert.match(output, /npm ci failed with exit code 1/)
  assert.ok(!existsSync(project.file('dist')))
})

test('compiles what has changed, and removes what a removed source has left', (t) => {
  const project = buildProject(t)
  project.write('src/answer.ts', 'export const answer: number = 41\n')
  project.write('src/old.ts', 'export const old = 1\n')
  const first = project.ensure('build')
  assert.equal(first.status, 0, first.output)
  assert.match(project.read('build/src/answer.js'), /answer = 41/)
  assert.ok(existsSync(project.file('build/src/old.js')))
  assert.deepEqual(project.ensure('build').output, '')

  // A time says nothing: a checkout touches files without changing them.
  utimesSync(project.file('src/answer.ts'), new Date(), new Date())
  assert.deepEqual(project.ensure('build').output, '')

  project.write('src/answer.ts', 'export const answer: number = 42\n')
  rmSync(project.file('src/old.ts'))
  assert.match(project.ensure('build').output, /compiling src, .* to build/)
  assert.match(project.read('build/src/answer.js'), /answer = 42/)
  for (const name of ['old.js', 'old.js.map'])
    assert.ok(!existsSync(project.file(`build/src/${name}`)), name)

  rmSync(project.file('build/src/answer.js'))
  assert.match(project.ensure('build').output, /compiling/)
  assert.match(project.read('build/src/answer.js'), /answer = 42/)
})

test('the program is few files, made again when one is missing or a source has changed', (t) => {
  const project = buildProject(t)
  project.write('src/cli.ts', "export { answer } from './answer.ts'\n")
  project.write('src/answer.ts', 'export const answer: number = 41\n')
  const first = project.ensure('dist')
  assert.equal(first.status, 0, first.output)
  assert.match(project.read('dist/cli.js'), /answer = 41/)
  assert.ok(!existsSync(project.file('dist/answer.js')))
  assert.deepEqual(project.ensure('dist').output, '')

  project.write('src/answer.ts', 'export const answer: number = 42\n')
  assert.match(project.ensure('dist').output, /compiling src to dist/)
  assert.match(project.read('dist/cli.js'), /answer = 42/)

  rmSync(project.file('dist/worker/process/main.js'))
  assert.match(project.ensure('dist').output, /compiling/)
  assert.ok(existsSync(project.file('dist/worker/process/main.js')))
})

test('a mistake in the sources fails every time, and leaves the last good output', (t) => {
  const project = buildProject(t)
  project.write('src/cli.ts', 'export const answer: number = 42\n')
  const first = project.ensure('dist')
  assert.equal(first.status, 0, first.output)
  project.write('src/cli.ts', "export const answer: number = 'x'\n")
  for (const attempt of [1, 2]) {
    const { status, output } = project.ensure('dist')
    assert.equal(status, 1, `attempt ${attempt}`)
    assert.match(output, /cli\.ts.*TS2322/)
    assert.match(output, /the sources do not compile/)
  }
  assert.match(project.read('dist/cli.js'), /answer = 42/)
  project.write('src/cli.ts', 'export const answer: number = 43\n')
  assert.equal(project.ensure('dist').status, 0)
  assert.match(project.read('dist/cli.js'), /answer = 43/)
})

test('the command is executable after a build', { skip: process.platform === 'win32' }, (t) => {
  const project = buildProject(t)
  project.write('src/cli.ts', '#!/usr/bin/env node\nexport const answer = 42\n')
  assert.equal(project.ensure('dist').status, 0)
  assert.equal(spawnSync(project.file('dist/cli.js')).status, 0)
})

test('the tests refuse to run on another version of Node than was asked for', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/test.mjs', '--node=12'], {
    encoding: 'utf8',
  })
  assert.equal(status, 1)
  assert.match(stderr, /Node 12 was asked for/)
})

/** A package that npm only installs on one system. */
function native(system: string): Record<string, unknown> {
  return { version: '1.0.0', optional: true, os: [system], cpu: [process.arch] }
}

/** A small project with the real script and compiler settings, and an npm that needs no network. */
function buildProject(t: TestContext) {
  const folder = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'onnxd-ensure-')))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = (name: string): string => path.join(folder, name)
  const write = (name: string, text: string): void => {
    mkdirSync(path.dirname(file(name)), { recursive: true })
    writeFileSync(file(name), text)
  }
  const read = (name: string): string => readFileSync(file(name), 'utf8')
  const lock = (packages: Record<string, unknown>): void => {
    const entries = Object.entries(packages).map(([name, entry]) => [`node_modules/${name}`, entry])
    write(
      'package-lock.json',
      JSON.stringify({ packages: { '': {}, ...Object.fromEntries(entries) } }),
    )
  }
  mkdirSync(file('scripts'))
  for (const name of ['ensure', 'bundle', 'bundle-check', 'bundle-pages'])
    copyFileSync(`scripts/${name}.mjs`, file(`scripts/${name}.mjs`))
  copyFileSync('tsconfig.build.json', file('tsconfig.build.json'))
  write(
    'tsconfig.json',
    readFileSync('tsconfig.json', 'utf8').replace('"types": ["node"]', '"types": []'),
  )
  write('package.json', '{ "type": "module" }')
  write('npm-cli.js', NPM)
  write('typescript/package.json', '{ "type": "module" }')
  write('typescript/bin/tsc', COMPILER)
  write('rolldown/package.json', '{ "type": "module", "exports": "./index.js" }')
  write('rolldown/index.js', BUNDLER)
  write('swagger-ui-dist/package.json', '{}')
  for (const name of ['.css', '-bundle.js', '-bundle.js.LICENSE.txt'])
    write(`swagger-ui-dist/swagger-ui${name}`, '')
  for (const name of ['cli', 'shards/main', 'worker/process/main', 'worker/process/launcher'])
    write(`src/${name}.ts`, '')
  for (const name of ['connection-main', 'weights-main', 'custom/modules/hooks-thread']) {
    write(`src/worker/process/${name}.ts`, '')
  }
  for (const name of ['handler', 'testing']) write(`src/${name}/${name}.ts`, '')
  lock({ one: { version: '1.0.0' } })
  return {
    file,
    write,
    read,
    lock,
    installs: (): number =>
      (existsSync(file('npm.log')) ? read('npm.log').match(/^ci /gm)?.length : 0) ?? 0,
    ensure(...outputs: string[]): { status: number | null; output: string } {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [file('scripts/ensure.mjs'), ...outputs],
        {
          cwd: folder,
          encoding: 'utf8',
          env: { ...process.env, npm_execpath: file('npm-cli.js') },
        },
      )
      return { status, output: stdout + stderr }
    },
  }
}
