/** Checks that must hold for every inference request, through a worker or through a server. */
import assert from 'node:assert/strict'
import { deflateSync, gzipSync } from 'node:zlib'
import { DATATYPES } from '../../src/contract/datatypes.ts'
import type { Datatype } from '../../src/worker/process/onnx/tensors/tensor.ts'
import type { WireHeader } from '../../src/worker/wire/messages.ts'
import { JSON_LENGTH, binaryElements, errorOf, inferRequest, outputsOf } from './infer.ts'
import type { InferAnswer, InferRequest, Send } from './infer.ts'
import { nestedText, randomTensor } from './random-tensor.ts'
import type { RandomTensor } from './random-tensor.ts'
import type { RandomNumbers } from './random.ts'
import { assertSame } from './same.ts'

const BINARY_OUTPUT = '"parameters":{"binary_data_output":true}'
const CODINGS = ['', 'gzip', 'deflate'] as const
const PLAIN_HEADERS: readonly WireHeader[] = [['Accept', 'application/octet-stream']]

/** Model of `../shared` that returns its input. */
function echoOf(datatype: Datatype): string {
  return datatype === 'BYTES' ? 'simple_identity' : `identity_${datatype.toLowerCase()}`
}

/**
 * Checks that random tensors come back with the same bytes in each form: binary, JSON of the Open
 * Inference Protocol, and the JSON of `/predictions`.
 */
export async function checkForms(send: Send, random: RandomNumbers, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const datatype of DATATYPES) {
      const tensor = randomTensor(random, datatype)
      const model = echoOf(datatype)
      const place = `${datatype} [${tensor.shape.join()}], round ${round}`
      const binary = await send(model, coded(random, binaryRequest(random, tensor)))
      assertBytes(bytesOf(binary), tensor.bytes, `${place}: binary`)
      // In JSON the protocol has no FP16.
      if (datatype !== 'FP16') {
        const json = await send(model, coded(random, jsonRequest(random, tensor)))
        assertBytes(bytesOf(json), tensor.bytes, `${place}: JSON`)
      }
      const plain = await send(model, coded(random, plainRequest(random, tensor)))
      assertBytes(plainBytes(plain, datatype), tensor.bytes, `${place}: plain`)
    }
  }
}

/** In one line each, however many bytes there are. */
function assertBytes(actual: Buffer | undefined, expected: Buffer, what: string): void {
  assertSame(actual?.toString('hex'), expected.toString('hex'), what)
}

/**
 * Damaged requests are answered with a 4xx (or, where the damage does not count, with 200), in the
 * right form. Returns the statuses that occurred.
 */
export async function checkMutations(
  send: Send,
  random: RandomNumbers,
  rounds: number,
): Promise<ReadonlySet<number>> {
  const statuses = new Set<number>()
  for (let round = 0; round < rounds; round++) {
    const datatype = DATATYPES[random.integer(0, DATATYPES.length - 1)] ?? 'FP32'
    const request = damaged(random, validRequest(random, datatype))
    const answer = await send(echoOf(datatype), request)
    const { status } = answer
    const shown = `${status} for ${JSON.stringify(request.headers)} ${request.body.toString('latin1')}`
    assert.ok(status === 200 || (status >= 400 && status < 500), shown)
    if (status === 200 && request.route === 'v2') outputsOf(answer)
    if (status !== 200 && request.route !== 'predictions') errorOf(answer)
    statuses.add(status)
  }
  return statuses
}

function validRequest(random: RandomNumbers, datatype: Datatype): InferRequest {
  const tensor = randomTensor(random, datatype)
  const kind = random.integer(0, 3)
  if (kind === 0) return plainRequest(random, tensor)
  if (kind === 1) return coded(random, jsonRequest(random, tensor))
  if (kind === 2) return coded(random, binaryRequest(random, tensor))
  const body = Buffer.from(`{"instances":${nestedText(random, tensor)}}`)
  return { route: 'v1', contentType: '', headers: [], body }
}

function binaryRequest(random: RandomNumbers, tensor: RandomTensor): InferRequest {
  const input = inputText(tensor, `"parameters":{"binary_data_size":${tensor.bytes.length}}`)
  const padding = ' '.repeat(random.integer(0, 8))
  return inferRequest(`${padding}{${BINARY_OUTPUT},"inputs":[${input}]}`, tensor.bytes)
}

function jsonRequest(random: RandomNumbers, tensor: RandomTensor): InferRequest {
  const data = random.next() < 0.5 ? `[${tensor.texts.join()}]` : nestedText(random, tensor)
  return inferRequest(`{"inputs":[${inputText(tensor, `"data":${data}`)}],${BINARY_OUTPUT}}`)
}

function plainRequest(random: RandomNumbers, tensor: RandomTensor): InferRequest {
  const body = Buffer.from(`{"INPUT0":${nestedText(random, tensor)}}`)
  const headers = tensor.datatype === 'BYTES' ? [] : PLAIN_HEADERS
  return { route: 'predictions', contentType: 'application/json', headers, body }
}

function inputText({ datatype, shape }: RandomTensor, rest: string): string {
  return `{"name":"INPUT0","shape":[${shape.join()}],"datatype":"${datatype}",${rest}}`
}

/** Randomly compresses the body and accepts compressed responses. */
function coded(random: RandomNumbers, request: InferRequest): InferRequest {
  const coding = CODINGS[random.integer(0, 2)] ?? ''
  const accepted = CODINGS[random.integer(0, 2)] ?? ''
  const headers = [...request.headers]
  if (accepted !== '') headers.push(['Accept-Encoding', accepted])
  if (coding === '') return { ...request, headers }
  headers.push(['Content-Encoding', coding])
  const body = (coding === 'gzip' ? gzipSync : deflateSync)(request.body)
  return { ...request, headers, body }
}

function bytesOf(answer: InferAnswer): Buffer | undefined {
  const [output] = outputsOf(answer)
  // Without elements there is no binary data, and the response is plain JSON.
  return output?.bytes ?? (output?.shape.includes(0) === true ? Buffer.alloc(0) : undefined)
}

/** The response as raw bytes. Strings come as JSON, because raw bytes do not support them. */
function plainBytes({ body }: InferAnswer, datatype: Datatype): Buffer {
  if (datatype !== 'BYTES') return body
  const { OUTPUT0: rows }: { OUTPUT0: string[][] } = JSON.parse(body.toString())
  return binaryElements(rows.flat())
}

const EDITS = [
  '[',
  ']',
  '{',
  '}',
  '"',
  ',',
  ':',
  '0',
  '-1',
  '1e999',
  '99999999999999999999',
  'null',
  'true',
  '\\u0000',
  '\0',
  '\xff',
]
const LENGTHS = ['', '-1', '0', '1', '7', '99999999999', '5, 7', 'NaN', '1e2']

function damaged(random: RandomNumbers, request: InferRequest): InferRequest {
  const { headers, body } = request
  const at = random.integer(0, body.length)
  switch (random.integer(0, 5)) {
    case 0:
      return { ...request, body: body.subarray(0, at) }
    case 1:
      return { ...request, body: Buffer.concat([body, body.subarray(0, random.integer(1, 9))]) }
    case 2: {
      const length = LENGTHS[random.integer(0, LENGTHS.length - 1)] ?? ''
      const others = headers.filter(([name]) => name !== JSON_LENGTH)
      return { ...request, headers: [...others, [JSON_LENGTH, length]] }
    }
    case 3: {
      const value = ['gzip', 'deflate', 'br', 'identity', 'gzip, gzip'][random.integer(0, 4)] ?? ''
      const others = headers.filter(([name]) => name !== 'Content-Encoding')
      return { ...request, headers: [...others, ['Content-Encoding', value]] }
    }
    case 4: {
      const changed = Buffer.from(body)
      if (at < changed.length) changed[at] = random.integer(0, 255)
      return { ...request, body: changed }
    }
    default: {
      const edit = Buffer.from(EDITS[random.integer(0, EDITS.length - 1)] ?? '', 'latin1')
      const rest = body.subarray(at + random.integer(0, 3))
      return { ...request, body: Buffer.concat([body.subarray(0, at), edit, rest]) }
    }
  }
}
