/**
 * The Open Inference Protocol in the worker: binary tensors, compression, classes, and rejected
 * requests.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib'
import { DIALECT_HEADER } from '../../../../../src/contract/internal-headers.ts'
import type { LoadedModel } from '../../../../../src/worker/process/handler.ts'
import { chooseCoding } from '../../../../../src/worker/process/onnx/content-coding.ts'
import type { WireHeader } from '../../../../../src/worker/wire/messages.ts'
import {
  JSON_LENGTH,
  answerOf,
  binaryElements,
  errorOf,
  inferRequest,
  outputsOf,
} from '../../../../helpers/infer.ts'
import type { InferAnswer, InferRequest } from '../../../../helpers/infer.ts'
import { loadModel, modelPath, parameter, predict } from '../../../../helpers/onnx-model.ts'
import { assertSame } from '../../../../helpers/same.ts'
const digits = path.resolve('examples/digits')

async function infer(model: LoadedModel, request: InferRequest): Promise<InferAnswer> {
  const { route, headers, contentType, body } = request
  const dialect: WireHeader[] = route === 'predictions' ? [] : [[DIALECT_HEADER, route]]
  const answer = await predict(model, {
    headers: [...dialect, ...headers],
    parameters: [parameter('body', body, contentType)],
  })
  return answerOf(answer)
}

/** The error of a request that is refused, its status in front. */
async function refusal(model: LoadedModel, request: InferRequest): Promise<string> {
  const answer = await infer(model, request)
  return `${answer.status} ${answer.status === 200 ? answer.body.toString() : errorOf(answer)}`
}

function ints(...values: readonly number[]): Buffer {
  return Buffer.from(Int32Array.from(values).buffer)
}

function floats(...values: readonly number[]): Buffer {
  return Buffer.from(Float32Array.from(values).buffer)
}

const ROW = Array.from({ length: 16 }, (_, index) => index)
const ONES = ROW.map(() => 1)
const SUMS = ROW.map((value) => value + 1)
const DIFFERENCES = ROW.map((value) => value - 1)

function simpleInput(name: string, rest: object = { data: ROW }): object {
  return { name, datatype: 'INT32', shape: [1, 16], ...rest }
}

const BINARY_64 = { parameters: { binary_data_size: 64 } }
const JSON_BOTH = [simpleInput('INPUT0'), simpleInput('INPUT1', { data: ONES })]
const BINARY_BOTH = [simpleInput('INPUT0', BINARY_64), simpleInput('INPUT1', BINARY_64)]

test('binary slices go to their inputs in order, and come in the order of the response', async (t) => {
  const model = await loadModel(t, modelPath('simple', '1'), { options: { modelVersion: '7' } })
  const inputs = [simpleInput('INPUT1', BINARY_64), simpleInput('INPUT0')]
  const mixed = await infer(model, inferRequest({ id: 'é', inputs }, ints(...ONES)))
  const text = mixed.body.toString()
  assert.match(text, /^\{"id":"é","model_name":"tested","model_version":"7","outputs":/)
  assert.deepEqual(
    outputsOf(mixed).map(({ name, data }) => [name, data]),
    [
      ['OUTPUT0', SUMS],
      ['OUTPUT1', DIFFERENCES],
    ],
  )
  const outputs = [
    { name: 'OUTPUT1', parameters: { binary_data: true } },
    { name: 'OUTPUT0', parameters: { binary_data: false } },
  ]
  // Every alignment of the tail.
  for (let padding = 0; padding < 8; padding++) {
    const json = { parameters: { x: '-'.repeat(padding) }, inputs: BINARY_BOTH, outputs }
    const request = inferRequest(json, ints(...ROW, ...ONES))
    const [first, second] = outputsOf(await infer(model, request))
    assert.deepEqual([first?.name, first?.bytes], ['OUTPUT1', ints(...DIFFERENCES)])
    assert.deepEqual([second?.name, second?.data], ['OUTPUT0', SUMS])
  }
})

test('binary_data_output counts for outputs that are not listed, and for those only', async (t) => {
  const model = await loadModel(t, modelPath('simple', '1'))
  const parameters = { binary_data_output: true, priority: 2, timeout: 5, sequence_id: 'a' }
  const isBinary = async (json: object): Promise<boolean[]> =>
    outputsOf(await infer(model, inferRequest(json))).map(({ bytes }) => bytes !== undefined)
  assert.deepEqual(await isBinary({ inputs: JSON_BOTH, parameters }), [true, true])
  assert.deepEqual(await isBinary({ inputs: JSON_BOTH, parameters, outputs: [] }), [true, true])
  const outputs = [{ name: 'OUTPUT0' }]
  assert.deepEqual(await isBinary({ inputs: JSON_BOTH, parameters, outputs }), [false])
  assert.deepEqual(await isBinary({ inputs: JSON_BOTH }), [false, false])
})

test('a body is one of the protocol whatever its media type says', async (t) => {
  const model = await loadModel(t, modelPath('simple', '1'))
  const json = inferRequest({ inputs: JSON_BOTH })
  const types = ['', 'application/x-www-form-urlencoded', 'application/octet-stream', 'image/png']
  for (const contentType of types) {
    assert.equal(outputsOf(await infer(model, { ...json, contentType })).length, 2)
  }
  const whole = inferRequest({ inputs: JSON_BOTH }, Buffer.alloc(0))
  assert.equal(outputsOf(await infer(model, whole))[0]?.data?.length, 16)
  const described = await infer(model, { ...json, headers: [['describe', 'true']] })
  assert.equal(outputsOf(described).length, 2)
})

test('a route of MMS accepts the protocol too, with errors in the form of MMS', async (t) => {
  const model = await loadModel(t, modelPath('simple', '1'))
  const binary = {
    ...inferRequest({ inputs: BINARY_BOTH }, ints(...ROW, ...ONES)),
    route: 'predictions',
  } as const
  const gzip: WireHeader = ['Accept-Encoding', 'gzip']
  const answer = await infer(model, { ...binary, headers: [...binary.headers, gzip] })
  assert.deepEqual(outputsOf(answer)[0]?.data, SUMS)
  assert.equal(answer.headers.get('content-encoding'), undefined)
  const refused = await infer(model, { ...binary, headers: [[JSON_LENGTH, '5']] })
  assert.equal(JSON.parse(refused.body.toString()).type, 'InvalidInputException')
})

test('strings keep every byte, however they travel', async (t) => {
  const model = await loadModel(t, modelPath('simple_identity', '1'))
  const ask = (elements: readonly (string | Buffer)[], isBinary = true): Promise<InferAnswer> => {
    const tail = binaryElements(elements)
    const parameters = { binary_data_size: tail.length }
    const input = { name: 'INPUT0', datatype: 'BYTES', shape: [1, elements.length], parameters }
    const json = { inputs: [input], parameters: { binary_data_output: isBinary } }
    return infer(model, inferRequest(json, tail))
  }
  const texts = ['', 'he\0llo', 'é€😀', '\u{10fe41}', 'plain']
  const blobs = [Buffer.from([0, 1, 2, 3]), Buffer.from([0xff, 0xfe, 0, 0x80])]
  const [output] = outputsOf(await ask([...texts, ...blobs]))
  assertSame(output?.bytes, binaryElements([...texts, ...blobs]))
  assert.deepEqual(outputsOf(await ask(texts, false))[0]?.data, texts)
  const notText = await ask(blobs.slice(1), false)
  assert.equal(notText.status, 400)
  assert.match(errorOf(notText), /"OUTPUT0", element 0: .*not valid UTF-8.*binary/)
})

test('binary strings that are cut or counted wrong are refused', async (t) => {
  const model = await loadModel(t, modelPath('simple_identity', '1'))
  const ask = (tail: Buffer, shape: readonly number[]): Promise<string> => {
    const parameters = { binary_data_size: tail.length }
    const input = { name: 'INPUT0', datatype: 'BYTES', shape, parameters }
    return refusal(model, inferRequest({ inputs: [input] }, tail))
  }
  const one = binaryElements(['abc'])
  const cases: [Buffer, number[], RegExp][] = [
    [one.subarray(0, 3), [1, 1], /element 0: the binary data is truncated in the length/],
    [
      one.subarray(0, 6),
      [1, 1],
      /element 0: the binary data is truncated in an element of 3 bytes; 2 bytes are left/,
    ],
    [
      Buffer.from('ffffffff616263', 'hex'),
      [1, 1],
      /an element of 4294967295 bytes; 3 bytes are left/,
    ],
    [one, [1, 2], /shape \[1,2\] requires 2 elements, but the binary data has 1/],
    [
      binaryElements(['a', 'b', 'c']),
      [1, 2],
      /requires 2 elements, but the binary data has more than 2/,
    ],
    [one, [2 ** 40, 2 ** 40], /more elements than supported, but the binary data has 1/],
    [Buffer.alloc(0), [1, 1], /requires 1 element, but the binary data has 0/],
  ]
  for (const [tail, shape, pattern] of cases) {
    assert.match(await ask(tail, shape), pattern)
    assert.match(await ask(tail, shape), /^400 Input "INPUT0"/)
  }
})

test('a tensor without elements takes no bytes and is answered without a tail', async (t) => {
  const model = await loadModel(t, modelPath('identity_fp32', '1'))
  const input = {
    name: 'INPUT0',
    datatype: 'FP32',
    shape: [0, 4],
    data: null,
    parameters: { binary_data_size: 0 },
  }
  const outputs = [{ name: 'OUTPUT0', parameters: { binary_data: true } }]
  for (const tail of [undefined, Buffer.alloc(0)]) {
    const [output] = outputsOf(await infer(model, inferRequest({ inputs: [input] }, tail)))
    assert.deepEqual([output?.shape, output?.data], [[0, 4], []])
  }
  const answer = await infer(model, inferRequest({ inputs: [input], outputs }, Buffer.alloc(0)))
  const [output] = JSON.parse(answer.body.toString()).outputs
  assert.deepEqual(output.parameters, { binary_data_size: 0 })
  assert.equal(answer.headers.get('content-type'), 'application/json')
})

test('a body without JSON feeds the only input', async (t) => {
  const raw = (body: Buffer, headers: WireHeader[] = []): InferRequest => ({
    ...inferRequest('', body, headers),
  })
  const fp32 = await loadModel(t, modelPath('raw_fp32', '1'))
  const [output] = outputsOf(await infer(fp32, raw(floats(1, 2, 3))))
  assert.deepEqual([output?.shape, output?.bytes], [[3], floats(1, 2, 3)])
  assert.match(await refusal(fp32, raw(Buffer.alloc(7))), /^400 .*multiple of 4 bytes, got 7/)

  const single = await loadModel(t, modelPath('raw_bytes1', '1'))
  const [text] = outputsOf(await infer(single, raw(Buffer.from('427'))))
  assert.deepEqual([text?.shape, text?.bytes], [[1], binaryElements(['427'])])

  const two = await loadModel(t, modelPath('identity_fp32', '1'))
  assert.match(await refusal(two, raw(floats(1, 2))), /^400 .*has 2 open dimensions/)
  const shaped = await infer(two, raw(floats(1, 2), [['Tensor-Shape', '2,1']]))
  assert.deepEqual(outputsOf(shaped)[0]?.shape, [2, 1])
  const batched = await loadModel(t, modelPath('identity_fp32', '1'), {
    options: { maxBatchSize: 4 },
  })
  assert.deepEqual(outputsOf(await infer(batched, raw(floats(1, 2))))[0]?.shape, [1, 2])
  const simple = await loadModel(t, modelPath('simple', '1'))
  assert.match(await refusal(simple, raw(ints(...ROW))), /^400 .*model with one input/)
})

test('where the data of an input is not clear, the request is refused', async (t) => {
  const model = await loadModel(t, modelPath('simple', '1'), { options: { maxBatchSize: 8 } })
  const tail = ints(...ROW, ...ONES)
  const both = (first: object, second: object = BINARY_64): object => ({
    inputs: [simpleInput('INPUT0', first), simpleInput('INPUT1', second)],
  })
  const sized = (size: unknown): object => ({ parameters: { binary_data_size: size } })
  const rows = (count: number): object => ({
    shape: [count, 16],
    data: Array.from({ length: count * 16 }, () => 1),
  })
  const listed = (parameters: object): object => ({
    inputs: JSON_BOTH,
    outputs: [{ name: 'OUTPUT0', parameters }],
  })
  const cases: [InferRequest, RegExp][] = [
    [
      inferRequest({ inputs: BINARY_BOTH }, tail.subarray(1)),
      /"INPUT1": "binary_data_size" is 64, but the body has only 63 bytes more/,
    ],
    [
      inferRequest({ inputs: BINARY_BOTH }, Buffer.concat([tail, tail.subarray(0, 1)])),
      /has 129 bytes, but the inputs use only 128/,
    ],
    [
      inferRequest({ inputs: BINARY_BOTH }),
      /the body has only 0 bytes more; the header Inference-Header/,
    ],
    [
      inferRequest(both(sized(60)), tail.subarray(4)),
      /"INPUT0": INT32 of shape \[1,16\] has 64 bytes, got 60/,
    ],
    [inferRequest(both({ data: ROW, ...BINARY_64 }), tail), /both "data" and "binary_data_size"/],
    [inferRequest(both({}, {})), /neither "data" nor "binary_data_size"/],
    [inferRequest(both(sized(-1)), tail), /must be a number of bytes, got "-1"/],
    [inferRequest(both(sized(1.5)), tail), /must be a number of bytes/],
    [inferRequest(both(sized('64')), tail), /must be a number of bytes/],
    [inferRequest(both(sized(2 ** 53)), tail), /must be a number of bytes/],
    [
      inferRequest(both({ parameters: { shared_memory_region: 'r' } }), tail),
      /Shared memory is not supported/,
    ],
    [inferRequest({ inputs: JSON_BOTH, parameters: { triton_x: 1 } }), /"triton_" are reserved/],
    [
      inferRequest({ inputs: JSON_BOTH, parameters: { binary_data_output: 1 } }),
      /"binary_data_output" must be true or false/,
    ],
    [
      inferRequest(listed({ binary_data: 'yes' })),
      /"OUTPUT0": "binary_data" must be true or false/,
    ],
    [inferRequest(listed({ classification: 0.5 })), /"classification" must be a number of classes/],
    [inferRequest({ inputs: [simpleInput('INPUT0')] }), /Missing input "INPUT1"/],
    [
      inferRequest(both(rows(9), rows(9))),
      /batch dimension of the request is 9, but the maximum of the model is 8/,
    ],
    [
      inferRequest(both(rows(1), rows(2))),
      /"INPUT0" and "INPUT1" differ in their batch dimension: 1 and 2/,
    ],
    [inferRequest('', undefined), /Malformed JSON at byte 0/],
    [inferRequest('[1,2]'), /expected an object/],
  ]
  for (const [request, pattern] of cases) {
    const text = await refusal(model, request)
    assert.match(text, /^400 /)
    assert.match(text, pattern)
  }
  const lengths = ['-5', '1e1', '99999999999', '5, 7', 'x', '', '10', '0x10', '+3']
  for (const length of lengths) {
    const headers: WireHeader[] = [[JSON_LENGTH, length]]
    assert.match(
      await refusal(model, inferRequest({ inputs: JSON_BOTH }, undefined, headers)),
      /^400 /,
      length,
    )
  }
  const twice: WireHeader[] = [
    [JSON_LENGTH, '10'],
    [JSON_LENGTH.toLowerCase(), '10'],
  ]
  assert.match(
    await refusal(model, inferRequest({ inputs: JSON_BOTH }, undefined, twice)),
    /^400 Header .*"10, 10"/,
  )
  assert.equal(outputsOf(await infer(model, inferRequest(both(rows(8), rows(8)))))[0]?.shape[0], 8)
})

test('FP16 is only supported as binary data', async (t) => {
  const model = await loadModel(t, modelPath('identity_fp16', '1'))
  const halves = Buffer.from('003c00c1ff7b0100', 'hex')
  const input = {
    name: 'INPUT0',
    datatype: 'FP16',
    shape: [1, 4],
    parameters: { binary_data_size: 8 },
  }
  const parameters = { binary_data_output: true }
  const [output] = outputsOf(
    await infer(model, inferRequest({ inputs: [input], parameters }, halves)),
  )
  assert.deepEqual(output?.bytes, halves)
  assert.match(
    await refusal(model, inferRequest({ inputs: [input] }, halves)),
    /^400 Output "OUTPUT0": FP16/,
  )
  const json = { name: 'INPUT0', datatype: 'FP16', shape: [1, 1], data: [1] }
  assert.match(
    await refusal(model, inferRequest({ inputs: [json], parameters })),
    /^400 Input "INPUT0": FP16/,
  )
})

test('bodies are decompressed by their coding, within the limit', async (t) => {
  const model = await loadModel(t, modelPath('simple', '1'), { options: { maxBodyBytes: 1000 } })
  const plain = inferRequest({ inputs: BINARY_BOTH }, ints(...ROW, ...ONES))
  const coded = (coding: string, body: Buffer): InferRequest => ({
    ...plain,
    headers: [...plain.headers, ['content-encoding', coding]],
    body,
  })
  const gzip = gzipSync(plain.body)
  const zlib = deflateSync(plain.body)
  for (const request of [
    coded('gzip', gzip),
    coded('GZIP', gzip),
    coded('deflate', zlib),
    coded('gzip', zlib),
    coded('identity', plain.body),
  ]) {
    assert.deepEqual(outputsOf(await infer(model, request))[0]?.data, SUMS)
  }
  const original = {
    ...coded('gzip', gzipSync(JSON.stringify({ INPUT0: [ROW], INPUT1: [ONES] }))),
    route: 'predictions',
    headers: [['Content-Encoding', 'gzip']],
  } as const
  assert.deepEqual(JSON.parse((await infer(model, original)).body.toString()).OUTPUT0, [SUMS])

  const damaged = [
    gzip.subarray(0, -9),
    plain.body,
    Buffer.alloc(0),
    Buffer.concat([gzip.subarray(0, 20), gzip]),
  ]
  for (const body of damaged) {
    assert.match(await refusal(model, coded('gzip', body)), /^400 The body is not valid gzip data/)
  }
  const bomb = gzipSync(Buffer.alloc(50_000_000))
  assert.match(
    await refusal(model, coded('gzip', bomb)),
    /^413 .*larger than the limit of 1000 bytes/,
  )
  for (const coding of ['br', 'zstd', 'gzip, deflate', 'x']) {
    const answer = await infer(model, coded(coding, gzip))
    assert.equal(answer.status, 415)
    assert.equal(answer.headers.get('accept-encoding'), 'gzip, deflate')
    assert.match(errorOf(answer), /Content encoding "/)
  }
})

test('responses are compressed as the client prefers; lengths count compressed bytes', async (t) => {
  const model = await loadModel(t, modelPath('simple', '1'))
  const ask = (
    accept: string,
    json: object = { inputs: JSON_BOTH, parameters: { binary_data_output: true } },
  ): Promise<InferAnswer> =>
    infer(model, inferRequest(json, undefined, [['Accept-Encoding', accept]]))
  const plain = await ask('identity')
  assert.equal(plain.headers.get('content-encoding'), undefined)
  const gzip = await ask('gzip')
  assert.deepEqual(gunzipSync(gzip.body), plain.body)
  const deflate = await ask('deflate;q=1, gzip;q=0.5')
  assert.deepEqual(inflateSync(deflate.body), plain.body)
  for (const answer of [gzip, deflate]) {
    assert.equal(
      answer.headers.get(JSON_LENGTH.toLowerCase()),
      plain.headers.get(JSON_LENGTH.toLowerCase()),
    )
    assert.deepEqual(outputsOf(answer)[0]?.bytes, ints(...SUMS))
  }
  errorOf(await ask('gzip', { inputs: [], padding: 'x'.repeat(1000) }))
})

test('the coding of a response has the highest quality, of equal ones the first', () => {
  const cases: [string, string][] = [
    ['', 'identity'],
    ['gzip', 'gzip'],
    ['deflate, gzip', 'deflate'],
    ['gzip;q=0.1, deflate;q=0.2', 'deflate'],
    ['br, zstd, *', 'identity'],
    ['br, gzip;q=0.5', 'gzip'],
    ['identity, gzip;q=0.9', 'identity'],
    ['gzip;q=0', 'identity'],
    ['gzip;q=x', 'identity'],
    ['GZIP', 'gzip'],
    ['x-gzip', 'gzip'],
  ]
  for (const [header, coding] of cases) assert.equal(chooseCoding(header), coding, header)
})

test('classes stand for an output: value, index and label, the highest first', async (t) => {
  const options = { labels: 'labels.txt' }
  const model = await loadModel(t, modelPath('scores4', '1'), { options })
  const classes = async (
    scores: number[][],
    classification: number,
    isBinary = false,
  ): Promise<unknown> => {
    const input = { name: 'INPUT0', datatype: 'FP32', shape: [scores.length, 4], data: scores }
    const outputs = [{ name: 'OUTPUT0', parameters: { classification, binary_data: isBinary } }]
    const [output] = outputsOf(await infer(model, inferRequest({ inputs: [input], outputs })))
    return [output?.datatype, output?.shape, output?.data ?? output?.bytes]
  }
  assert.deepEqual(await classes([[1, 5, 10, 4]], 2), [
    'BYTES',
    [1, 2],
    ['10.000000:2:two', '5.000000:1:one'],
  ])
  assert.deepEqual(await classes([[1, 5, 10, 4]], 1, true), [
    'BYTES',
    [1, 1],
    binaryElements(['10.000000:2:two']),
  ])
  assert.deepEqual(
    await classes(
      [
        [2, 2, 1, 2],
        [0, -1, 1e30, 0.5],
      ],
      9,
    ),
    [
      'BYTES',
      [2, 4],
      [
        '2.000000:0:zero',
        '2.000000:1:one',
        '2.000000:3:three',
        '1.000000:2:two',
        '1000000015047466219876688855040.000000:2:two',
        '0.500000:3:three',
        '0.000000:0:zero',
        '-1.000000:1:one',
      ],
    ],
  )
  const integers = await loadModel(t, modelPath('onnx_nobatch_int32_int8_int8', '1'))
  const inputs = ['INPUT0', 'INPUT1'].map((name) => ({
    name,
    datatype: 'INT32',
    shape: [16],
    data: ROW,
  }))
  const outputs = [{ name: 'OUTPUT0', parameters: { classification: 1 } }]
  const [output] = outputsOf(await infer(integers, inferRequest({ inputs, outputs })))
  assert.deepEqual([output?.shape, output?.data], [[1], ['30:15']])

  const values = await loadModel(t, modelPath('nan_inf_output', '1'))
  const input = { name: 'INPUT0', datatype: 'FP32', shape: [1], data: [0] }
  const ranked = await infer(
    values,
    inferRequest({
      inputs: [input],
      outputs: [{ name: 'OUTPUT0', parameters: { classification: 6 } }],
    }),
  )
  const [first, , , , , last] = outputsOf(ranked)[0]?.data ?? []
  assert.deepEqual([first, last], ['inf:1', 'nan:0'])
  const strings = await loadModel(t, modelPath('simple_identity', '1'))
  const text = { name: 'INPUT0', datatype: 'BYTES', shape: [1, 1], data: ['a'] }
  const refused = inferRequest({
    inputs: [text],
    outputs: [{ name: 'OUTPUT0', parameters: { classification: 1 } }],
  })
  assert.match(await refusal(strings, refused), /^400 .*does not support BYTES/)
})

test('the limit of a response does not count JSON in front of binary data', async (t) => {
  const model = await loadModel(t, modelPath('identity_fp32', '1'), {
    options: { maxResponseBytes: 4000 },
  })
  const ask = (count: number, isBinary: boolean): Promise<InferAnswer> => {
    const input = {
      name: 'INPUT0',
      datatype: 'FP32',
      shape: [1, count],
      parameters: { binary_data_size: 4 * count },
    }
    const parameters = { binary_data_output: isBinary }
    return infer(model, inferRequest({ inputs: [input], parameters }, Buffer.alloc(4 * count)))
  }
  assert.equal(outputsOf(await ask(1000, true))[0]?.bytes?.length, 4000)
  const tooLarge = await ask(2000, false)
  assert.equal(tooLarge.status, 507)
  assert.match(errorOf(tooLarge), /larger than the limit of 4000 bytes/)
})

test('requests of both forms share a run, each with a response in its own form', async (t) => {
  const model = await loadModel(t, modelPath('simple', '1'))
  const bodies = [
    inferRequest({ id: 'a', inputs: JSON_BOTH }),
    inferRequest(
      { id: 'b', inputs: BINARY_BOTH, parameters: { binary_data_output: true } },
      ints(...ONES, ...ONES),
    ),
    inferRequest({ id: 'c', inputs: [] }),
  ]
  const reply = await model.predict(
    bodies.map(({ headers, body }, index) => ({
      id: String(index),
      headers: [[DIALECT_HEADER, 'v2'], ...headers] as const,
      parameters: [parameter('body', body)],
    })),
    performance.now(),
  )
  const [json, binary, wrong] = reply.predictions.map(answerOf)
  assert.ok(json && binary && wrong)
  assert.deepEqual(outputsOf(json)[0]?.data, SUMS)
  assert.deepEqual(outputsOf(binary)[0]?.bytes, ints(...ONES.map(() => 2)))
  assert.match(errorOf(wrong), /Missing inputs/)
})

test('a model for images accepts tensors and images through the protocol', async (t) => {
  const model = await loadModel(t, digits)
  const description = await predict(model, { headers: [['describe', 'true']], parameters: [] })
  const { inputs, labels } = JSON.parse(description.body.toString())
  const shape = inputs[0].shape.map(Math.abs)
  const data = Array.from({ length: 64 }, () => 0)
  const input = { name: inputs[0].name, datatype: 'FP32', shape, data }
  const [scores] = outputsOf(await infer(model, inferRequest({ inputs: [input] })))
  assert.equal(scores?.data?.length, labels.length)
  const png = {
    ...inferRequest(''),
    contentType: 'image/png',
    body: Buffer.from('89504e470d0a1a0a', 'hex'),
  }
  assert.match(await refusal(model, png), /^400 The PNG image cannot be decoded/)
})

test('labels beside config.pbtxt are those of every numbered version', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-labels-'))
  t.after(() => rmSync(folder, { recursive: true }))
  cpSync(modelPath('scores4', '1'), path.join(folder, '3'), { recursive: true })
  writeFileSync(path.join(folder, 'classes.txt'), 'a\nb\nc\nd\n')
  const model = await loadModel(t, path.join(folder, '3'), { options: { labels: 'classes.txt' } })
  const description = await predict(model, { headers: [['describe', 'true']], parameters: [] })
  assert.deepEqual(JSON.parse(description.body.toString()).labels, ['a', 'b', 'c', 'd'])
  const missing = loadModel(t, path.join(folder, '3'), { options: { labels: 'none.txt' } })
  await assert.rejects(missing, /The label file "none.txt" cannot be read/)
})
