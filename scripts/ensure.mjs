/**
 * Prepares a checkout to run with Node alone: installs the dependencies and compiles the sources,
 * if they are missing or out of date. It prints a line for each step.
 *
 *     node scripts/ensure.mjs [dist] [build]
 *
 * It is plain JavaScript and uses only modules of Node, because it runs before anything is
 * installed.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
/** The bundler needs this version. The program itself runs on Node 20.11 and newer. */
const OLDEST_NODE = [20, 19]

/**
 * The outputs: `dist` is the program in a few files, `build` is the program with its tests, file by
 * file.
 */
const OUTPUTS = {
  dist: {
    project: 'tsconfig.build.json',
    folders: ['src'],
    // The first file is run; the others are modules that it imports.
    bundler: ['scripts/bundle.mjs', 'scripts/bundle-check.mjs', 'scripts/bundle-pages.mjs'],
  },
  build: { project: 'tsconfig.json', folders: ['src', 'test', 'benchmarks', 'scripts'] },
}

/** Pages for browsers: they are only in the bundle, and have settings of their own. */
const PAGES = { folder: path.join('src', 'pages'), project: path.join('src', 'pages') }

/** Files that users run as commands. */
const COMMANDS = ['cli.js', path.join('worker', 'process', 'launcher.js')]

/** Does everything that a fresh clone needs before `outputs` can run. Exits if a step fails. */
export function ensure(...outputs) {
  checkNode()
  ensureDependencies()
  // The compiler checks all sources for `build`, so `dist` that follows needs no check of its own.
  const isChecked = outputs.includes('build')
  for (const output of outputs.toSorted((a, b) => a.localeCompare(b))) {
    ensureCompiled(output, isChecked)
  }
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return
  fail(`Node.js ${OLDEST_NODE.join('.')} or newer is needed; this is ${process.versions.node}`)
}

// Dependencies

function ensureDependencies() {
  const reason = whyInstall()
  if (reason === undefined) return
  const started = Date.now()
  say(`installing the dependencies, about 450 MB, once (${reason})`)
  // `--include=dev` because the development tools compile the sources, also with
  // NODE_ENV=production.
  const status = npm('ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error')
  if (status !== 0) {
    fail(
      `npm ci failed with exit code ${status}; it needs the npm registry once. See its output above`,
    )
  }
  say(`installed in ${seconds(started)}`)
}

/**
 * Compares the lock file with npm's record of what it installed. So an installation by hand is
 * accepted, and an interrupted one is not. Returns `undefined` if nothing must be installed.
 */
function whyInstall() {
  const recordFile = path.join(ROOT, 'node_modules', '.package-lock.json')
  if (!existsSync(recordFile)) return 'node_modules is missing or incomplete'
  const installed = readPackages(recordFile)
  for (const [folder, wanted] of Object.entries(
    readPackages(path.join(ROOT, 'package-lock.json')),
  )) {
    if (folder === '') continue
    const found = installed[folder]
    const name = folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length)
    if (found === undefined) {
      if (isNeededHere(wanted)) return `${name} is missing`
    } else if (found.version !== wanted.version) {
      return `${name} is ${found.version} instead of ${wanted.version}`
    }
  }
  return undefined
}

function readPackages(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages
}

/**
 * Packages with native code exist once for each platform. Those that depend on the libc are left to
 * npm.
 */
function isNeededHere({ optional, os, cpu, libc }) {
  if (os === undefined && cpu === undefined) return optional !== true
  return libc === undefined && matches(os, process.platform) && matches(cpu, process.arch)
}

function matches(names, name) {
  if (names === undefined) return true
  return names.some((each) => each.startsWith('!'))
    ? !names.includes(`!${name}`)
    : names.includes(name)
}

function npm(...args) {
  const cli = process.env.npm_execpath
  const options = { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] }
  // Under `npm start` and `npm test` this variable has the path of npm. Other package managers set
  // it too, and are not used. Without it, Windows needs a shell, because `npm` is a batch file
  // there.
  const { status, error } = cli?.endsWith('npm-cli.js')
    ? spawnSync(process.execPath, [cli, ...args], options)
    : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' })
  if (error !== undefined) fail(`npm cannot be started: ${error.message}`)
  return status ?? 1
}

// Compilation

function ensureCompiled(output, isChecked) {
  const { project, folders, bundler } = OUTPUTS[output] ?? fail(`there is no output ${output}`)
  const sources = folders.flatMap((folder) => sourcesIn(folder))
  const pages = bundler ? filesIn(path.join(ROOT, PAGES.folder)).map(relativeToRoot) : []
  const stampFile = path.join(ROOT, output, '.stamp')
  const types = filesIn(path.join(ROOT, 'types')).map(relativeToRoot).toSorted()
  const settings = ['package-lock.json', 'tsconfig.json', project, ...(bundler ?? []), ...types]
  const fingerprint = fingerprintOf([...settings, ...sources, ...pages.toSorted()])
  const [stamp, ...files] = readIfPresent(stampFile)?.split('\n') ?? []
  const isComplete =
    files.length > 0 && files.every((file) => existsSync(path.join(ROOT, output, file)))
  if (isComplete && stamp === fingerprint) return

  const started = Date.now()
  say(`compiling ${folders.join(', ')} to ${output}`)
  rmSync(stampFile, { force: true })
  if (bundler) bundle(output, isChecked ? undefined : project, bundler[0])
  else compile(output, project, sources, isComplete)
  const folder = path.join(ROOT, output)
  const written = filesIn(folder).map((file) => path.relative(folder, file))
  for (const command of COMMANDS) {
    if (written.includes(command)) chmodSync(path.join(ROOT, output, command), 0o755)
  }
  writeFileSync(stampFile, [fingerprint, ...written].join('\n'))
  say(`compiled in ${seconds(started)}`)
}

/** Compiles the files that changed since the compiler's last record. */
function compile(output, project, sources, isComplete) {
  const record = path.join(ROOT, output, '.tsbuildinfo')
  // The compiler trusts its record, even if output files are missing.
  if (!isComplete) rmSync(record, { force: true })
  runCompiler('-p', project, '--noEmitOnError', '--incremental', '--tsBuildInfoFile', record)
  const expected = sources.map((source) => path.join(ROOT, output, source.replace(/\.ts$/, '.js')))
  removeStale(path.join(ROOT, output), new Set(expected))
}

/** @param project To check first; absent where the sources have been checked. */
function bundle(output, project, bundler) {
  if (project !== undefined) runCompiler('-p', project, '--noEmit')
  if (existsSync(path.join(ROOT, PAGES.project))) runCompiler('-p', PAGES.project)
  if (run(path.join(ROOT, bundler), output) !== 0) fail('the program cannot be bundled, see above')
}

function runCompiler(...args) {
  const status = run(path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), ...args)
  if (status !== 0) fail('the sources do not compile, see above')
}

function run(program, ...args) {
  const stdio = ['ignore', 'inherit', 'inherit']
  return spawnSync(process.execPath, [program, ...args], { cwd: ROOT, stdio }).status
}

/**
 * Source files, relative to the root. JavaScript files in `scripts` are not compiled. Of the pages
 * for browsers, tests import `.ts` files without a DOM; the compiler finds those by the imports.
 */
function sourcesIn(folder) {
  return filesIn(path.join(ROOT, folder))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
    .map(relativeToRoot)
    .toSorted()
}

function relativeToRoot(file) {
  return path.relative(ROOT, file)
}

/**
 * A hash of the contents instead of the times, so that switching branches does not compile
 * everything again.
 */
function fingerprintOf(files) {
  const hash = createHash('sha256')
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(path.join(ROOT, file)))
  return hash.digest('hex')
}

/**
 * Removes the output of sources that were removed or renamed, mainly so that old tests do not run.
 */
function removeStale(folder, expected) {
  for (const file of filesIn(folder)) {
    const script = file.replace(/(\.d\.ts|\.js\.map)$/, '.js')
    if (script.endsWith('.js') && !expected.has(script)) rmSync(file)
  }
}

function filesIn(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesIn(file)
    return entry.isFile() ? [file] : []
  })
}

function readIfPresent(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

// Messages

function seconds(started) {
  return `${((Date.now() - started) / 1000).toFixed(1)} s`
}

function say(text) {
  process.stderr.write(`onnxd: ${text}\n`)
}

/** @returns {never} */
function fail(text) {
  say(`${text}.`)
  process.exit(1)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) ensure(...process.argv.slice(2))
