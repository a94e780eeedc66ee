/**
 * `npm run test:faults`: the heavy tests, one file after the other, for they measure memory and time.
 *
 *     npm run test:faults                              all, see docs/testing.md for how long
 *     npm run test:faults -- storm                     the files whose path contains one of these
 *     ONNXD_FAULT_CYCLES=5 npm run test:faults -- unload    a smaller size
 */
import path from 'node:path'
import process from 'node:process'
import { ensure } from './ensure.mjs'
import { findTests, readArguments, runTests } from './test-runner.mjs'

/** For a file. Each test has a shorter limit of its own. */
const TIMEOUT_MS = 1_800_000

const { options, filters } = readArguments(process.argv.slice(2))
ensure('dist', 'build')
const files = findTests(path.join('build', 'test', 'faults'), '.faults.js', filters)
runTests(files, options, { timeoutMs: TIMEOUT_MS, isAlone: true })
