import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify from 'fastify'
import { pino } from 'pino'
import { ServerError } from '../../../src/errors.ts'
import { Transfers } from '../../../src/models/transfers/transfers.ts'
import { receiveUpload } from '../../../src/models/transfers/upload.ts'
import { errorHandling } from '../../../src/routes/http/error-handler.ts'
import { UPLOAD_FIELD, readUpload } from '../../../src/routes/management/upload.ts'
import type {
  ReadUploadOptions,
  Upload,
  UploadedFile,
} from '../../../src/routes/management/upload.ts'
import { until } from '../../helpers/until.ts'

const BOUNDARY = 'a-boundary'
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`
const MAX_BYTES = 200_000

interface Answer {
  readonly status: number
  readonly type: string
  readonly message: string
  readonly retryAfter: string | undefined
}

interface Uploads {
  readonly port: number
  readonly folder: string
  readonly uploads: (UploadedFile & { readonly fields: Upload['fields'] })[]
  /** Emits `end` with what `readUpload` failed with, or `undefined`. */
  readonly events: EventEmitter
  post(body: string | Buffer, contentType?: string): Promise<Answer>
}

/** A server whose one route reads an upload and keeps it. */
async function build(t: TestContext, changed: Partial<ReadUploadOptions> = {}): Promise<Uploads> {
  const parent = mkdtempSync(path.join(tmpdir(), 'onnxd-upload-'))
  const folder = path.join(parent, 'private')
  const uploads: Uploads['uploads'] = []
  const events = new EventEmitter()
  const options: ReadUploadOptions = {
    folder,
    maxBytes: MAX_BYTES,
    transfers: new Transfers(2, pino({ level: 'silent' })),
    ...changed,
  }
  const app = Fastify({ forceCloseConnections: true }).withTypeProvider<TypeBoxTypeProvider>()
  errorHandling(app)
  await app.register(multipart)
  app.post('/models', async (request) => {
    try {
      const { file: received, fields } = await readUpload(request, options)
      if (received === undefined) throw new ServerError('BadRequestException', 'no file')
      uploads.push({ ...received, fields })
      events.emit('end', undefined)
      return await Promise.resolve({ bytes: received.bytes })
    } catch (error) {
      events.emit('end', error)
      throw error
    }
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.after(async () => {
    await app.close()
    rmSync(parent, { recursive: true, force: true })
  })
  const { port } = app.server.address() as AddressInfo
  return { port, folder, uploads, events, post: (body, type = TYPE) => post(port, body, type) }
}

function post(port: number, body: string | Buffer, contentType: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': contentType, 'content-length': Buffer.byteLength(body) }
    const request = httpRequest({ port, method: 'POST', path: '/models', headers }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => {
        const { type = '', message = '' } = JSON.parse(text) as { type?: string; message?: string }
        const retryAfter = response.headers['retry-after']
        resolve({ status: response.statusCode ?? 0, type, message, retryAfter })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** A part: bytes with a file name, or a text. */
function part(name: string, value: string | Buffer, fileName?: string, extra = ''): Buffer {
  const file = fileName === undefined ? '' : `; filename="${fileName}"`
  const type = fileName === undefined ? '' : 'Content-Type: application/octet-stream\r\n'
  return Buffer.concat([
    Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n${type}${extra}\r\n`,
    ),
    Buffer.from(value),
    Buffer.from('\r\n'),
  ])
}

function bodyOf(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)])
}

const file = (value: string | Buffer = 'weights', name = 'x.onnx'): Buffer =>
  part(UPLOAD_FIELD, value, name)

function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}

test('a file is stored under a name of our own, with fields before and after it', async (t) => {
  const { folder, uploads, post: send } = await build(t)
  const weights = Buffer.alloc(MAX_BYTES, '\r\n--')
  assert.equal(
    (
      await send(
        bodyOf(
          part('model_name', 'grüße'),
          part('batch_size', '1'),
          part('other', 'x'),
          file(weights, 'digits.tar.gz'),
          part('batch_size', '8', undefined, 'Content-Type: application/json\r\n'),
        ),
      )
    ).status,
    200,
  )
  const [upload] = uploads
  assert.ok(upload)
  assert.equal(upload.bytes, MAX_BYTES)
  assert.equal(upload.fileName, 'digits.tar.gz')
  assert.ok(readFileSync(upload.path).equals(weights))
  assert.match(path.basename(upload.path), /^upload-[0-9a-f-]{36}\.tar\.gz$/)
  assert.equal(path.dirname(upload.path), folder)
  assert.equal(statSync(upload.path).mode & 0o7777, 0o600)
  assert.equal(statSync(folder).mode & 0o7777, 0o700)
  assert.deepEqual(upload.fields, [
    ['model_name', 'grüße'],
    ['batch_size', '1'],
    ['other', 'x'],
    ['batch_size', '8'],
  ])
})

test('exactly the limit is taken and one byte more is not, announced or not', async (t) => {
  const { folder, post: send, port } = await build(t)
  const exact = await send(bodyOf(file(Buffer.alloc(MAX_BYTES))))
  assert.equal(exact.status, 200)
  rmSync(folder, { recursive: true })
  const more = await send(bodyOf(file(Buffer.alloc(MAX_BYTES + 1))))
  assert.equal(more.status, 413)
  assert.equal(more.type, 'PayloadTooLargeException')
  assert.deepEqual(filesIn(folder), [])
  // The length alone is enough: nothing is sent here.
  const socket = connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(
    `POST /models HTTP/1.1\r\nhost: x\r\ncontent-type: ${TYPE}\r\ncontent-length: 99999999\r\n\r\n`,
  )
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.match(answer.toString(), /^HTTP\/1\.1 413 /)
  assert.deepEqual(filesIn(folder), [])
})

test('a form without exactly one file in its field is refused, and nothing is left of it', async (t) => {
  const { folder, uploads, post: send } = await build(t)
  const nameless = Buffer.from(
    `--${BOUNDARY}\r\nContent-Disposition: form-data; filename="x.onnx"\r\n\r\nx\r\n`,
  )
  const cases: [what: string, body: Buffer, status: number][] = [
    ['no parts', bodyOf(), 400],
    ['no file', bodyOf(part('model_name', 'x')), 400],
    ['two files', bodyOf(file(), file()), 400],
    ['two files far apart', bodyOf(file(Buffer.alloc(150_000)), part('x', 'y'), file()), 400],
    ['wrong name', bodyOf(part('file', 'x', 'x.onnx')), 400],
    ['another file beside it', bodyOf(file(), part('labels', 'x', 'labels.txt')), 400],
    ['as text', bodyOf(part(UPLOAD_FIELD, 'weights')), 400],
    ['name missing', bodyOf(nameless), 400],
    ['__proto__', bodyOf(file(), part('__proto__', 'x')), 400],
    ['__proto__ first', bodyOf(part('__proto__', 'x'), file()), 400],
    ['toString', bodyOf(file(), part('toString', 'x')), 400],
    ['constructor', bodyOf(part('constructor', 'x'), file()), 400],
    ['__proto__ as a file', bodyOf(part('__proto__', 'x', 'x.onnx'), file()), 400],
    [
      '200 fields',
      bodyOf(...Array.from({ length: 200 }, (_, i) => part(`f${i}`, 'x')), file()),
      413,
    ],
    [
      'file, then 200 fields',
      bodyOf(file(), ...Array.from({ length: 200 }, () => part('f', 'x'))),
      413,
    ],
    [
      '10 000 empty parts',
      bodyOf(file(), ...Array.from({ length: 10_000 }, () => part('', ''))),
      413,
    ],
    ['large field', bodyOf(file(), part('model_name', 'x'.repeat(4097))), 413],
    ['large unknown field', bodyOf(part('other', 'x'.repeat(100_000)), file()), 413],
    ['no end', bodyOf(file()).subarray(0, -20), 400],
    ['end inside a field', Buffer.concat([file(), part('a', 'b').subarray(0, 70)]), 400],
    ['empty', Buffer.alloc(0), 400],
    ['no multipart', Buffer.from('weights'), 400],
  ]
  for (const [what, body, status] of cases) {
    const answer = await send(body)
    assert.equal(answer.status, status, `${what}: ${answer.message}`)
    assert.ok(!answer.message.includes(folder), what)
    assert.deepEqual(filesIn(folder), [], what)
  }
  assert.equal(uploads.length, 0)
  const most = await send(bodyOf(file(), part('model_name', 'x'.repeat(4096))))
  assert.equal(most.status, 200)
  // The parser cuts the headers of a part at a limit; what was cut must not count as a form.
  for (const extra of [`X: ${'x'.repeat(100_000)}\r\n`, 'X: y\r\n'.repeat(10_000)]) {
    assert.equal((await send(bodyOf(part(UPLOAD_FIELD, 'x', 'x.onnx', extra)))).status, 413)
    const name = `Content-Disposition: form-data; name="${UPLOAD_FIELD}"; filename="x.onnx"`
    const late = `--${BOUNDARY}\r\n${extra}${name}\r\n\r\nx\r\n`
    assert.equal((await send(bodyOf(Buffer.from(late)))).status, 413)
  }
})

test('a boundary that is missing, wrong or odd is the client’s fault', async (t) => {
  const { folder, post: send, port } = await build(t)
  for (const type of [
    'multipart/form-data',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary="',
    'multipart/form-data; boundary=another',
    `multipart/form-data; boundary=${'b'.repeat(71)}`,
    `multipart/form-data; boundary=${'b'.repeat(5000)}`,
  ]) {
    const answer = await send(bodyOf(file()), type)
    assert.equal(answer.status, 400, type.slice(0, 60))
    assert.deepEqual(filesIn(folder), [])
  }
  for (const type of [
    `Multipart/Form-Data;charset=utf-8; boundary="${BOUNDARY}"`,
    `multipart/form-data; boundary=${BOUNDARY}; charset=utf-8`,
  ]) {
    assert.equal((await send(bodyOf(file()), type)).status, 200)
  }
  // A line break in the boundary is one in the header.
  const socket = connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(
    'POST /models HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=a\rb\r\n\r\n',
  )
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.match(answer.toString(), /^HTTP\/1\.1 400 /)
})

test('names of files decide nothing but the format', async (t) => {
  const { folder, uploads, post: send } = await build(t)
  const names: [given: string, safe: string][] = [
    ['../../x.onnx', 'x.onnx'],
    ['..%2f..%2fx.onnx', 'x.onnx'],
    ['C:\\\\evil\\\\x.mar', 'x.mar'],
    ['/etc/passwd', 'passwd'],
    ['', 'model'],
    ['...', 'model'],
    ['a\0b.onnx', 'a_b.onnx'],
    [`${'n'.repeat(10_000)}.onnx`, `${'n'.repeat(95)}.onnx`],
  ]
  for (const [given, safe] of names) {
    const answer = await send(bodyOf(file('x', given)))
    assert.equal(answer.status, 200, JSON.stringify(given.slice(0, 50)))
    const upload = uploads.at(-1)
    assert.equal(upload?.fileName, safe)
    assert.equal(path.dirname(upload?.path ?? ''), folder)
    assert.match(path.basename(upload?.path ?? ''), /^upload-[0-9a-f-]{36}(?:\.onnx|\.mar)?$/)
  }
  const extended = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${UPLOAD_FIELD}"; filename*=utf-8''..%2f..%2fy.onnx\r\n\r\nx\r\n`
  const answer = await send(bodyOf(Buffer.from(extended)))
  assert.ok(answer.status === 400 || uploads.at(-1)?.fileName === 'y.onnx')
  assert.equal(filesIn(folder).length, uploads.length)
  assert.equal(existsSync(path.join(folder, '../../x.onnx')), false)
})

/** Starts an upload of which half is sent; resolves when the server has begun to write it. */
async function startHalf({ port, folder }: Uploads): Promise<Socket> {
  const before = filesIn(folder).length
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => socket.destroy())
  const head = `POST /models HTTP/1.1\r\nhost: x\r\ncontent-type: ${TYPE}\r\ncontent-length: ${MAX_BYTES}\r\n\r\n`
  socket.write(
    Buffer.concat([Buffer.from(head), file(Buffer.alloc(MAX_BYTES / 2)).subarray(0, -2)]),
  )
  await until('the upload has begun', () => filesIn(folder).length !== before)
  return socket
}

test('nothing is left of 100 uploads that are aborted halfway, no file and no descriptor', async (t) => {
  const uploads = await build(t)
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  const hasProc = existsSync('/proc/self/fd')
  let before = 0
  for (let round = 0; round < 100; round += 1) {
    if (round === 1 && hasProc) before = descriptors()
    const socket = await startHalf(uploads)
    const ended = once(uploads.events, 'end')
    if (round % 2 === 0) socket.resetAndDestroy()
    else socket.end()
    const [error] = (await ended) as [unknown]
    assert.ok(error !== undefined)
    socket.destroy()
    assert.deepEqual(filesIn(uploads.folder), [])
  }
  if (hasProc)
    assert.ok(descriptors() <= before + 4, `${before} descriptors became ${descriptors()}`)
})

test('two uploads run at a time; a third is told when to come again', async (t) => {
  const uploads = await build(t)
  const first = await startHalf(uploads)
  const second = await startHalf(uploads)
  t.after(() => second.destroy())
  const refused = await uploads.post(bodyOf(file()))
  assert.equal(refused.status, 503)
  assert.equal(refused.type, 'ServiceUnavailableException')
  assert.match(refused.retryAfter ?? '', /^[1-9]\d*$/)
  const ended = once(uploads.events, 'end')
  first.resetAndDestroy()
  await ended
  assert.equal((await uploads.post(bodyOf(file()))).status, 200)
  assert.equal(filesIn(uploads.folder).length, 2)
})

test('a client that goes on after everything that may come is cut off', async (t) => {
  const uploads = await build(t)
  const socket = connect(uploads.port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.on('error', () => socket.destroy())
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write(
    `POST /models HTTP/1.1\r\nhost: x\r\ncontent-type: ${TYPE}\r\ntransfer-encoding: chunked\r\n\r\n`,
  )
  const nameless = Buffer.concat([
    Buffer.from(`--${BOUNDARY}\r\nX: y\r\n\r\n`),
    Buffer.alloc(60_000),
  ])
  let sent = 0
  const more = (): void => {
    if (!socket.writable) return
    sent += nameless.length
    socket.write(`${nameless.length.toString(16)}\r\n`)
    socket.write(nameless)
    socket.write('\r\n', more)
  }
  more()
  await closed
  assert.ok(sent < 20_000_000)
  assert.deepEqual(filesIn(uploads.folder), [])
})

test('a model for which the disk has no room is refused before anything is written', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-upload-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  async function* never(): AsyncGenerator<Buffer> {
    yield await Promise.reject<Buffer>(new Error('the stream was read'))
  }
  const options = { folder, maxBytes: 2 ** 60 }
  await assert.rejects(receiveUpload(never(), 'x.onnx', 2 ** 60, options), (error) => {
    assert.ok(error instanceof ServerError)
    assert.equal(error.statusCode, 507)
    return true
  })
  await assert.rejects(receiveUpload(never(), 'x.onnx', 0, options), /the stream was read/)
  assert.deepEqual(readdirSync(folder), [])
})
