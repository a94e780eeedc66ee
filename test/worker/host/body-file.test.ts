/** Bodies beside the socket: the file between front-end and worker, and what clients see of it. */
import assert from 'node:assert/strict'
import fs, { fstatSync, readFileSync, readdirSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { BODY_HEADER } from '../../../src/contract/internal-headers.ts'
import { ProtocolError } from '../../../src/errors.ts'
import { BodyFile } from '../../../src/worker/host/body-file.ts'
import type { LoadedModel } from '../../../src/worker/process/handler.ts'
import { BodyReader } from '../../../src/worker/process/loop/body-reader.ts'
import type { WireRequest } from '../../../src/worker/wire/messages.ts'
import { modelPath } from '../../helpers/onnx-model.ts'
import { randomNumbers } from '../../helpers/random.ts'
import { serve } from '../../helpers/server.ts'

const KIB = 1024
const MIB = 1024 * KIB
const skip = BodyFile.create() === undefined && 'there is no file system in memory here'

function newFile(t: TestContext): BodyFile {
  const file = BodyFile.create()
  assert.ok(file)
  t.after(() => file.close())
  return file
}

function request(id: string, ...values: readonly Buffer[]): WireRequest {
  const parameters = values.map((value) => ({ name: 'body', contentType: 'a/b', value }))
  return { id, headers: [['x', 'y']], parameters }
}

/** A model that answers with copies of the bodies, through the worker's own reader. */
function readerOf(file: BodyFile): (requests: readonly WireRequest[]) => Promise<Buffer[]> {
  assert.ok(file.readDescriptor)
  const echo: LoadedModel = {
    needsEventLoop: false,
    predict: (requests) => ({
      code: 200,
      message: '',
      predictions: requests.map(({ id, parameters }) => ({
        id,
        contentType: '',
        status: 200,
        reason: '',
        headers: [],
        body: Buffer.from(parameters[0]?.value ?? []),
      })),
    }),
    close: () => {},
  }
  const reader = new BodyReader(file.readDescriptor, echo)
  return async (requests) => (await reader.predict(requests, 0)).predictions.map(({ body }) => body)
}

test(
  'only large single bodies travel in the file, and each is found again',
  { skip },
  async (t) => {
    const file = newFile(t)
    const read = readerOf(file)
    const requests = [
      request('small', Buffer.alloc(KIB, 1)),
      request('large', Buffer.alloc(100 * KIB + 1, 2)),
      request('form', Buffer.alloc(100 * KIB, 3), Buffer.alloc(100 * KIB, 4)),
      request('other', Buffer.alloc(3 * MIB, 5)),
      request('none'),
    ]
    const moved = file.move(requests)
    assert.deepEqual(
      moved.map(({ parameters }) => parameters.map(({ value }) => value.length)),
      [[KIB], [0], [100 * KIB, 100 * KIB], [0], []],
    )
    assert.deepEqual(
      moved.map(({ id, headers }) => [id, headers.length]),
      [
        ['small', 1],
        ['large', 2],
        ['form', 1],
        ['other', 2],
        ['none', 1],
      ],
    )
    const bodies = await read(moved)
    for (const [index, { parameters }] of requests.entries()) {
      assert.ok(bodies[index]?.equals(parameters[0]?.value ?? Buffer.alloc(0)), String(index))
    }
  },
)

test('the tensors behind the JSON of a binary request are aligned', { skip }, async (t) => {
  const file = newFile(t)
  assert.ok(file.readDescriptor)
  const places: number[] = []
  const reader = new BodyReader(file.readDescriptor, {
    needsEventLoop: false,
    predict: (requests) => {
      for (const { parameters } of requests) places.push(parameters[0]?.value.byteOffset ?? -1)
      return { code: 200, message: '', predictions: [] }
    },
    close: () => {},
  })
  const lengths = [0, 1, 63, 64, 65, 137]
  const requests = lengths.map((length, index) => ({
    ...request(String(index), Buffer.alloc(100 * KIB)),
    headers: [['inference-header-content-LENGTH', String(length)]] as const,
  }))
  await reader.predict(file.move(requests), 0)
  assert.deepEqual(
    places.map((place, index) => (place + (lengths[index] ?? 0)) % 64),
    lengths.map(() => 0),
  )
})

test('batches in flight never share a place, whatever their sizes', { skip }, async (t) => {
  const file = newFile(t)
  const read = readerOf(file)
  const numbers = randomNumbers(5)
  const random = (below: number): number => numbers.integer(0, below - 1)
  const inFlight: { moved: readonly WireRequest[]; bodies: Buffer[] }[] = []
  let beside = 0
  for (let step = 0; step < 600; step += 1) {
    if (inFlight.length < 8 && random(3) > 0) {
      const bodies = Array.from({ length: 1 + random(3) }, () =>
        Buffer.alloc(random(4) === 0 ? random(64 * KIB) : random(5 * MIB), random(256)),
      )
      const moved = file.move(bodies.map((body, index) => request(`${step}-${index}`, body)))
      beside += moved.filter(({ headers }) => headers.length > 1).length
      inFlight.push({ moved, bodies })
    }
    if (random(2) === 0) {
      const oldest = inFlight.shift()
      if (oldest === undefined) continue
      const found = await read(oldest.moved)
      assert.ok(
        oldest.bodies.every((body, index) => found[index]?.equals(body)),
        `step ${step}`,
      )
      file.release()
    }
  }
  assert.ok(beside > 300, `${beside} bodies were beside the socket`)
})

test('a file that was large gives its memory back when nothing is in flight', { skip }, (t) => {
  const file = newFile(t)
  const sizes = [15 * MIB, 15 * MIB, 15 * MIB]
  for (const size of sizes) file.move([request('a', Buffer.alloc(size))])
  assert.ok(fstatSync(file.readDescriptor ?? -1).size >= 45 * MIB)
  for (const _ of sizes) file.release()
  assert.equal(fstatSync(file.readDescriptor ?? -1).size, 0)
  // Too much for the file goes by the socket.
  const [by] = file.move([request('b', Buffer.alloc(33 * MIB))])
  assert.equal(by?.parameters[0]?.value.length, 33 * MIB)
})

test(
  'a full file system is left alone: bodies go by the socket, and the memory is given back',
  { skip },
  (t) => {
    const file = newFile(t)
    const size = (): number => fstatSync(file.readDescriptor ?? -1).size
    const isMoved = (): boolean =>
      file.move([request('a', Buffer.alloc(MIB))])[0]?.parameters[0]?.value.length === 0
    assert.equal(isMoved(), true)
    const failing = t.mock.method(fs, 'writeSync', () => {
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    })
    syncBuiltinESMExports()
    t.after(() => {
      failing.mock.restore()
      syncBuiltinESMExports()
    })
    assert.equal(isMoved(), false)
    assert.equal(size(), MIB, 'the first batch is still at the worker')
    failing.mock.restore()
    syncBuiltinESMExports()
    assert.equal(isMoved(), false, 'it is not tried again')
    for (const _ of [1, 2, 3]) file.release()
    assert.equal(size(), 0)
  },
)

test(
  'the file has no name, the worker can only read it, and a wrong reference is an error',
  { skip },
  async (t) => {
    const before = new Set(readdirSync('/dev/shm'))
    const file = newFile(t)
    assert.deepEqual(
      readdirSync('/dev/shm').filter((name) => name.startsWith('onnxd') && !before.has(name)),
      [],
    )
    const flags = readFileSync(`/proc/self/fdinfo/${file.readDescriptor}`, 'utf8')
    assert.equal(Number(/^flags:\s+(\d+)$/m.exec(flags)?.[1]) % 10, 0, 'read only')
    const read = readerOf(file)
    for (const reference of ['0+10', '5', '-1+2', 'x', '99999999999999999+1']) {
      const bad: WireRequest = {
        ...request('a', Buffer.alloc(0)),
        headers: [[BODY_HEADER, reference]],
      }
      await assert.rejects(read([bad]), ProtocolError, reference)
    }
    // Only the last header counts: what stands before it is the client's.
    const first: WireRequest = {
      ...request('a', Buffer.from('own')),
      headers: [
        [BODY_HEADER, '0+10'],
        ['x', 'y'],
      ],
    }
    assert.deepEqual(await read([first]), [Buffer.from('own')])
  },
)

test('a client cannot name a place of the file', { skip }, async (t) => {
  const server = await serve(t, [modelPath('identity_uint8')])
  const secret = Buffer.alloc(200 * KIB, 'secret')
  const post = async (body: Buffer, headers: Record<string, string> = {}): Promise<Buffer> => {
    const answer = await server.fetch('/predictions/identity_uint8', {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/octet-stream',
        accept: 'application/octet-stream',
        'tensor-shape': `1,${body.length}`,
        ...headers,
      },
    })
    assert.equal(answer.status, 200)
    return Buffer.from(await answer.arrayBuffer())
  }
  assert.ok((await post(secret)).equals(secret))
  for (const name of ['onnxd-body-at', 'Onnxd-Body-At', 'ONNXD-BODY-AT']) {
    assert.deepEqual(await post(Buffer.from('mine'), { [name]: '0+4' }), Buffer.from('mine'))
  }
})
