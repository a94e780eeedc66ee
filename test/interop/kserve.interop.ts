/** KServe's Python client, unmodified, by both versions of its protocol. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { serve } from '../helpers/server.ts'

const environment = process.env['ONNXD_INTEROP_KSERVE']
const CHECKS = path.resolve('test/interop/kserve_checks.py')
/** Both versions, in JSON and in binary form. */
const EXPECTED_CHECKS = 17

test(
  'kserve: InferenceRESTClient predicts by v1 and v2, in JSON and in binary form',
  {
    timeout: 240_000,
    skip: environment === undefined && 'needs the Python package kserve; run npm run test:interop',
  },
  async (t) => {
    const server = await serve(t, [path.resolve('examples/iris')])
    const python = path.join(environment ?? '', 'bin', 'python')
    const { stdout } = await promisify(execFile)(python, [CHECKS, server.inferenceUrl])
    assert.match(stdout, new RegExp(`^done ${EXPECTED_CHECKS}$`, 'm'))
  },
)
