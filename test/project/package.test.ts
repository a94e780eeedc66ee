/**
 * The package as users get it: packed, installed into an empty folder with the command of the
 * README, and run from there. It loads the libraries that are not in `dist/` from the folder where
 * npm has installed them.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { needsRegistry, npm, userEnvironment } from '../helpers/npm.ts'
import { json, start, temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { loadRequest, startWorker, wireRequest } from '../helpers/worker-client.ts'

const INSTALL = /^npm (install .*)\bonnxd$/m
/** npm says this of settings in the user's own files. */
const OWN_SETTINGS = /^npm warn Unknown \w+ config .*\n/gm
const VIRGINICA = '{"features": [[5.8, 2.7, 5.1, 1.9]]}'

interface Installed {
  /** Of the package. */
  readonly folder: string
  /** Path of a command. */
  command(name: string): string
}

test('D11: the packed package installs without a warning and without GPU libraries, and works', async (t) => {
  const empty = temporaryFolder(t)
  const skip = await needsRegistry(empty, 'fastify')
  if (skip !== false) {
    t.skip(skip)
    return
  }
  const installed = await install(empty)
  await t.test('B1: what was uploaded is served after a crash', (part) =>
    checkCrash(part, installed),
  )
  await t.test('the page, its files and images', (part) => checkPages(part, installed))
  await t.test('the worker for other front-ends', (part) => checkWorker(part, installed))
  await t.test('a handler in TypeScript, and its test', (part) => checkHandler(part, installed))
  await t.test('the handlers of the package, where it is installed', (part) =>
    checkInPlace(part, installed),
  )
})

test('D11: the checkout installs without a warning, by its lock file', async (t) => {
  const folder = temporaryFolder(t)
  for (const name of ['package.json', 'package-lock.json', '.npmrc'])
    copyFileSync(name, path.join(folder, name))
  // Looks at every package of the lock file and fetches none.
  const { status, output } = await npm(folder, ['ci', '--dry-run', '--offline'])
  assert.equal(status, 0, output)
  assert.match(output, /add fastify /)
  assertNoWarning(output)
})

test('every relative link of a page of the package leads to a file of the package', async (t) => {
  const folder = temporaryFolder(t)
  execFileSync('tar', ['-xzf', await packed(), '-C', folder])
  const root = path.join(folder, 'package')
  const pages = readdirSync(root, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.md'))
  assert.ok(pages.includes('README.md') && pages.includes(path.join('docs', 'models.md')))
  const broken = pages.flatMap((page) => {
    const text = readFileSync(path.join(root, page), 'utf8').replaceAll(/^```.*?^```/gms, '')
    return [...text.matchAll(/\]\(([^)\s#]+)[^)\s]*\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => !existsSync(path.join(root, path.dirname(page), target)))
      .map((target) => `${page}: ${target}`)
  })
  assert.deepEqual(broken, [])
})

/**
 * Packs the checkout and installs it with the command of the README, with the file instead of the
 * package name.
 */
async function install(prefix: string): Promise<Installed> {
  const [, args = ''] = INSTALL.exec(readFileSync('README.md', 'utf8')) ?? []
  assert.match(args, /--global/)
  const { status, output } = await npm(prefix, [...args.trim().split(' '), await packed()], {
    npm_config_prefix: prefix,
  })
  assert.equal(status, 0, output)
  assertNoWarning(output)
  const modules = path.join(prefix, 'lib', 'node_modules')
  const natives = readdirSync(modules, { recursive: true }).map(String)
  assert.ok(natives.some((name) => name.endsWith('onnxruntime_binding.node')))
  assert.deepEqual(
    natives.filter((name) => /providers_(cuda|tensorrt)/.test(name)),
    [],
  )
  return {
    folder: path.join(modules, 'onnxd'),
    command: (name) => path.join(prefix, 'bin', name),
  }
}

let tarball: Promise<string> | undefined
const cleanups: (() => void)[] = []
after(() => cleanups.forEach((run) => run()))

/** Path of the tarball of the checkout, which is packed once. */
function packed(): Promise<string> {
  return (tarball ??= pack({ after: (run) => cleanups.push(run as () => void) }))
}

async function pack(cleanup: Cleanup): Promise<string> {
  const folder = temporaryFolder(cleanup)
  const { status, output } = await npm('.', [
    'pack',
    '--ignore-scripts',
    '--pack-destination',
    folder,
  ])
  assert.equal(status, 0, output)
  const [name = ''] = readdirSync(folder)
  return path.join(folder, name)
}

function assertNoWarning(output: string): void {
  assert.doesNotMatch(output.replaceAll(OWN_SETTINGS, ''), /npm warn|EBADENGINE/i)
}

/** Serves the examples of the package, in an empty folder, with a config file. */
async function serveInstalled(
  t: TestContext,
  { folder, command }: Installed,
  state: string,
): Promise<TestServer> {
  const config = path.join(state, 'config.yaml')
  mkdirSync(state, { recursive: true })
  writeFileSync(config, `modelStore: ${folder}/examples\nload: iris,digits\n`)
  const flags = ['--port', '0', '--management-port', '0', '--config', config]
  return start(t, [...flags, '--state-dir', path.join(state, 'state')], {
    command: [command('onnxd')],
    folder: state,
    environment: userEnvironment(),
  })
}

async function checkCrash(t: TestContext, installed: Installed): Promise<void> {
  const version = spawnSync(installed.command('onnxd'), ['version'], { encoding: 'utf8' })
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  assert.equal(version.stdout, `${manifest.version}\n`, version.stderr)

  const state = temporaryFolder(t)
  const first = await serveInstalled(t, installed, state)
  const form = new FormData()
  const network = readFileSync(path.join(installed.folder, 'examples', 'iris', 'model.onnx'))
  form.set('model', new Blob([network]), 'flowers.onnx')
  form.set('initial_workers', '1')
  const uploaded = await first.manage('/models?batch_size=4', { method: 'POST', body: form })
  assert.equal(uploaded.status, 200, await uploaded.text())
  const wrong = await first.manage('/models?url=iris&batch_size=none', { method: 'POST' })
  assert.equal(wrong.status, 400)
  // The uploaded file has no labels.
  await assertVirginica(first, 'flowers', 2)
  await first.kill()
  const second = await serveInstalled(t, installed, state)
  await assertVirginica(second, 'flowers', 2)
  await assertVirginica(second, 'iris')
  await second.close()
}

async function assertVirginica(
  server: TestServer,
  model: string,
  expectedLabel: unknown = 'virginica',
): Promise<void> {
  const answer = await server.fetch(`/predictions/${model}`, {
    method: 'POST',
    body: VIRGINICA,
    headers: { 'content-type': 'application/json' },
  })
  assert.equal(answer.status, 200)
  const { label, probabilities } = (await json(answer)) as {
    label: unknown[]
    probabilities: number[][]
  }
  assert.deepEqual(label, [expectedLabel])
  const expected = [0.0000134, 0.0402575, 0.9597291]
  for (const [index, value] of expected.entries())
    assert.ok(
      Math.abs((probabilities[0]?.[index] ?? 9) - value) < 1e-4,
      JSON.stringify(probabilities),
    )
}

async function checkPages(t: TestContext, installed: Installed): Promise<void> {
  const server = await serveInstalled(t, installed, temporaryFolder(t))
  const page = await server.fetch('/docs')
  assert.equal(page.status, 200)
  const html = await page.text()
  const files = [...html.matchAll(/(?:src|href)="(docs\/[^"]+)"/g)].map(([, name = '']) => name)
  assert.equal(files.length, 3, html)
  for (const name of [...files, 'openapi.json', 'openapi.yaml', 'v2/models/iris/openapi.json']) {
    const answer = await server.fetch(`/${name}`)
    assert.equal(answer.status, 200, name)
    assert.ok((await answer.text()).length > 100, name)
  }
  const metrics = await server.manage('/metrics')
  assert.match(await metrics.text(), /^onnxd_workers\{/m)

  const picture = readFileSync(
    path.join(installed.folder, 'examples', 'digits', 'samples', '7.png'),
  )
  const form = new FormData()
  form.set('image', new Blob([picture], { type: 'image/png' }), '7.png')
  for (const body of [picture, form]) {
    const answer = await server.fetch('/predictions/digits', { method: 'POST', body })
    assert.equal(answer.status, 200)
    const [top] = (await json(answer)) as { class: string }[]
    assert.equal(top?.class, '7')
  }
}

/** The folder of the handler has no packages; that of its test has onnxd, as after an install. */
async function checkHandler(t: TestContext, { folder, command }: Installed): Promise<void> {
  const model = path.join(temporaryFolder(t), 'flowers')
  cpSync(path.join(folder, 'examples', 'handlers', 'flowers'), model, { recursive: true })
  const flags = ['--port', '0', '--management-port', '0', '--allow-handlers', model]
  const server = await start(t, flags, {
    command: [command('onnxd')],
    folder: path.dirname(model),
    environment: userEnvironment(),
  })
  const flower = { sepalLength: 5.8, sepalWidth: 2.7, petalLength: 5.1, petalWidth: 1.9 }
  const answer = await server.fetch('/predictions/flowers', {
    method: 'POST',
    body: JSON.stringify(flower),
    headers: { 'content-type': 'application/json' },
  })
  const { species } = (await json(answer)) as { species: unknown }
  assert.equal(species, 'virginica')
  await server.close()
  mkdirSync(path.join(model, 'node_modules'))
  symlinkSync(folder, path.join(model, 'node_modules', 'onnxd'))
  const { status, stdout } = spawnSync(process.execPath, ['--test', model], {
    encoding: 'utf8',
    env: userEnvironment(),
  })
  assert.equal(status, 0, stdout)
}

async function checkInPlace(t: TestContext, { folder, command }: Installed): Promise<void> {
  const model = path.join(folder, 'examples', 'handlers', 'tickets')
  const flags = ['--port', '0', '--management-port', '0', '--allow-handlers', model]
  const server = await start(t, flags, {
    command: [command('onnxd')],
    folder: temporaryFolder(t),
    environment: userEnvironment(),
  })
  const answer = await server.fetch('/predictions/tickets', { method: 'POST', body: 'xyzzy plugh' })
  const { team } = (await json(answer)) as { team: unknown }
  assert.equal(team, 'unsure')
  await server.close()
  const tests = [path.join(model, 'service.test.mjs')]
  const { status, stdout } = spawnSync(process.execPath, ['--test', ...tests], {
    encoding: 'utf8',
    env: userEnvironment(),
  })
  assert.equal(status, 0, stdout)
}

async function checkWorker(t: TestContext, { folder, command }: Installed): Promise<void> {
  const entry = command('onnxd-worker')
  const script = '/opt/mms/model_service_worker.py'
  const wrong = spawnSync(entry, [script, '--sock-type', 'pigeon'], { encoding: 'utf8' })
  assert.deepEqual([wrong.status, wrong.stdout], [2, ''], wrong.stderr)
  const modelPath = path.join(folder, 'examples', 'iris')
  const sockets = temporaryFolder(t)
  const socket = ['--sock-type', 'unix', '--sock-name', path.join(sockets, 'w.sock')]
  const model = ['--handler', '', '--model-path', modelPath, '--model-name', 'iris']
  const args = [script, ...socket, ...model, '--preload-model', 'false']
  const worker = await startWorker(t, { entry, folder: sockets, args })
  const client = await worker.connect()
  const loaded = await client.load(loadRequest({ modelName: 'iris', modelPath, handler: '' }))
  assert.equal(loaded.code, 200, loaded.message)
  const request = wireRequest([['body', VIRGINICA, 'application/json']])
  const { predictions } = await client.predict([request])
  assert.match(String(predictions[0]?.body), /^\{"label":\["virginica"\]/)
}
