/** Hostile and odd uploads, through `POST /models` of a running server. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statfsSync,
} from 'node:fs'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { modelNames } from '../helpers/observe.ts'
import { openFiles } from '../helpers/server-process.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { zipOf } from '../helpers/zip.ts'

const network = readFileSync(path.resolve('examples/iris/model.onnx'))
const BOUNDARY = 'edge'
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`
const FLOWER = {
  method: 'POST',
  body: '{"features":[[5.1,3.5,1.4,0.2]]}',
  headers: { 'content-type': 'application/json' },
}

function part(disposition: string, value: string | Buffer, headers = ''): Buffer {
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; ${disposition}\r\n${headers}\r\n`
  return Buffer.concat([Buffer.from(head), Buffer.from(value), Buffer.from('\r\n')])
}
const field = (name: string, value: string): Buffer => part(`name="${name}"`, value)
const file = (content: string | Buffer = network, name = 'x.onnx', headers = ''): Buffer =>
  part(
    `name="model"; filename="${name}"`,
    content,
    `Content-Type: application/octet-stream\r\n${headers}`,
  )
const form = (...parts: readonly Buffer[]): Buffer =>
  Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)])

/** Sends a body, chunked where its length is not to be known, and gives the status; 0 when the connection was cut. */
function post(server: TestServer, body: Buffer, type = TYPE, isChunked = false): Promise<number> {
  const { port } = new URL(server.managementUrl)
  const length = isChunked ? {} : { 'content-length': body.length }
  return new Promise((resolve) => {
    const request = httpRequest(
      { port, method: 'POST', path: '/models', headers: { 'content-type': type, ...length } },
      (response) => {
        response.resume()
        response.once('end', () => resolve(response.statusCode ?? 0))
        response.once('error', () => resolve(response.statusCode ?? 0))
      },
    )
    request.once('error', () => resolve(0))
    request.end(body)
  })
}

const stored = (state: string): string[] =>
  existsSync(path.join(state, 'models'))
    ? readdirSync(path.join(state, 'models'), { recursive: true }).map(String)
    : []

async function start(
  t: TestContext,
  settings: Parameters<typeof serve>[2] = {},
): Promise<{ server: TestServer; state: string }> {
  const state = temporaryFolder(t)
  return { server: await serve(t, [], { stateDir: state, ...settings }), state }
}

/** Every body is refused with one of the statuses, and nothing is left of any. */
async function assertRefused(
  { server, state }: { server: TestServer; state: string },
  cases: readonly [title: string, body: Buffer, type?: string][],
  statuses: readonly number[],
): Promise<void> {
  for (const [title, body, type] of cases) {
    const status = await post(server, body, type)
    assert.ok(statuses.includes(status), `${title}: ${status}`)
  }
  await until(() => stored(state).length === 0)
  assert.deepEqual(await modelNames(server), [])
}

test('U01: uploads that are broken off halfway leave no file and no descriptor', async (t) => {
  const { server, state } = await start(t)
  const { port } = new URL(server.managementUrl)
  const half = form(file(randomBytes(2_000_000))).subarray(0, 1_000_000)
  const breakOff = async (): Promise<void> => {
    const request = httpRequest({
      port,
      method: 'POST',
      path: '/models',
      headers: { 'content-type': TYPE, 'content-length': 2_000_300 },
    })
    request.on('error', () => {})
    request.write(half)
    await until(() => stored(state).length > 0)
    request.destroy()
    await until(() => stored(state).length === 0)
  }
  await breakOff()
  const before = openFiles(server.pid)
  for (let round = 0; round < 50; round++) await breakOff()
  await until(() => openFiles(server.pid) <= before)
  assert.equal(await post(server, form(file())), 200)
})

test('U02: a file of exactly the limit is taken, one byte more is not', async (t) => {
  const { server, state } = await start(t, { maxModelBytes: network.length })
  for (const isChunked of [false, true]) {
    const larger = form(file(Buffer.alloc(network.length + 1)))
    assert.equal(await post(server, larger, TYPE, isChunked), 413)
  }
  await until(() => stored(state).length === 0)
  assert.equal(await post(server, form(file())), 200)
})

test('U03: two files, none, another field, a file sent as text are refused', async (t) => {
  await assertRefused(
    await start(t),
    [
      ['two files', form(file(), file())],
      ['no file', form(field('model_name', 'x'))],
      ['nothing', form()],
      ['another field', form(part('name="file"; filename="x.onnx"', network))],
      ['text', form(part('name="model"', network))],
    ],
    [400],
  )
})

test('U04: whatever a file is called, it is stored under a name of our own', async (t) => {
  const { server, state } = await start(t)
  const names = [
    'filename="../../x.onnx"',
    `filename*=utf-8''..%2f..%2fx.onnx`,
    `filename="${'n'.repeat(10_240)}.onnx"`,
    'filename=""',
    'filename="\0.onnx"',
    'filename="..\\\\..\\\\x.onnx"',
    'filename="CON.onnx"',
  ]
  let taken = 0
  for (const [index, name] of names.entries()) {
    const body = form(field('model_name', `m${index}`), part(`name="model"; ${name}`, network))
    const status = await post(server, body)
    assert.ok(status === 200 || status === 400, `${name}: ${status}`)
    if (status === 200) taken += 1
  }
  assert.ok(taken >= 3, `${taken} taken`)
  const files = stored(state).filter((name) => name.includes('/'))
  assert.equal(files.length, taken)
  for (const name of files) {
    const [folder = '', own = ''] = name.split('/')
    assert.match(folder, /^[0-9a-f-]{36}$/)
    assert.match(own, /^upload-[0-9a-f-]{36}(\.onnx)?$/)
  }
})

test('U05: 200 fields, a hundred thousand fields, as many empty parts are refused', async (t) => {
  const many = (count: number, one: Buffer): Buffer =>
    Buffer.concat(Array.from({ length: count }, () => one))
  await assertRefused(
    await start(t),
    [
      ['200 fields', form(many(200, field('a', 'b')), file())],
      ['100 000 fields', form(many(100_000, field('a', 'b')), file())],
      [
        '100 000 empty parts',
        form(many(100_000, Buffer.from(`--${BOUNDARY}\r\n\r\n\r\n`)), file()),
      ],
    ],
    // 0: cut off while it was still sending.
    [400, 413, 0],
  )
})

test('U06: a boundary that is missing, too long, broken or wrong is the client’s fault', async (t) => {
  const body = form(file())
  await assertRefused(
    await start(t),
    [
      ['missing', body, 'multipart/form-data'],
      ['empty', body, 'multipart/form-data; boundary='],
      ['long', body, `multipart/form-data; boundary=${'b'.repeat(5000)}`],
      ['wrong', body, 'multipart/form-data; boundary=other'],
      ['quoted and open', body, 'multipart/form-data; boundary="edge'],
    ],
    [400],
  )
})

test('U07: headers of a part that are too large or too many are refused, not cut', async (t) => {
  const lines = (count: number): string =>
    Array.from({ length: count }, (_, index) => `X-${index}: y\r\n`).join('')
  await assertRefused(
    await start(t),
    [
      ['100 KiB', form(file(network, 'x.onnx', `X-Long: ${'y'.repeat(100 * 1024)}\r\n`))],
      ['10 000 lines', form(file(network, 'x.onnx', lines(10_000)))],
      [
        '100 KiB, in a field',
        form(part('name="model_name"', 'x', `X-Long: ${'y'.repeat(100 * 1024)}\r\n`), file()),
      ],
      [
        'small enough each, too large together',
        form(
          ...Array.from({ length: 40 }, () =>
            part('name="model_name"', 'x', `X-Long: ${'y'.repeat(1024)}\r\n`),
          ),
          file(),
        ),
      ],
    ],
    [400, 413],
  )
})

test('U08: a field called __proto__ is refused and changes nothing', async (t) => {
  const uploads = await start(t)
  await assertRefused(
    uploads,
    [
      ['__proto__', form(field('__proto__', 'x'), file())],
      ['constructor', form(field('constructor', 'x'), file())],
    ],
    [400],
  )
  assert.equal(Object.hasOwn(Object.prototype, 'x'), false)
  assert.equal(await post(uploads.server, form(file())), 200)
})

/** A disk of that size; `undefined` where this user may not mount one. */
function smallDisk(t: TestContext, mib: number): string | undefined {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=700`, 'tmpfs', folder], {
      stdio: 'ignore',
    })
  } catch {
    rmSync(folder, { recursive: true })
    return undefined
  }
  t.after(() => {
    execFileSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true })
  })
  return folder
}

test('U09: uploads that fill the disk are refused, the others are whole, and the room comes back', async (t) => {
  const disk = smallDisk(t, 16)
  if (disk === undefined) {
    t.skip('needs the right to mount a small disk')
    return
  }
  const state = path.join(disk, 'state')
  mkdirSync(state, { mode: 0o700 })
  const server = await serve(t, [], { stateDir: state })
  const free = (): number => {
    const { bavail, bsize } = statfsSync(disk)
    return bavail * bsize
  }
  const before = free()
  const filler = randomBytes(5_000_000)
  const archive = zipOf([
    { name: 'model.onnx', data: network },
    { name: 'filler.bin', data: filler },
  ])
  const statuses: number[] = []
  // Announced, it is refused before it is written; chunked, when the disk says so.
  for (const isChunked of [false, true]) {
    const round = await Promise.all(
      Array.from({ length: 5 }, (_, index) =>
        post(
          server,
          form(field('model_name', `m${index}-${isChunked}`), file(archive, 'm.zip')),
          TYPE,
          isChunked,
        ),
      ),
    )
    statuses.push(...round)
  }
  assert.ok(statuses.includes(200), statuses.join(' '))
  assert.deepEqual(
    statuses.filter((status) => ![200, 503, 507, 0].includes(status)),
    [],
  )
  // With two in place a third never fits.
  for (let count = (await modelNames(server)).length; count < 2; count++)
    await post(server, form(field('model_name', `more${count}`), file(archive, 'm.zip')))
  const last = form(field('model_name', 'last'), file(Buffer.concat([archive, filler]), 'm.zip'))
  assert.equal(await post(server, last), 507)
  assert.equal(await post(server, last, TYPE, true), 507)
  for (const name of await modelNames(server)) {
    assert.equal((await server.fetch(`/predictions/${name}`, FLOWER)).status, 200, name)
    assert.equal((await server.manage(`/models/${name}`, { method: 'DELETE' })).status, 200)
  }
  await until(() => before - free() < 1_000_000)
  assert.equal(await post(server, form(file(archive, 'again.zip'))), 200)
  // Before the disk is taken away.
  await server.close()
})

test('U10: a name that is registered, or being registered, is taken', async (t) => {
  const { server, state } = await start(t)
  const named = form(field('model_name', 'taken'), file())
  const both = await Promise.all([post(server, named), post(server, named)])
  assert.deepEqual(both.toSorted(), [200, 409])
  assert.equal(await post(server, named), 409)
  await until(() => stored(state).filter((name) => name.includes('/')).length === 1)
  assert.deepEqual(await json(await server.manage('/models')), {
    models: [{ modelName: 'taken', modelUrl: 'x.onnx' }],
  })
})
