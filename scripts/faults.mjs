/**
 * `npm run test:faults`: the heavy tests, one file after the other, for they measure memory and time.
 *
 *     npm run test:faults                              all, see docs/testing.md for how long
 *     npm run test:faults -- storm                     the files whose path contains one of these
 *     ONNXD_FAULT_CYCLES=5 npm run test:faults -- unload    a smaller size
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { ensure } from './ensure.mjs'

const FOLDER = path.join('build', 'test', 'faults')
/** For a file. Each test has a shorter limit of its own. */
const TIMEOUT_MS = 1_800_000

const args = process.argv.slice(2)
const options = args.filter((arg) => arg.startsWith('-'))
const filters = args.filter((arg) => !arg.startsWith('-'))

ensure('build')

const files = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.faults.js'))
  .map((file) => path.join(FOLDER, file))
  .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
  .toSorted()
if (files.length === 0) {
  console.error(`onnxd: no fault test matches ${filters.join(', ')}.`)
  process.exit(1)
}

console.log(`onnxd: ${files.length} fault test files on Node ${process.version}`)
const runner = spawn(
  process.execPath,
  [
    '--enable-source-maps',
    '--test',
    '--test-concurrency=1',
    `--test-timeout=${TIMEOUT_MS}`,
    ...(options.some((option) => option.startsWith('--test-reporter'))
      ? []
      : ['--test-reporter=spec']),
    ...options,
    ...files,
  ],
  { stdio: 'inherit' },
)
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal))
runner.on('exit', (status, signal) => {
  process.exitCode = status ?? 1
  if (signal !== null) console.error(`onnxd: the test runner was ended by ${signal}`)
})
