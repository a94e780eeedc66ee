/** Builds responses to compare. */
import type { ComparedResponse } from '../../src/comparison/compare.ts'

type Headers = readonly (readonly [string, string])[]

export function response(
  contentType: string,
  body: Buffer | string,
  headers: Headers = [],
  status = 200,
): ComparedResponse {
  return { status, contentType, headers, body: Buffer.from(body) }
}

/** A response in JSON. */
export function json(value: unknown): ComparedResponse {
  return response('application/json', JSON.stringify(value))
}

interface Output {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data: readonly unknown[]
}

/** A response of the Open Inference Protocol in JSON. */
export function protocol(outputs: readonly Output[], version = '1'): ComparedResponse {
  return json({ model_name: 'm', model_version: version, outputs })
}

/** The same with the data of one output behind the JSON. */
export function binary(
  { name, datatype, shape }: Omit<Output, 'data'>,
  data: Buffer,
  version = '1',
): ComparedResponse {
  const output = { name, datatype, shape, parameters: { binary_data_size: data.length } }
  const head = JSON.stringify({ model_name: 'm', model_version: version, outputs: [output] })
  return response('application/octet-stream', Buffer.concat([Buffer.from(head), data]), [
    ['Inference-Header-Content-Length', String(Buffer.byteLength(head))],
  ])
}
