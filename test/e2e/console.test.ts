/** The console over HTTP: its page, its live data, and who may read them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import path from 'node:path'
import { test } from 'node:test'
import { EventParser } from '../../src/pages/console/logic/event-parser.ts'
import { readEvent } from '../../src/pages/console/logic/live.ts'
import type { FailedLoad, LiveEvent, Version } from '../../src/pages/console/logic/live.ts'
import { freePort } from '../helpers/free-port.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { workersFor } from '../helpers/http-processes.ts'
import { isAlive, json, serve, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const IRIS = path.resolve('examples/iris')
const TOKEN = 'a-token-of-this-test'
const HTML = { headers: { accept: 'text/html,application/xhtml+xml' }, redirect: 'manual' } as const
const MOST_STREAMS = 16

const openServer = (): Promise<TestServer> => sharedServer([IRIS])
const closedServer = (): Promise<TestServer> => sharedServer([IRIS], { managementToken: TOKEN })
const withToken = { headers: { authorization: `Bearer ${TOKEN}` } }

test('a browser that opens the management listener gets to the console; others get what they got', async () => {
  for (const server of [await openServer(), await closedServer()]) {
    const answer = await server.manage('/', HTML)
    assert.deepEqual([answer.status, answer.headers.get('location')], [302, 'console'])
    assert.notEqual((await server.manage('/', { redirect: 'manual' })).status, 302)
    assert.equal((await server.fetch('/console')).status, 404, 'not on the inference listener')
  }
})

test('the page loads its files from this server only, and has no data without the token', async () => {
  const server = await closedServer()
  const page = await server.manage('/console')
  const policy = page.headers.get('content-security-policy') ?? ''
  assert.match(policy, /default-src 'none'/)
  assert.match(policy, /script-src 'self'/)
  assert.match(policy, /frame-ancestors 'none'/)
  assert.doesNotMatch(policy, /unsafe|\*/)
  const html = await page.text()
  const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].flatMap(([, file = '']) =>
    file.startsWith('data:') ? [] : [file],
  )
  assert.deepEqual(files.toSorted(), ['console/console.css', 'console/console.js'])
  assert.doesNotMatch(html, /<script>|<style|style=/)
  for (const file of files) {
    const answer = await server.manage(`/${file}`)
    assert.equal(answer.status, 200, file)
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
    assert.doesNotMatch(await answer.text(), /iris|https?:\/\/(?!www\.w3\.org)/, file)
  }
})

test('all data of the console needs the token', async () => {
  const server = await closedServer()
  for (const route of ['/console/events', '/console/settings', '/console/weight-cache'])
    for (const headers of [{}, { authorization: 'Bearer wrong' }]) {
      const answer = await server.manage(route, { headers })
      assert.equal(answer.status, 401, route)
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm="onnxd"/)
      await answer.body?.cancel()
    }
  const stream = await openStream(server, withToken)
  assert.equal((await stream.next()).isAll, true)
  stream.close()
})

test('with both listeners on one port, the console is there too', async (t) => {
  const port = await freePort()
  const server = await serve(t, [IRIS], { port, managementPort: port, managementToken: TOKEN })
  assert.equal((await server.fetch('/', HTML)).headers.get('location'), 'console')
  assert.equal((await server.fetch('/console')).status, 200)
  assert.equal((await server.fetch('/console/events')).status, 401)
  assert.equal(
    (await server.fetch('/predictions/iris', { method: 'POST', body: '[[1,2,3,4]]' })).status,
    200,
  )
})

test('a stream begins with the whole state, then has what changed', async () => {
  const server = await openServer()
  const stream = await openStream(server)
  const first = await stream.next()
  assert.equal(first.isAll, true)
  const { server: info, failed, modelMemory } = first.set as Record<string, object>
  assert.deepEqual(info, { ...info, state: 'READY', pid: server.pid, hasToken: false })
  assert.deepEqual(failed, [])
  assert.deepEqual(modelMemory, { ...modelMemory, loadedModels: 0, isThrashing: false })
  const iris = first.set['model/iris/1.0'] as Version
  const [worker] = iris.workers
  assert.deepEqual(
    [iris.status, iris.readyWorkers, iris.statuses['2xx']],
    ['READY', workersFor(1), 0],
  )
  assert.ok(isAlive(worker?.pid ?? 0))
  assert.ok((worker?.memory?.privateBytes ?? 0) > 0)
  assert.ok(first.log.some(({ msg }) => msg === 'model loaded'))

  await server.fetch('/predictions/iris', { method: 'POST', body: '[[1,2,3,4]]' })
  await server.fetch('/predictions/iris', { method: 'POST', body: 'no numbers' })
  const changed = await until(async () => {
    const event = await stream.next()
    assert.equal(event.isAll, false)
    const version = event.set['model/iris/1.0'] as Version | undefined
    return version?.statuses['2xx'] === 1 && version.statuses['4xx'] === 1 ? event : undefined
  })
  assert.equal(changed.set['failed'], undefined, 'what did not change is not sent')
  const { workerSeconds } = changed.set['model/iris/1.0'] as Version
  assert.equal(workerSeconds?.cumulative.at(-1), 2)
  assert.equal(workerSeconds.bounds.length, workerSeconds.cumulative.length - 1)
  stream.close()
})

test('the log of a stream leaves out requests that succeeded', async () => {
  const server = await openServer()
  await server.fetch('/predictions/iris', { method: 'POST', body: '[[1,2,3,4]]' })
  await server.fetch('/predictions/unknown', { method: 'POST', body: '[[1,2,3,4]]' })
  const stream = await openStream(server)
  const statuses: number[] = []
  await until(async () => {
    const { log } = await stream.next()
    statuses.push(...log.filter(({ msg }) => msg === 'request').map(({ status }) => Number(status)))
    return statuses.includes(404)
  })
  assert.deepEqual(
    statuses.filter((status) => status < 400),
    [],
  )
  stream.close()
})

test('a model that failed is in the stream with the log lines of its worker', async (t) => {
  const folder = handlerModel(t, 'sentiment')
  const code =
    "console.error('12 tokens')\nthrow new Error('no vocabulary')\nexport function handle() {}\n"
  writeFileSync(path.join(folder, 'service.mjs'), code)
  const server = await sharedServer([IRIS], { allowHandlers: true, allowLocalPaths: true })
  const route = `/models?url=${folder}&synchronous=false`
  assert.equal((await server.manage(route, { method: 'POST' })).status, 202)
  const stream = await openStream(server)
  const failure = await until(async () => {
    const failed = (await stream.next()).set['failed'] as FailedLoad[] | undefined
    return failed?.[0]
  })
  assert.equal(failure.modelName, 'sentiment')
  assert.match(failure.reason, /no vocabulary/)
  assert.ok(failure.log?.includes('12 tokens'), failure.log?.join('\n'))
  stream.close()
})

test('the number of streams is limited, and a closed one makes room', async () => {
  const server = await openServer()
  const streams = await Promise.all(Array.from({ length: MOST_STREAMS }, () => openStream(server)))
  const refused = await server.manage('/console/events')
  assert.equal(refused.status, 503)
  assert.match(await refused.text(), /16 pages of the console are open/)
  assert.ok(refused.headers.has('retry-after'))
  for (const stream of streams) assert.equal((await stream.next()).isAll, true)
  streams[0]?.close()
  await until(async () => {
    const answer = await server.manage('/console/events')
    await answer.body?.cancel()
    return answer.status === 200
  })
  for (const stream of streams) stream.close()
})

test('HEAD has no stream', async () => {
  const server = await openServer()
  assert.equal((await server.manage('/console/events', { method: 'HEAD' })).status, 405)
})

test('a stopping server ends its streams and does not wait for them', async (t) => {
  const server = await serve(t, [IRIS], { drainTimeout: 60 })
  const stream = await openStream(server)
  await stream.next()
  const begun = performance.now()
  await server.close()
  assert.ok(performance.now() - begun < 20_000)
  await stream.ended
})

test('a web page of another origin cannot read the events', async () => {
  const server = await openServer()
  for (const headers of [{ origin: 'http://127.0.0.1:1' }, { 'sec-fetch-site': 'cross-site' }]) {
    const answer = await server.manage('/console/events', { headers })
    assert.equal(answer.status, 403)
    assert.equal(answer.headers.get('access-control-allow-origin'), null)
  }
  // A host name that resolves to this machine for a moment (DNS rebinding).
  assert.equal(await statusFor(server.managementUrl, 'attacker.example'), 403)
})

test('the settings have their origin, and no secret', async () => {
  const server = await closedServer()
  const answer = await server.manage('/console/settings', withToken)
  const text = await answer.text()
  assert.doesNotMatch(text, new RegExp(TOKEN))
  const { settings } = JSON.parse(text) as {
    settings: { name: string; value?: unknown; isSet?: boolean; from: string }[]
  }
  const of = (wanted: string): unknown => settings.find(({ name }) => name === wanted)
  assert.deepEqual(of('managementToken'), {
    ...(of('managementToken') as object),
    isSet: true,
    from: 'command line',
  })
  assert.deepEqual(of('drainTimeout'), {
    ...(of('drainTimeout') as object),
    value: 5,
    from: 'command line',
  })
  const queueSize = { ...(of('queueSize') as object), value: 100, from: 'default' }
  assert.deepEqual(of('queueSize'), queueSize)
  assert.deepEqual(await json(await server.manage('/console/weight-cache', withToken)), {
    isOn: false,
  })
})

interface Stream {
  /** Waits for the next event. */
  next(): Promise<LiveEvent>
  readonly ended: Promise<unknown>
  close(): void
}

/** Opens a stream of the console. It must be closed. */
async function openStream(server: TestServer, init: RequestInit = {}): Promise<Stream> {
  const stop = new AbortController()
  const response = await server.manage('/console/events', { ...init, signal: stop.signal })
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/)
  const parser = new EventParser()
  const events: LiveEvent[] = []
  const decoder = new TextDecoder()
  const read = async (): Promise<void> => {
    for await (const chunk of response.body ?? []) {
      const text = decoder.decode(chunk as Uint8Array, { stream: true })
      events.push(...parser.push(text).map(readEvent))
    }
  }
  const ended = read().catch(() => {})
  return { next: () => until(() => events.shift()), ended, close: () => stop.abort() }
}

/** The status of a request with another `Host` header, which `fetch` does not send. */
async function statusFor(url: string, host: string): Promise<number | undefined> {
  const sent = request(`${url}/console/events`, { headers: { host } }).end()
  const [response] = (await once(sent, 'response')) as [{ statusCode?: number; resume(): void }]
  response.resume()
  return response.statusCode
}
