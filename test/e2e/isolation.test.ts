/** What workers may do less than the server. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { childrenOf, json, listing, serve, start, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { zipOf } from '../helpers/zip.ts'

const iris = path.resolve('examples/iris')
const OTHER_USER = 12_345
const has = (program: string, ...args: readonly string[]): boolean =>
  spawnSync(program, args).status === 0
const needsSetpriv = has('setpriv', '--version') ? false : 'needs setpriv (util-linux)'
const needsRoot = process.geteuid?.() === 0 ? needsSetpriv : 'needs to be root'
const needsNetworks =
  has('unshare', '--net', 'true') || has('unshare', '--user', '--map-current-user', '--net', 'true')
    ? needsSetpriv
    : 'needs unshare(1) and network namespaces'

const ask = async (server: TestServer, body: string): Promise<string> => {
  const headers = { 'content-type': 'text/plain' }
  return (await server.fetch('/predictions/tool', { method: 'POST', headers, body })).text()
}

const classify = async (server: TestServer, model: string): Promise<number> => {
  const body = '{"features":[[5.1,3.5,1.4,0.2]]}'
  const headers = { 'content-type': 'application/json' }
  return (await server.fetch(`/predictions/${model}`, { method: 'POST', headers, body })).status
}

test(
  'workers have no core files, few descriptors and no way to new privileges',
  {
    skip: needsSetpriv,
  },
  async (t) => {
    const server = await serve(t, [iris], { workerOpenFiles: 200 })
    const { uid, noNewPrivileges, ownNetwork, coreDumps, openFiles } = await server.logged(
      ({ msg }) => msg === 'isolation of workers',
    )
    assert.deepEqual(
      { uid, noNewPrivileges, ownNetwork, coreDumps, openFiles },
      {
        uid: process.geteuid?.(),
        noNewPrivileges: true,
        ownNetwork: false,
        coreDumps: false,
        openFiles: '200',
      },
    )
    const [worker] = childrenOf(server.pid)
    assert.match(readFileSync(`/proc/${worker}/status`, 'latin1'), /^NoNewPrivs:\t1$/m)
    assert.equal(await classify(server, 'iris'), 200)
  },
)

test(
  'workers without the network reach no address, and are served as before',
  {
    skip: needsNetworks,
  },
  async (t) => {
    const tool = handlerModel(t, 'tool')
    const open = await serve(t, [tool], { allowHandlers: true })
    const { port } = new URL(open.inferenceUrl)
    assert.equal(await ask(open, `connect:${port}`), 'connected')
    const closed = await serve(t, [tool, iris], { allowHandlers: true, egress: false })
    assert.equal(await ask(closed, `connect:${port}`), 'ENETUNREACH')
    assert.equal(await classify(closed, 'iris'), 200)
    assert.equal(
      (await closed.logged(({ msg }) => msg === 'isolation of workers')).ownNetwork,
      true,
    )
  },
)

test(
  'workers of another user read their models and nothing of the server',
  {
    skip: needsRoot,
  },
  async (t) => {
    const state = temporaryFolder(t)
    const tool = handlerModel(t, 'tool')
    chmodSync(path.dirname(tool), 0o755)
    const temporary = temporaryFolder(t)
    chmodSync(temporary, 0o755)
    const flags = [
      '--port',
      '0',
      '--management-port',
      '0',
      '--allow-handlers',
      '--state-dir',
      state,
    ]
    const args = [...flags, '--worker-user', String(OTHER_USER), tool, iris]
    let server = await start(t, args, { temporary })
    const upload = async (name: string, file: Buffer, fileName: string): Promise<void> => {
      const form = new FormData()
      form.set('model_name', name)
      form.set('model', new File([file], fileName))
      const { status } = await server.manage('/models', { method: 'POST', body: form })
      assert.equal(status, 200)
    }
    const network = readFileSync(path.join(iris, 'model.onnx'))
    await upload('plain', network, 'x.onnx')
    await upload('packed', zipOf([{ name: 'model.onnx', data: network }]), 'x.mar')
    for (const round of ['first', 'restarted']) {
      for (const model of ['iris', 'plain', 'packed']) {
        assert.equal(await classify(server, model), 200, `${model} ${round}`)
      }
      const { workers } = (await json(await server.manage('/models/tool'))) as {
        workers: { pid: number }[]
      }
      const status = readFileSync(`/proc/${workers[0]?.pid}/status`, 'latin1')
      assert.match(status, new RegExp(`^Uid:\t${OTHER_USER}\t`, 'm'))
      assert.match(status, /^Groups:\t *$/m)
      assert.equal(await ask(server, `read:${path.join(state, 'state.json')}`), 'EACCES')
      assert.equal(await ask(server, `read:/proc/${server.pid}/environ`), 'EACCES')
      await server.close()
      assert.deepEqual(listing(temporary), [])
      if (round === 'first') server = await start(t, args, { temporary })
    }
  },
)

test('an isolation that cannot be had ends the start with a reason', async () => {
  const run = (...args: readonly string[]): { status: number | null; stderr: string } =>
    spawnSync(process.execPath, ['dist/cli.js', 'serve', '--port', '0', ...args], {
      encoding: 'utf8',
      env: { PATH: '' },
    })
  const cut = run('--no-egress')
  assert.deepEqual([cut.status, /cut off from the network/.test(cut.stderr)], [2, true], cut.stderr)
  const user = run('--worker-user', 'nobody')
  assert.equal(user.status, 2)
  assert.match(user.stderr, /workerUser needs/)
})
