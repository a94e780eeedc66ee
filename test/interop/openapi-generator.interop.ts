/** A Python client of openapi-generator, made out of a running server's document, predicts and refuses wrong types. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { serve, temporaryFolder } from '../helpers/server.ts'

const run = promisify(execFile)
const ARTIFACT = 'org.openapitools:openapi-generator-cli:7.14.0'
const CHECKS = path.resolve('test/interop/openapi_generator_checks.py')

const MODULES = 'import pydantic, urllib3, dateutil, typing_extensions'
const isMissing = [
  ['java', '-version'],
  ['mvn', '-version'],
  ['python3', '-c', MODULES],
].find(([command = '', ...args]) => spawnSync(command, args).status !== 0)

test(
  'openapi-generator: a Python client with the types of the models',
  {
    timeout: 300_000,
    skip: isMissing !== undefined && `needs ${isMissing[0] ?? ''}, with pydantic for Python`,
  },
  async (t) => {
    const folder = temporaryFolder(t)
    const maven = ['-q', 'dependency:copy', `-Dartifact=${ARTIFACT}`, `-DoutputDirectory=${folder}`]
    if (spawnSync('mvn', maven, { timeout: 200_000 }).status !== 0) {
      t.skip(`needs ${ARTIFACT} from a Maven repository`)
      return
    }
    const server = await serve(t, [path.resolve('examples/iris'), path.resolve('examples/digits')])
    const document = await server.fetch('/openapi.json')
    writeFileSync(path.join(folder, 'openapi.json'), await document.text())
    const [, artifact = '', version = ''] = ARTIFACT.split(':')
    const generate = ['generate', '-g', 'python', '-i', 'openapi.json', '-o', 'client']
    await run(
      'java',
      ['-jar', `${artifact}-${version}.jar`, ...generate, '--package-name', 'onnxd_client'],
      { cwd: folder, maxBuffer: 64 * 1024 * 1024 },
    )
    const picture = path.resolve('examples/digits/samples/7.png')
    const { stdout } = await run('python3', [CHECKS, server.inferenceUrl, picture], {
      cwd: folder,
      env: { ...process.env, PYTHONPATH: path.join(folder, 'client') },
    })
    assert.deepEqual(JSON.parse(stdout), [[2], 'iris', 2, '7', 3])
  },
)
