/** The runtime folder: who owns it, and which abandoned ones are removed. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { StateFile } from '../../../src/models/state/state-file.ts'
import type { WorkerUser } from '../../../src/worker/host/confinement.ts'
import { RuntimeDirectory } from '../../../src/worker/host/runtime-directory.ts'
import { workerPids } from '../../helpers/observe.ts'
import { runtimeFolder, serve, temporaryFolder, until } from '../../helpers/server.ts'

const OTHER_USER = 12_345
const needsRoot = process.geteuid?.() === 0 ? false : 'needs to be root'
const UNSHARE = ['--user', '--map-root-user', '--pid', '--fork', '--mount-proc', '--kill-child']
const needsNamespaces =
  spawnSync('unshare', [...UNSHARE, 'true']).status === 0 ? false : 'needs unshare(1)'

/** A folder as a killed server leaves it: its socket is there, and nobody listens. */
function abandoned(parent: string, name: string): string {
  const folder = path.join(parent, name)
  mkdirSync(folder, { mode: 0o700 })
  mkdirSync(path.join(folder, 'model'))
  writeFileSync(path.join(folder, 'model', 'weights'), 'w')
  const script = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script, path.join(folder, 'server.sock')])
  assert.ok(existsSync(path.join(folder, 'server.sock')))
  return folder
}

async function start(t: TestContext, parent: string): Promise<string[]> {
  const runtime = await RuntimeDirectory.create(undefined, parent)
  t.after(() => runtime.remove())
  assert.deepEqual(readdirSync(runtime.path), ['server.sock'])
  return readdirSync(parent).filter((name) => name !== path.basename(runtime.path))
}

test('E5: the folder of a killed server of the same user is removed', async (t) => {
  const parent = temporaryFolder(t)
  abandoned(parent, 'onnxd-1-abcdef')
  assert.deepEqual(await start(t, parent), [])
})

test('E5: what only looks like the folder of a killed server stays', async (t) => {
  const parent = temporaryFolder(t)
  const victim = temporaryFolder(t)
  abandoned(victim, 'onnxd-2-abcdef')
  symlinkSync(path.join(victim, 'onnxd-2-abcdef'), path.join(parent, 'onnxd-2-abcdef'))
  chmodSync(abandoned(parent, 'onnxd-3-abcdef'), 0o755)
  mkdirSync(path.join(parent, 'onnxd-4-abcdef'), { mode: 0o700 })
  writeFileSync(path.join(parent, 'onnxd-4-abcdef', 'server.sock'), 'no socket')
  mkdirSync(path.join(parent, 'onnxd-5-abcdef', 'something'), { mode: 0o700, recursive: true })
  chmodSync(path.join(parent, 'onnxd-5-abcdef'), 0o700)
  mkdirSync(path.join(parent, 'onnxd-6-abcdef'), { mode: 0o700 })
  abandoned(parent, 'onnxd-state-abcdef')
  abandoned(parent, 'backup-onnxd-7-abcdef')
  const all = readdirSync(parent).toSorted()
  assert.deepEqual((await start(t, parent)).toSorted(), all)
  assert.ok(existsSync(path.join(victim, 'onnxd-2-abcdef', 'model', 'weights')))
})

test('E5: a folder that was never claimed goes after a minute, when it is empty', async (t) => {
  const parent = temporaryFolder(t)
  const long = new Date(Date.now() - 120_000)
  for (const name of ['onnxd-1-abcdef', 'onnxd-2-abcdef']) mkdirSync(path.join(parent, name))
  for (const name of ['onnxd-1-abcdef', 'onnxd-2-abcdef']) chmodSync(path.join(parent, name), 0o700)
  writeFileSync(path.join(parent, 'onnxd-2-abcdef', 'kept'), '')
  for (const name of readdirSync(parent)) utimesSync(path.join(parent, name), long, long)
  assert.deepEqual(await start(t, parent), ['onnxd-2-abcdef'])
})

test('E5: as root, folders of other users are left alone', { skip: needsRoot }, async (t) => {
  const parent = temporaryFolder(t)
  chownSync(abandoned(parent, 'onnxd-1-abcdef'), OTHER_USER, OTHER_USER)
  assert.deepEqual(await start(t, parent), ['onnxd-1-abcdef'])
  assert.deepEqual(readdirSync(path.join(parent, 'onnxd-1-abcdef')).toSorted(), [
    'model',
    'server.sock',
  ])
})

test(
  'E7: servers of other PID namespaces keep their folders and their state',
  {
    skip: needsNamespaces,
  },
  async (t) => {
    const parent = temporaryFolder(t)
    const state = temporaryFolder(t)
    const other = spawn(
      'unshare',
      [...UNSHARE, process.execPath, '--input-type=module', '-e', OTHER_SERVER, parent, state],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    t.after(() => other.kill('SIGKILL'))
    const exited = once(other, 'exit')
    await once(other.stdout, 'data')
    const [theirs] = readdirSync(parent)
    assert.deepEqual(await start(t, parent), [theirs])
    await assert.rejects(new StateFile(state).load(), /in use by another server/)
    other.kill('SIGKILL')
    await exited
    // The kernel ends the other namespace a moment later than its parent.
    await until(async () => !(await start(t, parent)).includes(String(theirs)))
    const mine = new StateFile(state)
    await mine.load()
    await mine.close()
  },
)

/** A runtime folder with the warnings that it has logged. */
async function withWarnings(
  t: TestContext,
  user?: WorkerUser,
): Promise<{ runtime: RuntimeDirectory; warnings: unknown[] }> {
  const warnings: unknown[] = []
  const warn = (...[, text]: unknown[]): number => warnings.push(text)
  const runtime = await RuntimeDirectory.create(user, temporaryFolder(t), { warn })
  t.after(() => runtime.remove())
  return { runtime, warnings }
}

const claimIn = ({ path: folder }: RuntimeDirectory): string => path.join(folder, 'server.sock')
const GONE = /^the runtime folder was removed while the server runs/

test('a runtime folder that was removed is there again with the next worker, private and claimed', async (t) => {
  const { runtime, warnings } = await withWarnings(t)
  for (const round of [1, 2]) {
    rmSync(runtime.path, { recursive: true })
    const folders = [runtime.newWorkerFolder(), runtime.newWorkerFolder()]
    for (const folder of folders) runtime.makeWorkerFolder(folder)
    for (const folder of [runtime.path, ...folders]) {
      assert.equal(statSync(folder).mode & 0o777, 0o700)
    }
    await until(() => existsSync(claimIn(runtime)))
    assert.equal(warnings.length, round)
    assert.match(String(warnings.at(-1)), GONE)
  }
  // A later server of this user leaves it alone.
  const name = path.basename(runtime.path)
  assert.deepEqual(await start(t, path.dirname(runtime.path)), [name])
  runtime.remove()
  assert.ok(!existsSync(runtime.path))
})

test('a runtime folder that something else has created again is claimed again', async (t) => {
  const { runtime, warnings } = await withWarnings(t)
  rmSync(runtime.path, { recursive: true })
  mkdirSync(path.join(runtime.path, 'model-1'), { recursive: true, mode: 0o700 })
  runtime.makeWorkerFolder(runtime.newWorkerFolder())
  await until(() => existsSync(claimIn(runtime)))
  assert.equal(warnings.length, 1)
  assert.ok(existsSync(path.join(runtime.path, 'model-1')))
})

test('a name that others can write to is not used as runtime folder', async (t) => {
  const { runtime } = await withWarnings(t)
  const elsewhere = temporaryFolder(t)
  for (const put of [
    () => symlinkSync(elsewhere, runtime.path),
    () => writeFileSync(runtime.path, ''),
    () => {
      mkdirSync(runtime.path)
      chmodSync(runtime.path, 0o777)
    },
  ]) {
    rmSync(runtime.path, { recursive: true })
    put()
    assert.throws(() => runtime.makeWorkerFolder(runtime.newWorkerFolder()), { code: 'EEXIST' })
    assert.deepEqual(readdirSync(elsewhere), [])
  }
})

test(
  'workers of another user can pass a folder that is there again',
  { skip: needsRoot },
  async (t) => {
    const { runtime } = await withWarnings(t, { uid: OTHER_USER, gid: OTHER_USER })
    const before = statSync(runtime.path)
    rmSync(runtime.path, { recursive: true })
    const folder = runtime.newWorkerFolder()
    runtime.makeWorkerFolder(folder)
    const after = statSync(runtime.path)
    assert.deepEqual([after.mode, after.uid, after.gid], [before.mode, before.uid, before.gid])
    assert.equal(statSync(folder).uid, OTHER_USER)
  },
)

test('a server whose runtime folder was removed starts workers again', async (t) => {
  const server = await serve(t, [path.resolve('examples/iris')])
  rmSync(runtimeFolder(server), { recursive: true })
  const [pid] = await workerPids(server, 'iris')
  process.kill(Number(pid), 'SIGKILL')
  await server.logged(({ msg }) => GONE.test(String(msg)))
  const features = JSON.stringify({ features: [[5.1, 3.5, 1.4, 0.2]] })
  const headers = { 'content-type': 'application/json' }
  const request = { method: 'POST', body: features, headers }
  assert.equal((await server.fetch('/predictions/iris', request)).status, 200)
  assert.notEqual((await workerPids(server, 'iris'))[0], pid)
})

const moduleUrl = (relative: string): string => new URL(relative, import.meta.url).href
const OTHER_SERVER = `
const { RuntimeDirectory } = await import('${moduleUrl('../../../src/worker/host/runtime-directory.js')}')
const { StateFile } = await import('${moduleUrl('../../../src/models/state/state-file.js')}')
await RuntimeDirectory.create(undefined, process.argv[1])
await new StateFile(process.argv[2]).load()
console.log(process.pid)
setInterval(() => {}, 1000)
`

test('a file for a worker is private, and nothing that is there already is touched', async (t) => {
  const runtime = await RuntimeDirectory.create(undefined, temporaryFolder(t))
  t.after(() => runtime.remove())
  const folder = runtime.newWorkerFolder()
  runtime.makeWorkerFolder(folder)
  const file = path.join(folder, 'options.json')
  const victim = path.join(runtime.path, 'victim')
  writeFileSync(victim, 'untouched')
  symlinkSync(victim, file)
  assert.throws(() => runtime.writeWorkerFile(file, '{}'), { code: 'EEXIST' })
  assert.equal(readFileSync(victim, 'utf8'), 'untouched')
  rmSync(file)
  runtime.writeWorkerFile(file, '{}')
  assert.equal(readFileSync(file, 'utf8'), '{}')
  assert.equal(statSync(file).mode & 0o777, 0o600)
})

test('a file for a worker belongs to the user of the workers', { skip: needsRoot }, async (t) => {
  const user = { uid: OTHER_USER, gid: OTHER_USER }
  const runtime = await RuntimeDirectory.create(user, temporaryFolder(t))
  t.after(() => runtime.remove())
  const folder = runtime.newWorkerFolder()
  runtime.makeWorkerFolder(folder)
  runtime.writeWorkerFile(path.join(folder, 'options.json'), '{}')
  const { uid, gid } = statSync(path.join(folder, 'options.json'))
  assert.deepEqual({ uid, gid }, user)
})
