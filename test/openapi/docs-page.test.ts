import assert from 'node:assert/strict'
import { createServer, request as httpRequest } from 'node:http'
import path from 'node:path'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { json } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const IRIS = path.resolve('examples/iris')
const PREFIX = '/behind/a/prefix'

test('the page, its files and the document are reached behind a prefix', async (t) => {
  const server = await sharedServer([IRIS])
  const base = await startProxy(t, server.inferenceUrl)
  const page = await fetch(`${base}/docs`)
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
  const html = await page.text()
  const loaded = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, target = '']) => target)
  assert.deepEqual(loaded, [
    'data:,',
    'docs/swagger-ui.css',
    'playground',
    'docs/swagger-ui-bundle.js',
    'docs/start.js',
  ])
  for (const target of loaded.slice(1)) {
    const answer = await fetch(new URL(target, page.url))
    assert.equal(answer.status, 200, target)
    const text = await answer.text()
    assert.ok(text.length > 100, target)
    if (target.endsWith('.css')) assert.doesNotMatch(text, /@import|url\(\s*["']?https?:/)
  }
  const start = await fetch(new URL('docs/start.js', page.url))
  const [, url = ''] = /url: '([^']+)'/.exec(await start.text()) ?? []
  const document = await fetch(new URL(url, page.url))
  const { servers } = (await json(document)) as { servers: { url: string }[] }
  const api = new URL(servers[0]?.url ?? '', document.url)
  assert.equal(api.href, `${base}/`)
  const answer = await fetch(new URL('predictions/iris', api), {
    method: 'POST',
    body: '[[5.8,2.7,5.1,1.9]]',
  })
  assert.equal(answer.status, 200)
})

test('the page with a slash behind it leads to the one without', async (t) => {
  const server = await sharedServer([IRIS])
  const base = await startProxy(t, server.inferenceUrl)
  const page = await fetch(`${base}/docs/`)
  assert.deepEqual([page.status, page.url], [200, `${base}/docs`])
})

test('the page may load from its own server only, and is not on the management address', async () => {
  const server = await sharedServer([IRIS])
  const { headers } = await server.fetch('/docs')
  const policy = new Map(
    (headers.get('content-security-policy') ?? '')
      .split('; ')
      .map((rule): [string, string] => [
        rule.split(' ')[0] ?? '',
        rule.split(' ').slice(1).join(' '),
      ]),
  )
  assert.equal(policy.get('default-src'), "'none'")
  assert.equal(policy.get('script-src'), "'self'")
  assert.equal(policy.get('connect-src'), "'self'")
  for (const [rule, sources] of policy) assert.doesNotMatch(sources, /http|\*/, rule)
  assert.equal((await server.manage('/docs')).status, 404)
})

/**
 * A proxy that serves `target` below its own path prefix and does not send the prefix on. Returns
 * its URL.
 */
async function startProxy(t: TestContext, target: string): Promise<string> {
  const proxy = createServer((incoming, outgoing) => {
    const { method, headers, url = '' } = incoming
    assert.ok(url.startsWith(`${PREFIX}/`), url)
    const forwarded = httpRequest(
      target + url.slice(PREFIX.length),
      { method, headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(outgoing)
      },
    )
    incoming.pipe(forwarded)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  const address = proxy.address()
  assert.ok(typeof address === 'object' && address !== null)
  return `http://127.0.0.1:${address.port}${PREFIX}`
}
