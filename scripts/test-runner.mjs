/** What the test commands share: which compiled files to run, and Node's test runner over them. */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import process from 'node:process'

/** Files at a time. Most tests wait for processes, so two share two cores well. */
const CONCURRENCY = Math.max(2, availableParallelism() - 1)

/** Arguments of a test command: options for Node's test runner, and words that choose files. */
export function readArguments(args, ownOptions = []) {
  return {
    options: args.filter(
      (arg) => arg.startsWith('-') && !ownOptions.some((own) => arg.startsWith(own)),
    ),
    filters: args.filter((arg) => !arg.startsWith('-')),
  }
}

/** Compiled files below `folder` that end so, and whose path contains one of `filters`, if there are any. Ends the process when there is none. */
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
 * Runs the files and ends with the runner's status.
 * @param settings `timeoutMs` for a file and for each test in it: what takes longer hangs; `isAlone` for files that
 * measure and must run one after the other; `environment` to add to this one.
 * @param onEnd Called when the runner has ended.
 */
export function runTests(
  files,
  options,
  { timeoutMs, isAlone = false, environment = {} },
  onEnd = () => {},
) {
  const hasReporter = options.some((option) => option.startsWith('--test-reporter'))
  console.log(`onnxd: ${files.length} test files on Node ${process.version}`)
  // Node 20 expands no patterns, so the files are listed one by one.
  const runner = spawn(
    process.execPath,
    [
      '--enable-source-maps',
      '--test',
      `--test-concurrency=${isAlone ? 1 : CONCURRENCY}`,
      `--test-timeout=${timeoutMs}`,
      ...(hasReporter ? [] : ['--test-reporter=spec']),
      ...options,
      ...files,
    ],
    { stdio: 'inherit', env: { ...process.env, ...environment } },
  )
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal))
  runner.on('exit', (status, signal) => {
    process.exitCode = status ?? 1
    onEnd()
    if (signal !== null) console.error(`onnxd: the test runner was ended by ${signal}.`)
  })
}
