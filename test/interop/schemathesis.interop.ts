/**
 * Schemathesis makes requests from both documents and compares the responses of the running server
 * with them.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { serve, temporaryFolder } from '../helpers/server.ts'

const environment = process.env['ONNXD_INTEROP_SCHEMATHESIS']
const SEED = process.env['ONNXD_TEST_SEED'] ?? '1'
/** Requests of each kind for each operation. */
const EXAMPLES = '5'
/** Checks that do not fit these documents, each with its reason. */
const EXCLUDED = [
  // A schema cannot say how many bytes the elements of a tensor have, nor which sizes must agree.
  'positive_data_acceptance',
  // It sends unknown headers as mistakes, and HTTP allows them.
  'negative_data_rejection',
  // It expects 405 with `Allow` for methods that nobody uses, on paths of unknown models too.
  'unsupported_method',
]
const LISTENERS = [
  ['inference', 30],
  ['management', 20],
] as const

for (const [listener, least] of LISTENERS) {
  test(
    `schemathesis: every response of the ${listener} listener is as its document says (seed ${SEED})`,
    {
      timeout: 400_000,
      skip: environment === undefined && 'needs schemathesis; run npm run test:interop',
    },
    async (t) => {
      const folder = temporaryFolder(t)
      const store = path.join(folder, 'store')
      for (const name of ['iris', 'digits']) {
        cpSync(path.resolve('examples', name), path.join(store, name), { recursive: true })
      }
      const server = await serve(t, [], { modelStore: store, workers: 1, threads: 1 })
      const url = listener === 'inference' ? server.inferenceUrl : server.managementUrl
      const child = spawn(
        path.join(environment ?? '', 'bin', 'schemathesis'),
        [
          'run',
          `${url}/openapi.json`,
          `--url=${url}`,
          `--seed=${SEED}`,
          `--max-examples=${EXAMPLES}`,
          '--phases=examples,coverage,fuzzing',
          `--exclude-checks=${EXCLUDED.join(',')}`,
          '--no-color',
        ],
        { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
      )
      let output = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => (output += text))
      }
      const [code] = await once(child, 'close')
      assert.equal(code, 0, output)
      const [, tested = '0'] = /Tested: (\d+)/.exec(output) ?? []
      assert.ok(Number(tested) >= least, output)
      t.diagnostic(`${tested} operations, ${/(\d+) generated/.exec(output)?.[1]} requests`)
    },
  )
}
