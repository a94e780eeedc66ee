/** Models that give back what they get, each by another way through the worker. */
import { mkdirSync, writeFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import path from 'node:path'
import { modelFile } from './bench-models.ts'
import { binaryRequest } from './binary-request.ts'
import type { BinaryRequest } from './binary-request.ts'

const SERVICE = `export const handle = (data) => data?.map(({ body }) => body)\n`
/** Its one input takes any bytes: UINT8, any number of rows and columns. */
export const IDENTITY = 'identity_uint8'

export interface Subject {
  readonly name: string
  /** What the server is started with. */
  readonly file: string
  readonly path: string
  readonly wrap: (data: Buffer) => BinaryRequest
  /** The data of an answer to a wrapped request. */
  readonly unwrap: (body: Buffer, headers: IncomingHttpHeaders) => Buffer
}

/** A handler in JavaScript, written into `folder`. Raw bodies. */
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

/** A network that does nothing, run by onnxruntime. Binary tensors of the Open Inference Protocol. */
export const identityNetwork: Subject = {
  name: 'network',
  file: modelFile(IDENTITY),
  path: `/v2/models/${IDENTITY}/infer`,
  wrap: (data) =>
    binaryRequest({ name: 'INPUT0', datatype: 'UINT8', shape: [1, data.length] }, data),
  unwrap: (body, headers) => body.subarray(Number(headers['inference-header-content-length'])),
}
