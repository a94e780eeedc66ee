/** Decodes the body of a response into values. */
import { unzipSync } from 'node:zlib'
import type { ComparedResponse, NamedValues } from '../comparison.ts'
import { treeOfCsv, treeOfLines } from './csv.ts'
import { parseJson } from './json.ts'
import { tensorOfNpy } from './npy.ts'
import { outputsOfMessage } from './protocol-message.ts'
import { outputsOfProtocol } from './protocol.ts'
import { valuesFromBytes } from './raw-values.ts'

/**
 * `tensors`: named outputs with datatypes; `tree`: a JSON value, or a table as one; `bytes`:
 * everything else, also bodies that are not valid.
 */
export type Decoded =
  | { readonly form: 'tensors'; readonly outputs: readonly NamedValues[] }
  | { readonly form: 'tree'; readonly value: unknown }
  | { readonly form: 'bytes' }

const BYTES: Decoded = { form: 'bytes' }
const JSON_LENGTH = 'inference-header-content-length'
const MAX_UNZIPPED_BYTES = 256 * 1024 * 1024
const MAX_RANK = 64

/** Decodes what it knows. A body that is not valid is `bytes`. */
export function decodeResponse(response: ComparedResponse): Decoded {
  try {
    return decode(response, plainBody(response)) ?? BYTES
  } catch {
    return BYTES
  }
}

function decode(response: ComparedResponse, body: Buffer): Decoded | undefined {
  const type = mediaTypeOf(response)
  const jsonLength = headerOf(response, JSON_LENGTH)
  if (jsonLength !== undefined) {
    const length = Number(jsonLength)
    const outputs = outputsOfProtocol(parseJson(body.subarray(0, length)), body.subarray(length))
    return outputs && { form: 'tensors', outputs }
  }
  if (type === 'application/json' || type.endsWith('+json')) return decodeJson(body)
  switch (type) {
    case 'application/grpc':
      return { form: 'tensors', outputs: outputsOfMessage(body) }
    case 'application/octet-stream':
      return decodeOctets(response, body)
    case 'application/x-npy':
      return { form: 'tensors', outputs: [tensorOfNpy(body)] }
    case 'text/csv':
      return { form: 'tree', value: treeOfCsv(body.toString()) }
    case 'application/x-ndjson':
    case 'application/jsonl':
    case 'application/jsonlines':
      return { form: 'tree', value: treeOfLines(body.toString()) }
    case '':
      // Handlers need not set a type.
      return decodeJson(body)
    default:
      return undefined
  }
}

function decodeJson(body: Buffer): Decoded {
  const value = parseJson(body)
  const outputs = outputsOfProtocol(value, undefined)
  return outputs === undefined ? { form: 'tree', value } : { form: 'tensors', outputs }
}

/** The elements of one output, which headers describe. */
function decodeOctets(response: ComparedResponse, body: Buffer): Decoded | undefined {
  const datatype = headerOf(response, 'tensor-datatype')
  const shapeText = headerOf(response, 'tensor-shape')
  if (datatype === undefined || shapeText === undefined) return undefined
  const shape = shapeText === '' ? [] : shapeText.split(',').map(Number)
  if (shape.length > MAX_RANK) return undefined
  const name = headerOf(response, 'tensor-name') ?? 'output'
  return { form: 'tensors', outputs: [{ name, ...valuesFromBytes(datatype, shape, body) }] }
}

function plainBody(response: ComparedResponse): Buffer {
  const coding = headerOf(response, 'content-encoding') ?? 'identity'
  if (coding === 'identity') return response.body
  return unzipSync(response.body, { maxOutputLength: MAX_UNZIPPED_BYTES })
}

/** The media type in lower case, without parameters. */
export function mediaTypeOf({ contentType }: ComparedResponse): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase()
}

/** The value of a header; the last one counts, as in the response to a client. */
export function headerOf({ headers }: ComparedResponse, name: string): string | undefined {
  return headers.findLast(([one]) => one.toLowerCase() === name)?.[1]
}
