/**
 * `npm test`: prepares the checkout, then runs every compiled test.
 *
 *     npm test                                  everything
 *     npm test -- wire e2e/cli                  the files whose path contains one of these
 *     npm test -- --test-name-pattern=batch     options go to Node's test runner
 *     npm test -- --watch wire                  again after each change, until Ctrl-C
 *     npm test -- --node=22                     fails unless Node 22 runs it
 *     npm test -- --files=3                     three files in parallel
 *     npm test -- --http-processes=2            servers with two HTTP processes
 *     npm test -- --repeat-failed               files that fail run once more, without others
 */
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { ensure } from './ensure.mjs'
import { LONGEST, UNIT_TESTS, WAITING } from './test-groups.mjs'
import { findTests, readArguments, runTests } from './test-runner.mjs'
import { runOnChanges } from './watch.mjs'

const TIMEOUT_MS = 360_000
const FEW = 50

const args = process.argv.slice(2)
const wantedNode = args.find((arg) => arg.startsWith('--node='))?.slice('--node='.length)
if (wantedNode !== undefined && process.versions.node.split('.')[0] !== wantedNode) {
  console.error(`onnxd: Node ${wantedNode} was asked for, but this is ${process.version}.`)
  process.exit(1)
}
if (args.includes('--watch')) {
  const others = args.filter((arg) => arg !== '--watch')
  runOnChanges(['src', 'test'], [fileURLToPath(import.meta.url), ...others])
} else {
  const own = ['--node=', '--files=', '--http-processes=', '--repeat-failed']
  const { options, filters } = readArguments(args, own)
  ensure('dist', 'build')
  const files = findTests(path.join('build', 'test'), '.test.js', filters)
  const parallel = args.find((arg) => arg.startsWith('--files='))?.slice('--files='.length)
  const concurrency = parallel === undefined ? undefined : Number(parallel)
  const processes = args.find((arg) => arg.startsWith('--http-processes='))?.split('=')[1]
  const environment = processes === undefined ? {} : { TEST_HTTP_PROCESSES: processes }
  const repeatsFailed = args.includes('--repeat-failed')
  runTests(files, options, {
    timeoutMs: TIMEOUT_MS,
    concurrency,
    environment,
    repeatsFailed,
    together: UNIT_TESTS,
    // A few files need no order.
    ...(files.length > FEW && { first: LONGEST, spread: WAITING }),
  })
}
