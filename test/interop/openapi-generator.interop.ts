/**
 * Clients that openapi-generator makes from the document of a running server. They predict and
 * infer with every model, read the statistics, upload a model and register one.
 */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { cpSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { freePort } from '../helpers/free-port.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import { needsShared, shared } from '../helpers/shared.ts'
import { callsOf, rounded, withoutVersions } from './generated/calls.ts'
import type { Document } from './generated/calls.ts'
import { LANGUAGES } from './generated/languages.ts'

const run = promisify(execFile)
const jar = process.env['ONNXD_INTEROP_OPENAPI_GENERATOR']
/** Options of a JVM that runs for some seconds. */
const QUICK = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']
const MAX_INT32 = 2 ** 31 - 1
/** It is refused: its one input has a datatype that cannot be served. */
const REFUSED = 'identity_bf16'
/** Both calls of a version, and one call of the classifier, whose `predict` takes a picture. */
const MORE_CALLS = 3
/** FP16 has no `infer` in JSON. */
const FEWER_CALLS = 1
/** Bodies that a client with types must refuse. */
const WRONG = [
  ['SimplePredictRequest', { INPUT0: [['one']], INPUT1: [[1]] }],
  ['SimplePredictRequest', { INPUT0: [1], INPUT1: [1] }],
  ['SimplePredictRequest', { INPUT0: [[1]] }],
  ['IdentityFp32InferRequest', { inputs: [] }],
]

/** What the programs print. */
interface Printed {
  readonly results: readonly unknown[]
  /** The last bytes of the answer to a request in binary form. */
  readonly raw: readonly number[]
  readonly digit: string
  readonly lastInference: number
  readonly models: number
  readonly uploaded: string
  readonly registered: string
  readonly listed: number
  /** How many of the wrong bodies were refused, where the language checks at run time. */
  readonly refused?: number
}

test(
  'D4: clients of openapi-generator work with every model',
  {
    timeout: 840_000,
    skip: jar === undefined ? 'needs openapi-generator; run npm run test:interop' : needsShared,
  },
  async (t) => {
    const models = path.join(shared ?? '', 'models')
    const names = readdirSync(models, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || entry.name.endsWith('.onnx'))
      .map(({ name }) => name)
      .filter((name) => name !== REFUSED)
    const store = temporaryFolder(t)
    for (const name of names) {
      cpSync(path.join(models, name), path.join(store, name), { recursive: true })
    }
    // Both listeners in one, so that one client can do everything.
    const port = await freePort()
    const server = await serve(t, [path.resolve('examples/digits')], {
      port,
      managementPort: port,
      modelStore: store,
      workers: 1,
      threads: 1,
    })
    const document = withoutVersions((await json(await server.fetch('/openapi.json'))) as Document)
    const calls = await callsOf(document, server)
    assert.equal(calls.length, names.length * 2 + MORE_CALLS - FEWER_CALLS)

    for (const { generator, options, check, needs, build } of LANGUAGES) {
      const [checker, ...checks] = check
      const isThere = spawnSync(checker, checks).status === 0
      await t.test(generator, { skip: isThere ? false : `needs ${needs}` }, async (sub) => {
        const folder = temporaryFolder(sub)
        writeFileSync(path.join(folder, 'openapi.json'), JSON.stringify(document))
        const generate = ['generate', '-g', generator, '-i', 'openapi.json', '-o', '.', ...options]
        const withoutExtras = 'modelTests=false,apiTests=false,modelDocs=false,apiDocs=false'
        const java = [...QUICK, '-jar', jar ?? '', ...generate, '--global-property', withoutExtras]
        await run('java', java, { cwd: folder, maxBuffer: 64 * 1024 * 1024 })
        const file = path.join(store, 'mnist.onnx')
        const picture = path.resolve('examples/digits/samples/7.png')
        writeFileSync(
          path.join(folder, 'calls.json'),
          JSON.stringify({ calls, file, picture, wrong: WRONG }),
        )
        const command = await build(sub, folder, calls)
        if (command === undefined) return
        const [program, ...args] = command
        const { stdout } = await run(program, [...args, server.inferenceUrl], {
          cwd: folder,
          maxBuffer: 64 * 1024 * 1024,
        })
        const printed = JSON.parse(stdout) as Printed
        for (const [index, { operation, expected }] of calls.entries()) {
          assert.deepEqual(rounded(printed.results[index]), rounded(expected), operation)
        }
        assert.deepEqual([printed.raw, printed.digit], [[0, 60], '7'])
        assert.ok(printed.lastInference > MAX_INT32, `${printed.lastInference}`)
        assert.ok(printed.models >= names.length, `${printed.models}`)
        const { uploaded, registered, listed, refused = WRONG.length } = printed
        assert.deepEqual(
          { uploaded, registered, listed, refused },
          {
            uploaded: 'Workers scaled',
            registered: 'Workers scaled',
            listed: 2,
            refused: WRONG.length,
          },
        )
        sub.diagnostic(`${calls.length} calls of models`)
      })
    }
  },
)
