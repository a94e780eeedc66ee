/** Common code of the test commands: finds the compiled test files and runs Node's test runner. */
import { spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { groupTests } from './test-groups.mjs'

/**
 * Number of files that run in parallel. Most tests wait for processes, so five fit on two cores.
 */
const CONCURRENCY = Math.max(5, availableParallelism() - 1)

/**
 * Splits the arguments of a test command into options for Node's test runner and filters for files.
 */
export function readArguments(args, ownOptions = []) {
  return {
    options: args.filter(
      (arg) => arg.startsWith('-') && !ownOptions.some((own) => arg.startsWith(own)),
    ),
    filters: args.filter((arg) => !arg.startsWith('-')),
  }
}

/**
 * Compiled files below `folder` that end with `ending` and whose path contains one of `filters`
 * (all if there are no filters). Exits if no file matches.
 */
export function findTests(folder, ending, filters) {
  const files = readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith(ending))
    .map((file) => path.join(folder, file))
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .toSorted()
  if (files.length > 0) return files
  console.error(`onnxd: no test file matches ${filters.join(', ')}.`)
  return process.exit(1)
}

/**
 * Runs the files and exits with the status of the test runner.
 * @param settings `timeoutMs` is the limit for a file and for each test in it; `concurrency` is the
 * number of files that run in parallel; `isAlone` runs the files one after the other, for tests
 * that measure; `environment` is added to that of this process; `repeatsFailed` runs the files that
 * failed once more, one after the other, and the second result counts. Both results are printed;
 * `together`, `first` and `spread` are lists for `groupTests`.
 * @param onEnd Called when the test runner has exited.
 */
export function runTests(files, options, settings, onEnd = () => {}) {
  const {
    timeoutMs,
    concurrency = CONCURRENCY,
    isAlone = false,
    environment = {},
    repeatsFailed = false,
    together,
    first,
    spread,
  } = settings
  const hasReporter = options.some((option) => option.startsWith('--test-reporter'))
  const failures = repeatsFailed && !hasReporter ? failureList() : undefined
  console.log(`onnxd: ${files.length} test files on Node ${process.version}`)
  const node = publicNode()
  const groups = groupTests(files, isAlone ? {} : { together, first, spread })
  // Node 20 does not expand patterns, so each file is listed.
  const runner = spawn(
    node.file,
    [
      '--enable-source-maps',
      '--test',
      `--test-concurrency=${isAlone ? 1 : concurrency}`,
      `--test-timeout=${timeoutMs}`,
      ...(hasReporter ? [] : ['--test-reporter=spec', '--test-reporter-destination=stdout']),
      ...(failures?.options ?? []),
      ...options,
      ...groups.files,
    ],
    { stdio: 'inherit', env: { ...process.env, ...environment } },
  )
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal))
  runner.on('close', (status, signal) => {
    node.remove()
    groups.remove()
    const failed = failures?.take(files, groups) ?? []
    if (status === 1 && failed.length > 0) {
      console.log(`onnxd: once more, one after the other: ${failed.join(' ')}`)
      runTests(failed, options, { ...settings, isAlone: true, repeatsFailed: false }, onEnd)
      return
    }
    process.exitCode = status ?? 1
    onEnd()
    if (signal !== null) console.error(`onnxd: the test runner was ended by ${signal}.`)
  })
}

/** The files that may contain a test: by its place, or by its name if a helper has defined it. */
function filesOf({ file, name }, files, groups) {
  // With source maps, the place is in the source.
  const sourceOf = (one) => path.relative('build', one).replace(/js$/, 'ts')
  const places = groups.filesOf(file)
  const placed = files.filter((one) => places.includes(one) || sourceOf(one) === file)
  if (placed.length > 0) return placed
  const text = name.replace(/^(?:[A-Z]\d+ )+/, '')
  return files.filter((one) => readFileSync(one, 'utf8').includes(text))
}

/** Options that make the test runner list the files that fail, and a function that finds them. */
function failureList() {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-failed-'))
  const list = path.join(folder, 'files')
  const reporter = new URL('failed-files.mjs', import.meta.url)
  return {
    options: [`--test-reporter=${reporter}`, `--test-reporter-destination=${list}`],
    take: (files, groups) => {
      const lines = existsSync(list) ? readFileSync(list, 'utf8').split('\n') : []
      rmSync(folder, { recursive: true, force: true })
      const failed = lines
        .filter((line) => line !== '')
        .map((line) => filesOf(JSON.parse(line), files, groups))
      // Without the file of each failure, a second run would hide one.
      return failed.every((found) => found.length > 0) ? [...new Set(failed.flat())] : []
    },
  }
}

/**
 * Some tests of root run Node as another user. A Node in the home folder of root, where npx puts
 * it, is copied to where every user can run it.
 */
function publicNode() {
  const original = realpathSync(process.execPath)
  if (process.geteuid?.() !== 0 || canEveryUserRun(original))
    return { file: process.execPath, remove: () => {} }
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-node-'))
  chmodSync(folder, 0o755)
  const file = path.join(folder, 'node')
  copyFileSync(original, file)
  return { file, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

function canEveryUserRun(file) {
  const mayRun = (statSync(file).mode & 0o001) !== 0
  const parent = path.dirname(file)
  return mayRun && (parent === file || canEveryUserRun(parent))
}
