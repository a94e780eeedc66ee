/** `--record`: what a server records, and what it does not. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { Recording } from '../../src/recording/recording.ts'
import type { RecordedRequest } from '../../src/recording/recording.ts'
import { startCommand } from '../helpers/command.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { streamModel } from '../helpers/stream-model.ts'

/** The records of a file, and of the files of further HTTP processes, the oldest first. */
async function recordsIn(file: string): Promise<RecordedRequest[]> {
  const recording = await Recording.open(file)
  const records = await Promise.all(recording.places.map((place) => recording.read(place)))
  await recording.close()
  const intact = records.map((record) => record ?? assert.fail('a record is damaged'))
  return intact.toSorted((one, other) => one.time - other.time)
}

/** Waits until the server has recorded or dropped this many requests. */
async function counted(server: TestServer, recorded: number, dropped = 0): Promise<void> {
  await until(async () => {
    const page = await (await server.manage('/metrics')).text()
    const sum = (name: string): number =>
      [...page.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'gm'))]
        .map(([, count]) => Number(count))
        .reduce((total, count) => total + count, 0)
    const now = [sum('onnxd_recorded_requests_total'), sum('onnxd_recording_dropped_total')]
    return now[0] === recorded && now[1] === dropped
  })
}

test('requests of every dialect are recorded as they were sent, without secrets', async (t) => {
  const file = path.join(temporaryFolder(t), 'requests.rec')
  const words = handlerModel(t, 'words', {})
  const server = await serve(t, [iris, words, streamModel(t, 'chunks')], {
    record: file,
    recordRedact: 'x-user',
    allowHandlers: true,
  })
  const secret = { authorization: 'Bearer hunter2', 'x-user': 'ann', cookie: 'hunter2' }
  const form = new FormData()
  form.append('features', '[[5.1,3.5,1.4,0.2]]')
  const binary = new Uint8Array(Float32Array.of(5.1, 3.5, 1.4, 0.2).buffer)
  form.append('file', new Blob([binary], { type: 'application/octet-stream' }), 'x.bin')
  const infer = {
    inputs: [{ name: 'features', datatype: 'FP32', shape: [1, 4], data: [5.1, 3.5, 1.4, 0.2] }],
  }
  const sent: [route: string, init: RequestInit][] = [
    [
      '/predictions/iris?access_token=hunter2&a=1',
      { ...FLOWER, headers: { ...FLOWER.headers, ...secret } },
    ],
    ['/v2/models/iris/versions/1.0/infer', { method: 'POST', body: JSON.stringify(infer) }],
    ['/v1/models/iris:predict', { ...FLOWER, body: '{"instances":[[5.1,3.5,1.4,0.2]]}' }],
    ['/invocations?model_name=words', { method: 'POST', body: form }],
    ['/predictions/iris', { ...FLOWER, body: '{"features":"no"}' }],
    [
      '/v2/models/iris/infer',
      { method: 'POST', body: JSON.stringify(infer), headers: { 'accept-encoding': 'gzip' } },
    ],
  ]
  sent.push(['/predictions/chunks', { method: 'POST', body: 'texts:["one","two"]' }])
  const bodies: string[] = []
  for (const [route, init] of sent) bodies.push(await (await server.fetch(route, init)).text())
  assert.equal((await server.fetch('/predictions/none', FLOWER)).status, 404)
  await counted(server, sent.length)
  assert.ok(!readFileSync(file).includes('hunter2'))
  const records = await recordsIn(file)
  const brief = records.map(({ method, url, route, model, status }) => [
    method,
    url,
    route,
    model,
    status,
  ])
  assert.deepEqual(brief.slice(0, 3), [
    ['POST', '/predictions/iris?access_token=[redacted]&a=1', '/predictions/:model', 'iris', 200],
    [
      'POST',
      '/v2/models/iris/versions/1.0/infer',
      '/v2/models/:model/versions/:version/infer',
      'iris',
      200,
    ],
    ['POST', '/v1/models/iris:predict', '/v1/models/:model(^[^:/]+)::predict', 'iris', 200],
  ])
  assert.deepEqual(
    brief.map(([, , , , status]) => status).slice(3),
    [200, 400, 200, 200],
    bodies.join('\n'),
  )
  const [first, second, , multipart, bad, zipped, streamed] = records
  assert.ok(first && second && multipart && bad && zipped && streamed)
  assert.equal(streamed.response?.omittedBytes, bodies.at(-1)?.length)
  assert.equal(streamed.responseBody, undefined)
  assert.equal(first.body.toString(), FLOWER.body)
  assert.equal(first.responseBody?.toString(), bodies[0])
  assert.deepEqual(first.redacted.toSorted(), ['access_token', 'authorization', 'cookie', 'x-user'])
  assert.equal(second.version, '1.0')
  assert.ok(first.ms > 0 && first.ms < 60_000)
  assert.ok(Math.abs(first.time - Date.now()) < 60_000)
  assert.equal(bad.responseBody?.toString(), bodies[4])
  // The form was built anew, with equal parts.
  const type = new Map(multipart.headers).get('content-type') ?? ''
  const boundary = /boundary=(.+)$/.exec(type)?.[1] ?? assert.fail(type)
  const octets = Buffer.from(binary).toString('latin1')
  assert.equal(
    multipart.body.toString('latin1'),
    [
      `--${boundary}\r\nContent-Disposition: form-data; name="features"\r\n\r\n[[5.1,3.5,1.4,0.2]]`,
      `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n` +
        `Content-Type: application/octet-stream\r\n\r\n${octets}`,
      `--${boundary}--\r\n`,
    ].join('\r\n'),
  )
  assert.equal(zipped.responseBody?.toString('latin1', 0, 2), '\u001f\u008b')
})

test('kill -9 loses nothing that was written, the next server goes on, and models are chosen', async (t) => {
  const file = path.join(temporaryFolder(t), 'requests.rec')
  const settings = { record: file, recordMib: 1 }
  const first = await serve(t, [iris], settings)
  for (let count = 0; count < 20; count += 1)
    await (await first.fetch('/predictions/iris', FLOWER)).text()
  await counted(first, 20)
  // A second server must not write the same file.
  const second = startCommand(t, ['--record', file, '--record-mib', '1', iris])
  assert.equal((await second.ended).code, 2)
  assert.match(second.errors(), /another server records to it/)
  await first.kill()
  assert.equal((await recordsIn(file)).length, 20)
  const third = await serve(t, [iris, `other=${iris}`], { ...settings, recordModels: 'other' })
  for (const name of ['iris', 'other'])
    await (await third.fetch(`/predictions/${name}`, FLOWER)).text()
  await third.close()
  const records = await recordsIn(file)
  assert.deepEqual(
    records.slice(-2).map(({ model }) => model),
    ['iris', 'other'],
  )
  assert.equal(records.length, 21)
  assert.ok(statSync(file).size <= 1024 * 1024)
})

test('a full disk costs records and no request; a link is refused', async (t) => {
  const folder = temporaryFolder(t)
  const file = path.join(folder, 'requests.rec')
  const command = startCommand(t, ['--record', file, '--record-mib', '64', iris], {
    prefix: ['bash', '-c', 'ulimit -f 64; exec "$0" "$@"'],
  })
  const { inference, management } = await command.ready()
  const body = JSON.stringify({ features: Array.from({ length: 500 }, () => [5.1, 3.5, 1.4, 0.2]) })
  const dropped = async (): Promise<number> => {
    const page = await (await fetch(`${management}/metrics`)).text()
    return Number(/^onnxd_recording_dropped_total\{reason="disk"\} (\d+)$/m.exec(page)?.[1])
  }
  let sent = 0
  do {
    const { status } = await fetch(`${inference}/predictions/iris`, { ...FLOWER, body })
    assert.equal(status, 200)
    sent += 1
  } while (sent < 10 || ((await dropped()) === 0 && sent < 200))
  await command.logged(/requests cannot be recorded/)
  assert.ok((await dropped()) > 0)
  assert.equal((await command.end('SIGTERM')).code, 0)
  assert.ok((await recordsIn(file)).length > 0)
  const link = path.join(folder, 'link.rec')
  symlinkSync(path.join(folder, 'elsewhere'), link)
  const refused = startCommand(t, ['--record', link, iris])
  assert.equal((await refused.ended).code, 2)
  assert.match(refused.errors(), /it is a symbolic link/)
  assert.ok(!existsSync(path.join(folder, 'elsewhere')))
})
