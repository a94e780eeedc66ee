/** Builds requests of the Open Inference Protocol as clients do, and parses responses. */
import assert from 'node:assert/strict'
import { gunzipSync, inflateSync } from 'node:zlib'
import type { WireHeader, WirePrediction } from '../../src/worker/wire/messages.ts'

/** A request to a model. `route` is the route of its REST dialect. */
export interface InferRequest {
  readonly route: 'predictions' | 'v1' | 'v2'
  readonly contentType: string
  readonly headers: readonly WireHeader[]
  readonly body: Buffer
}

/** A response. Header names are in lower case. */
export interface InferAnswer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** Sends a request to a model by name, through a worker or a server. */
export type Send = (model: string, request: InferRequest) => Promise<InferAnswer>

/** An output of a response, with its elements as JSON or as bytes. */
export interface AnsweredOutput {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data?: readonly unknown[]
  readonly bytes?: Buffer
}

export const JSON_LENGTH = 'Inference-Header-Content-Length'

/** A v2 request with this JSON, followed by binary data. */
export function inferRequest(
  json: unknown,
  tail?: Buffer,
  headers: readonly WireHeader[] = [],
): InferRequest {
  const text = Buffer.from(typeof json === 'string' ? json : JSON.stringify(json))
  const length: WireHeader[] = tail === undefined ? [] : [[JSON_LENGTH, String(text.length)]]
  return {
    route: 'v2',
    contentType: '',
    headers: [...length, ...headers],
    body: Buffer.concat([text, tail ?? Buffer.alloc(0)]),
  }
}

export function answerOf({ status, contentType, headers, body }: WirePrediction): InferAnswer {
  const all: WireHeader[] = [['content-type', contentType], ...headers]
  return { status, body, headers: new Map(all.map(([name, value]) => [name.toLowerCase(), value])) }
}

/**
 * The outputs of a successful response, decompressed. Fails if lengths and headers do not agree.
 */
export function outputsOf({ status, headers, body }: InferAnswer): AnsweredOutput[] {
  const coding = headers.get('content-encoding')
  const plain = coding === 'gzip' ? gunzipSync(body) : coding ? inflateSync(body) : body
  assert.equal(status, 200, plain.toString())
  const header = headers.get(JSON_LENGTH.toLowerCase())
  const isBinary = header !== undefined
  assert.equal(
    headers.get('content-type'),
    isBinary ? 'application/octet-stream' : 'application/json',
  )
  let at = header === undefined ? plain.length : Number(header)
  const { outputs } = JSON.parse(plain.toString('utf8', 0, at))
  const found = outputs.map(({ parameters, ...output }: Record<string, unknown>) => {
    const size = (parameters as { binary_data_size: number } | undefined)?.binary_data_size
    if (size === undefined) return output
    assert.ok(!('data' in output))
    at += size
    return { ...output, bytes: plain.subarray(at - size, at) }
  })
  assert.equal(at, plain.length, 'the binary data has the announced length')
  return found
}

/** The text of an error response. Fails if its body is not exactly `{"error": text}`. */
export function errorOf({ headers, body }: InferAnswer): string {
  const error: unknown = JSON.parse(body.toString())
  assert.ok(typeof error === 'object' && error !== null && 'error' in error)
  assert.deepEqual(Object.keys(error), ['error'])
  assert.equal(headers.get('content-type'), 'application/json')
  assert.equal(headers.get('content-encoding'), undefined)
  return String(error.error)
}

/** Strings or bytes as binary BYTES elements. */
export function binaryElements(elements: readonly (string | Buffer)[]): Buffer {
  const parts = elements.flatMap((element) => {
    const bytes = Buffer.from(element)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length)
    return [length, bytes]
  })
  return Buffer.concat(parts)
}
