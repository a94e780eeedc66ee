/** Block U: models that come as a file of a form. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, statfsSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import path from 'node:path'
import process from 'node:process'
import { after, test } from 'node:test'
import { modelNames } from '../helpers/observe.ts'
import { FLOWER, openFiles } from '../helpers/server-process.ts'
import { CLI, json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { zipOf } from '../helpers/zip.ts'
import { assertError, assertUnharmed, block, heldBy, size, startLaboratory } from './harness.ts'
import type { Answer } from './harness.ts'

const model = readFileSync(path.resolve('examples/iris/model.onnx'))
const MIB = 2 ** 20
const BOUNDARY = 'edge'
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`
/** Nothing of an upload may be left for longer than this. */
const REMOVED_MS = 2000

const cleanups: (() => unknown)[] = []
const state = temporaryFolder({ after: (run) => cleanups.push(run as () => unknown) })
const row = block({ settings: { stateDir: state } })
// After the block has closed its server.
after(() => cleanups.forEach((run) => run()))

function part(disposition: string, value: string | Buffer, headers = ''): Buffer {
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; ${disposition}\r\n${headers}\r\n`
  return Buffer.concat([Buffer.from(head), Buffer.from(value), Buffer.from('\r\n')])
}
const field = (name: string, value: string): Buffer => part(`name="${name}"`, value)
const file = (content: string | Buffer = model, name = 'x.onnx', headers = ''): Buffer =>
  part(
    `name="model"; filename="${name}"`,
    content,
    `Content-Type: application/octet-stream\r\n${headers}`,
  )
const form = (...parts: readonly Buffer[]): Buffer =>
  Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)])

/** Sends a body and reads the response, which may come while the body is still being sent. */
function send(
  server: TestServer,
  body: Buffer,
  type = TYPE,
  { isChunked = false, route = '/models' } = {},
): Promise<Answer> {
  const { port } = new URL(server.managementUrl)
  const length = isChunked ? {} : { 'content-length': body.length }
  const headers = { 'content-type': type, connection: 'close', ...length }
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, method: 'POST', path: route, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.once('error', reject)
      response.once('end', () => {
        const seen = Object.entries(response.headers)
        const answered = new Headers(
          seen.map(([name, value]): [string, string] => [name, String(value)]),
        )
        resolve({ status: response.statusCode ?? 0, headers: answered, text })
      })
    })
    request.once('error', reject)
    request.end(body)
  })
}

/** Files and folders of models that came over the network. */
const stored = (folder = state): string[] =>
  existsSync(path.join(folder, 'models'))
    ? readdirSync(path.join(folder, 'models'), { recursive: true }).map(String)
    : []
const nothingStored = (): Promise<boolean> => until(() => stored().length === 0, REMOVED_MS)

/** Every body is refused with one of the statuses, on both paths, and nothing is left of any. */
async function assertRefused(
  server: TestServer,
  cases: readonly [title: string, body: Buffer, type?: string][],
  statuses: readonly number[],
): Promise<void> {
  for (const [title, body, type] of cases) {
    for (const route of ['/models', '/models/upload']) {
      const answer = await send(server, body, type, { route })
      assert.ok(statuses.includes(answer.status), `${title}: ${answer.status} ${answer.text}`)
      assertError(answer, ...statuses)
    }
  }
  await nothingStored()
  assert.deepEqual(await modelNames(server), ['reference'])
}

async function assertTaken(server: TestServer, body: Buffer): Promise<void> {
  const { status, text } = await send(server, body)
  assert.equal(status, 200, text)
}

row(
  'U01',
  'uploads that are broken off halfway leave no file and no descriptor',
  async (server) => {
    const { port } = new URL(server.managementUrl)
    const bytes = size(2, 50) * MIB
    const body = form(file(randomBytes(bytes)))
    const head = `POST /models HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${TYPE}\r\nContent-Length: ${body.length}\r\n\r\n`
    const half = Buffer.concat([Buffer.from(head), body.subarray(0, bytes / 2)])
    const breakOff = async (): Promise<void> => {
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => {})
      await new Promise((resolve) => socket.write(half, resolve))
      await until(() => stored().length > 0)
      socket.resetAndDestroy()
      await nothingStored()
    }
    await breakOff()
    const before = openFiles(server.pid)
    for (let round = 0; round < size(20, 100); round += 1) await breakOff()
    await until(() => openFiles(server.pid) <= before)
    assert.equal((await server.call('GET', '/models')).text.includes('transfers'), false)
  },
  { timeout: 600_000 },
)

test('U02 a file of exactly the limit is taken, one byte more is not', async (t) => {
  const folder = temporaryFolder(t)
  const server = await startLaboratory(t, {
    settings: { maxModelBytes: model.length, stateDir: folder },
  })
  const before = heldBy(server)
  for (const isChunked of [false, true]) {
    for (const more of [1, 2, 1000, 3 * MIB]) {
      const larger = form(file(Buffer.alloc(model.length + more)))
      assertError(await send(server, larger, TYPE, { isChunked }), 413)
      await until(() => stored(folder).length === 0, REMOVED_MS)
    }
    const { status, text } = await send(server, form(file()), TYPE, { isChunked })
    assert.equal(status, 200, text)
    await server.unregister('x')
  }
  await assertUnharmed(server, before)
})

row('U03', 'two files, none, another field, a file sent as text are refused', async (server) => {
  await assertRefused(
    server,
    [
      ['two files', form(file(), file())],
      ['two files, apart', form(file(), field('model_name', 'x'), file())],
      ['no file', form(field('model_name', 'x'))],
      ['nothing', form()],
      ['no parts and no end', Buffer.from(`--${BOUNDARY}`)],
      ['empty body', Buffer.alloc(0)],
      ['another field', form(part('name="file"; filename="x.onnx"', model))],
      ['another field beside', form(file(), part('name="more"; filename="x.onnx"', model))],
      ['no field', form(part('filename="x.onnx"', model))],
      ['text', form(part('name="model"', model))],
      ['a model and a URL', form(field('url', 'x.onnx'), file())],
      ['no end', file()],
    ],
    [400],
  )
})

row('U04', 'a file is stored under a name of our own, whatever it is called', async (server) => {
  const names = [
    'filename="../../x.onnx"',
    `filename*=utf-8''..%2f..%2fx.onnx`,
    `filename="${'n'.repeat(10_240)}.onnx"`,
    'filename=""',
    'filename="\0.onnx"',
    'filename="..\\\\..\\\\x.onnx"',
    'filename="CON.onnx"',
    'filename="/etc/passwd"',
    'filename="x.onnx\0.png"',
    `filename*=utf-8''%00%0a%2e%2e%2fx.onnx`,
    `filename*=utf-8''%ff%fe.onnx`,
    'filename="\u202exnno.onnx"',
    'filename=".."',
    'filename="x.onnx"; filename="../y.onnx"',
  ]
  let taken = 0
  for (const [index, name] of names.entries()) {
    const body = form(field('model_name', `m${index}`), part(`name="model"; ${name}`, model))
    const { status, text } = await send(server, body)
    assert.ok(status === 200 || status === 400, `${name}: ${status} ${text}`)
    if (status === 400) {
      await nothingStored()
      continue
    }
    taken += 1
    const files = stored().filter((one) => one.includes('/'))
    assert.equal(files.length, 1)
    const [folder = '', own = ''] = files[0]?.split('/') ?? []
    assert.match(folder, /^[0-9a-f-]{36}$/)
    assert.match(own, /^upload-[0-9a-f-]{36}(\.onnx)?$/)
    await server.unregister(`m${index}`)
  }
  assert.ok(taken >= 3, `${taken} taken`)
})

row(
  'U05',
  '200 fields, a hundred thousand fields, as many empty parts are refused',
  async (server) => {
    const many = (count: number, one: Buffer): Buffer =>
      Buffer.concat(Array.from({ length: count }, () => one))
    const most = size(20_000, 100_000)
    const empty = Buffer.from(`--${BOUNDARY}\r\n\r\n\r\n`)
    await assertRefused(
      server,
      [
        ['200 fields', form(many(200, field('a', 'b')), file())],
        ['51 fields', form(many(51, field('model_name', 'b')), file())],
        [`${most} fields`, form(many(most, field('a', 'b')), file())],
        [`${most} empty parts`, form(many(most, empty), file())],
        [`${most} empty parts behind the file`, form(file(), many(most, empty))],
        [`${most} boundaries`, form(many(most, Buffer.from(`--${BOUNDARY}\r\n`)), file())],
        ['a large field', form(field('model_name', 'x'.repeat(MIB)), file())],
        ['a large field without a name', form(part('', 'x'.repeat(2 * MIB)), file())],
      ],
      [400, 413],
    )
  },
  { timeout: 600_000 },
)

row(
  'U06',
  'a boundary that is missing, too long, broken or wrong is a mistake of the client',
  async (server) => {
    const body = form(file())
    await assertRefused(
      server,
      [
        ['missing', body, 'multipart/form-data'],
        ['empty', body, 'multipart/form-data; boundary='],
        ['empty, in quotes', body, 'multipart/form-data; boundary=""'],
        ['long', body, `multipart/form-data; boundary=${'b'.repeat(5000)}`],
        ['wrong', body, 'multipart/form-data; boundary=other'],
        ['quoted and open', body, 'multipart/form-data; boundary="edge'],
        ['two', body, 'multipart/form-data; boundary=other; boundary=edge'],
      ],
      [400],
    )
    // Node's client sends no such header.
    const { port } = new URL(server.managementUrl)
    for (const mark of ['\r', '\n', '\r\n', '\0']) {
      const text = await new Promise<string>((resolve) => {
        let seen = ''
        const socket = connect(Number(port), '127.0.0.1', () => {
          socket.write(
            `POST /models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${body.length}\r\n` +
              `Content-Type: multipart/form-data; boundary=ed${mark}ge\r\n\r\n`,
          )
          socket.write(body)
        })
        socket.on('data', (chunk) => (seen += chunk.toString()))
        socket.on('error', () => {})
        socket.on('close', () => resolve(seen))
      })
      assert.match(text, /^HTTP\/1\.1 400 /, JSON.stringify(mark))
    }
  },
)

row(
  'U07',
  'headers of a part that are too large or too many are refused, not cut',
  async (server) => {
    const lines = (count: number): string =>
      Array.from({ length: count }, (_, index) => `X-${index}: y\r\n`).join('')
    const long = (bytes: number): string => `X-Long: ${'y'.repeat(bytes)}\r\n`
    const fieldWith = (headers: string): Buffer => part('name="model_name"', 'x', headers)
    await assertRefused(
      server,
      [
        ['100 KiB', form(file(model, 'x.onnx', long(100 * 1024)))],
        ['10 000 lines', form(file(model, 'x.onnx', lines(10_000)))],
        ['51 lines', form(file(model, 'x.onnx', `${lines(51)}${long(32 * 1024)}`))],
        ['100 KiB, in a field', form(fieldWith(long(100 * 1024)), file())],
        ['10 000 lines, in a field', form(fieldWith(lines(10_000)), file())],
        ['one line without an end', form(fieldWith('X'.repeat(100 * 1024)), file())],
        [
          'small enough each, too large together',
          form(...Array.from({ length: 40 }, () => fieldWith(long(1024))), file()),
        ],
      ],
      [400, 413],
    )
  },
)

row('U08', 'a field called __proto__ is refused and changes nothing', async (server) => {
  const names = '__proto__ constructor prototype toString __proto__.x __proto__[x] model[__proto__]'
  await assertRefused(
    server,
    names.split(' ').map((name) => [name, form(field(name, 'x'), file())]),
    [400],
  )
  await assertRefused(
    server,
    [['a file', form(part('name="__proto__"; filename="x"', 'x'))]],
    [400],
  )
  await assertTaken(server, form(file()))
  const described = (await json(await server.manage('/models/x'))) as Record<string, unknown>[]
  assert.equal('x' in (described[0] ?? {}), false)
  await server.unregister('x')
})

/**
 * The command of a server that sees a small disk at `folder`, which nobody else sees: it goes with
 * the server. `undefined` where this user may not make one.
 */
function withSmallDisk(folder: string, mib: number): readonly [string, ...string[]] | undefined {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/unshare')) return undefined
  const mount = `mount -t tmpfs -o size=${mib}m,mode=700 tmpfs '${folder}' && exec "$0" "$@"`
  return ['unshare', '-m', 'sh', '-c', mount, process.execPath, CLI]
}

test('U09 uploads that fill the disk are refused, the others are whole, and the room comes back', async (t) => {
  const disk = temporaryFolder(t)
  const command = withSmallDisk(disk, size(16, 100))
  if (command === undefined) {
    t.skip('needs root and unshare')
    return
  }
  const server = await serve(t, [], { stateDir: path.join(disk, 'state') }, { command })
  const seenByServer = `/proc/${server.pid}/root${disk}`
  const free = (): number => {
    const { bavail, bsize } = statfsSync(seenByServer)
    return bavail * bsize
  }
  const whole = free()
  const bytes = size(5, 60) * 1_000_000
  const fits = Math.floor(whole / bytes)
  const archive = zipOf([
    { name: 'model.onnx', data: model },
    { name: 'filler.bin', data: randomBytes(bytes), isStored: true },
  ])
  const named = (name: string, content = archive): Buffer =>
    form(field('model_name', name), file(content, 'm.zip'))
  const statuses: number[] = []
  // With its length it is refused before it is written; in chunks, when the disk is full.
  for (const isChunked of [false, true]) {
    const answers = await Promise.all(
      Array.from({ length: size(5, 20) }, (_, index) =>
        send(server, named(`m${index}-${isChunked}`), TYPE, { isChunked }),
      ),
    )
    for (const answer of answers) {
      statuses.push(answer.status)
      if (answer.status !== 200) assertError(answer, 503, 507)
    }
  }
  // Two come at a time. Both may find the disk full, halfway; then neither is taken.
  assert.ok(statuses.includes(503), statuses.join(' '))
  // With as many in place as fit, another one never does.
  for (let count = (await modelNames(server)).length; count < fits; count += 1)
    assert.equal((await send(server, named(`more${count}`))).status, 200)
  for (const isChunked of [false, true])
    assertError(await send(server, named('last'), TYPE, { isChunked }), 507)
  assert.equal((await modelNames(server)).length, fits)
  for (const name of await modelNames(server)) {
    assert.equal((await server.fetch(`/predictions/${name}`, FLOWER)).status, 200, name)
    assert.equal((await server.manage(`/models/${name}`, { method: 'DELETE' })).status, 200)
  }
  await until(() => whole - free() < MIB, REMOVED_MS)
  assert.equal((await send(server, named('again'))).status, 200)
})

row(
  'U10',
  'a name that is registered, or being registered, is taken',
  async (server) => {
    const named = form(field('model_name', 'taken'), file())
    for (let round = 0; round < size(1, 20); round += 1) {
      const both = await Promise.all([send(server, named), send(server, named)])
      assert.deepEqual(both.map(({ status }) => status).toSorted(), [200, 409])
      for (const answer of both) if (answer.status !== 200) assertError(answer, 409)
      assertError(await send(server, named), 409)
      assertError(await send(server, form(field('model_name', 'reference'), file())), 409)
      await until(() => stored().filter((name) => name.includes('/')).length === 1, REMOVED_MS)
      assert.deepEqual(await json(await server.manage('/models')), {
        models: [
          { modelName: 'reference', modelUrl: path.resolve('examples/iris') },
          { modelName: 'taken', modelUrl: 'x.onnx' },
        ],
      })
      await server.unregister('taken')
      await nothingStored()
    }
  },
  { timeout: 600_000 },
)
