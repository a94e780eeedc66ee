/** Models that return their input. Each uses another path through the worker. */
import { mkdirSync, writeFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import path from 'node:path'
import { modelFile } from './bench-models.ts'
import { binaryRequest } from './binary-request.ts'
import type { BinaryRequest } from './binary-request.ts'

const SERVICE = `export const handle = (data) => data?.map(({ body }) => body)\n`
/** Its only input accepts any bytes: UINT8 with two dynamic dimensions. */
export const IDENTITY = 'identity_uint8'

export interface Subject {
  readonly name: string
  /** The model that the server loads. */
  readonly file: string
  readonly path: string
  readonly wrap: (data: Buffer) => BinaryRequest
  /** The data in the response to a wrapped request. */
  readonly unwrap: (body: Buffer, headers: IncomingHttpHeaders) => Buffer
}

/** A JavaScript handler, written into `folder`. Its bodies are raw bytes. */
export function echoHandler(folder: string): Subject {
  const file = path.join(folder, 'echo')
  mkdirSync(file)
  writeFileSync(path.join(file, 'service.mjs'), SERVICE)
  writeFileSync(path.join(file, 'model.json'), '{"handler": "service.mjs:handle"}')
  return {
    name: 'handler',
    file,
    path: '/predictions/echo',
    wrap: (body) => ({ body, headers: { 'content-type': 'application/octet-stream' } }),
    unwrap: (body) => body,
  }
}

/**
 * A model that returns its input, run by onnxruntime. Its bodies are binary tensors of the Open
 * Inference Protocol.
 */
export const identityNetwork: Subject = {
  name: 'network',
  file: modelFile(IDENTITY),
  path: `/v2/models/${IDENTITY}/infer`,
  wrap: (data) =>
    binaryRequest({ name: 'INPUT0', datatype: 'UINT8', shape: [1, data.length] }, data),
  unwrap: (body, headers) => body.subarray(Number(headers['inference-header-content-length'])),
}
