import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'

const NOT_OURS = new Set(['node_modules', 'dist', 'build', 'coverage', '.git'])
const TEXT = /\.(ts|mjs|json|md|yaml|yml|sh|py|txt)$|^\.?[a-zA-Z]+rc$|^run$/
const MAX_LINES = 250
const PAGES = path.join('src', 'pages')

const manifest = readJson('package.json')
const runtime = record(manifest.dependencies)
const declared = { ...runtime, ...record(manifest.devDependencies) }
const locked = Object.entries(record(readJson('package-lock.json').packages)).map(
  ([place, entry]) => [place, record(entry)] as const,
)

test('every dependency is pinned to one version', () => {
  for (const [name, version] of Object.entries(declared)) {
    assert.match(String(version), /^\d+\.\d+\.\d+$/, name)
  }
})

test('every dependency has a line that says what it is for, and no line is left over', () => {
  const page = readFileSync('docs/dependencies.md', 'utf8')
  assert.deepEqual(rowNames(page).toSorted(), Object.keys(declared).toSorted())
  assert.equal(manifest.overrides, undefined, 'npm does not apply them where onnxd is installed')
})

/** Declared for its version alone: Fastify depends on it. */
const NOT_IMPORTED = 'light-my-request'

test('the server imports the packages it declares, and no others', () => {
  const imported = new Set<string>([NOT_IMPORTED])
  // The packages of pages are bundled into scripts for browsers.
  for (const file of filesIn('src').filter((one) => !one.startsWith(PAGES))) {
    const source = readFileSync(file, 'utf8')
    for (const [, name = ''] of source.matchAll(
      /(?:\bfrom |^import |\bimport(?:\.meta\.resolve)?\()'([^.'][^']*)'/gm,
    )) {
      if (!name.startsWith('node:')) imported.add(packageOf(name))
    }
  }
  assert.deepEqual([...imported].toSorted(), Object.keys(runtime).toSorted())
})

test('the lock file names hashes and no registry, and is that of package.json', () => {
  const [[, root] = ['', {}], ...packages] = locked
  assert.ok(packages.length > 100)
  for (const [place, entry] of packages) {
    assert.equal(entry.resolved, undefined, place)
    assert.match(String(entry.integrity), /^sha512-/, place)
  }
  assert.deepEqual(root.dependencies, manifest.dependencies)
  assert.deepEqual(root.devDependencies, manifest.devDependencies)
})

test('the lock file has the native packages of every platform that is developed on', () => {
  const has = (pattern: RegExp): boolean => locked.some(([place]) => pattern.test(place))
  for (const platform of ['linux-x64', 'linux-arm64', 'darwin-arm64', 'darwin-x64', 'win32-x64']) {
    for (const family of [
      '@img/sharp',
      '@oxlint/binding',
      '@oxfmt/binding',
      '@oxlint-tsgolint',
      '@typescript/typescript',
    ]) {
      assert.ok(has(new RegExp(`/${family}[-/]${platform}`)), `${family} for ${platform}`)
    }
  }
})

test('source files are short', () => {
  for (const file of filesIn('src')) {
    const lines = readFileSync(file, 'utf8').split('\n').length - 1
    assert.ok(lines <= MAX_LINES, `${file} has ${lines} lines`)
  }
})

test('no file names a machine or puts work off', () => {
  const files = filesIn('.').filter((file) => TEXT.test(path.basename(file)))
  assert.ok(files.length > 100)
  for (const file of files) {
    const text = readFileSync(file, 'utf8')
    assert.doesNotMatch(text, /(?<![\w.])\/(work|root|home\/\w+|Users\/\w+)\/[\w.]/, file)
    if (/\.(ts|mjs)$/.test(file)) assert.doesNotMatch(text, /\b(TO[D]O|FIX[M]E|X[X]X)\b/, file)
  }
})

test('the package holds what users need and nothing else', () => {
  const npm = process.env.npm_execpath
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts']
  const { stdout, stderr } = npm?.endsWith('npm-cli.js')
    ? spawnSync(process.execPath, [npm, ...args], { encoding: 'utf8' })
    : spawnSync('npm', args, { encoding: 'utf8' })
  const listing: unknown = JSON.parse(stdout)
  assert.ok(Array.isArray(listing), stderr)
  const files = (record(listing[0]).files as { path: string }[]).map((file) => file.path)
  const folders = new Set(files.map((file) => file.split('/')[0]))
  const pages = ['LICENSE', 'README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md']
  const wanted = [...pages, 'package.json', 'deploy', 'docs', 'examples', 'types']
  for (const name of wanted) assert.ok(folders.has(name), `${name} is missing`)
  const built = ['dist', 'openapi'].filter((folder) => folders.has(folder))
  assert.deepEqual([...folders].toSorted(), [...wanted, ...built].toSorted())
  assert.deepEqual(
    files.filter((file) => path.basename(file).startsWith('.')),
    [],
  )
})

test('scripts that the documentation and the checks name exist', () => {
  const scripts = record(manifest.scripts)
  const pages = ['.ci/run', ...filesIn('.').filter((file) => file.endsWith('.md'))]
  let named = 0
  for (const page of pages) {
    const text = readFileSync(page, 'utf8')
    for (const [, name = ''] of text.matchAll(/npm run (?:-s |--silent )?([\w:]+)/g)) {
      assert.ok(scripts[name] !== undefined, `${page} names npm run ${name}`)
      named++
    }
  }
  assert.ok(named > 5)
  for (const command of Object.values(scripts)) {
    for (const [file] of String(command).matchAll(/(?<![\w/])scripts\/[\w.-]+/g))
      assert.ok(existsSync(file), file)
  }
  accessSync('.ci/run', constants.X_OK)
})

function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : filesIn(file)
    return entry.isFile() ? [file] : []
  })
}

/** First cells of a page's tables that are the names of packages. */
function rowNames(page: string): string[] {
  return [...page.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name = '']) => name)
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

function readJson(file: string): Record<string, unknown> {
  return record(JSON.parse(readFileSync(file, 'utf8')))
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
