/**
 * `npm test`: prepares the checkout, then runs every compiled test.
 *
 *     npm test                                  everything
 *     npm test -- wire e2e/cli                  the files whose path contains one of these
 *     npm test -- --test-name-pattern=batch     options go to Node's test runner
 *     npm test -- --node=22                     fails unless it runs on Node 22, see
 *     scripts/matrix.mjs
 */
import path from 'node:path'
import process from 'node:process'
import { ensure } from './ensure.mjs'
import { findTests, readArguments, runTests } from './test-runner.mjs'

const TIMEOUT_MS = 240_000

const args = process.argv.slice(2)
const wantedNode = args.find((arg) => arg.startsWith('--node='))?.slice('--node='.length)
if (wantedNode !== undefined && process.versions.node.split('.')[0] !== wantedNode) {
  console.error(`onnxd: Node ${wantedNode} was asked for, but this is ${process.version}.`)
  process.exit(1)
}
const { options, filters } = readArguments(args, ['--node='])
ensure('dist', 'build')
runTests(findTests(path.join('build', 'test'), '.test.js', filters), options, {
  timeoutMs: TIMEOUT_MS,
})
