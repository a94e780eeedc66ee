/**
 * `npm test`: makes the checkout ready, then runs every compiled test.
 *
 *     npm test                                  everything
 *     npm test -- wire e2e/cli                  the files whose path contains one of these
 *     npm test -- --test-name-pattern=batch     options go to Node's test runner
 *     npm test -- --node=22                     fails unless Node 22 runs it, see scripts/matrix.mjs
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { ensure } from './ensure.mjs'

const FOLDER = path.join('build', 'test')
/** For a file and for each test in it. What takes longer hangs. */
const TIMEOUT_MS = 240_000

const args = process.argv.slice(2)
const wantedNode = args.find((arg) => arg.startsWith('--node='))?.slice('--node='.length)
const options = args.filter((arg) => arg.startsWith('-') && !arg.startsWith('--node='))
const filters = args.filter((arg) => !arg.startsWith('-'))

if (wantedNode !== undefined && process.versions.node.split('.')[0] !== wantedNode) {
  end(`Node ${wantedNode} was asked for, but this is ${process.version}`)
}
ensure('build')

const files = readdirSync(FOLDER, { recursive: true })
  .filter((file) => file.endsWith('.test.js'))
  .map((file) => path.join(FOLDER, file))
  .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
  .toSorted()
if (files.length === 0) end(`no test file matches ${filters.join(', ')}`)

console.log(`onnxd: ${files.length} test files on Node ${process.version}`)
// Node 20 expands no patterns, so the files are listed one by one.
const runner = spawn(
  process.execPath,
  [
    '--enable-source-maps',
    '--test',
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

function end(text) {
  console.error(`onnxd: ${text}.`)
  process.exit(1)
}
