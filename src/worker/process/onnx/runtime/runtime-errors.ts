/**
 * Makes onnxruntime's error texts suitable for clients: one short line without paths of the
 * server's disk.
 */
import path from 'node:path'
import { ServerError, messageOf } from '../../../../errors.ts'
import { printable, quote } from '../tensors/error-text.ts'

const MAX_LENGTH = 1000
const MAX_RAW_LENGTH = 16_384
/**
 * Matches `/src/model.cc:202 type ns::Class::function(types) `, and the short form `file.cc:47
 * Function `.
 */
const SOURCE_LINE =
  /(?<![\w./-])[\w./-]*\w\.(?:cc|h|cpp|cu):\d+ ([\w:&*<>,~\s]*\([^()]*\)(?: const)? |\w+ )?/g
const STATUS_CODE = /\[ONNXRuntimeError\] : \d+ : \w+ : /g
/**
 * Node names of exported models look like paths (`Name:'/layer1/Conv'`) and are kept; real paths
 * lose their folders.
 */
const NODE_NAME_OR_FOLDERS =
  /(Name:'[^']*')|(?<![\w./])(?:[A-Za-z]:)?[\\/](?:[^\s'"\\/:,()]+[\\/])+/g
/** onnxruntime's text for a file that is not a protocol buffer. */
const NOT_READABLE = /Protobuf parsing failed\.?$/
const MEMORY =
  /bad_alloc|failed to allocate|out of memory|array buffer allocation failed|invalid (?:typed )?array (?:buffer )?length/i

/** Numbers of ONNX's `TensorProto.DataType` that onnxruntime-node has no array type for. */
const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [0, 'UNDEFINED'],
  [14, 'COMPLEX64'],
  [15, 'COMPLEX128'],
  [16, 'BF16'],
  [17, 'FLOAT8E4M3FN'],
  [18, 'FLOAT8E4M3FNUZ'],
  [19, 'FLOAT8E5M2'],
  [20, 'FLOAT8E5M2FNUZ'],
  [21, 'UINT4'],
  [22, 'INT4'],
  [23, 'FLOAT4E2M1'],
  [24, 'FLOAT8E8M0'],
  [25, 'UINT2'],
  [26, 'INT2'],
])

/**
 * Error of a model that onnxruntime cannot load: 400, or 507 when memory ran out.
 * @param folder The folder of the model, which is removed from the text.
 */
export function loadError(thrown: unknown, folder: string): ServerError {
  const error = runtimeError(thrown, 'InvalidModelException', folder)
  if (!NOT_READABLE.test(error.message)) return error
  const text = `${error.message} The file is not an ONNX model, or it is damaged or cut off.`
  return new ServerError(error.type, text, { cause: thrown })
}

/**
 * Error of an input without elements, when an output would have some.
 * @param name Name of the input.
 */
export function emptyInputError(name: string): ServerError {
  const text =
    `Input ${quote(name)} has no elements, but the result would have some. If the model is made for ` +
    'empty inputs, set "allowEmptyInputs": true in model.json.'
  return new ServerError('InvalidInputException', text)
}

/** Error of an input or output whose elements onnxruntime-node does not support. */
export function unsupportedElements(what: string, type: number): ServerError {
  const name = TYPE_NAMES.get(type) ?? 'see the ONNX specification'
  const problem = `${what} has an unsupported type: ONNX type ${type} (${name}).`
  return new ServerError('InvalidModelException', problem)
}

/** Error of a run with this input: 400, or 507 when memory ran out. */
export function runError(thrown: unknown): ServerError {
  return runtimeError(thrown, 'InvalidInputException', '')
}

/** Returns the message as one line of at most 1000 characters, without the folders of paths. */
export function cleanMessage(message: string, folder: string): string {
  const local = folder === '' ? message : message.replaceAll(folder + path.sep, '')
  const text = printable(local)
    .replace(SOURCE_LINE, (_, behind: string | undefined) => withoutFunction(behind ?? ''))
    .replace(STATUS_CODE, '')
    .replace(NODE_NAME_OR_FOLDERS, '$1')
    .trim()
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text
}

/**
 * Cleans the text after a source line: removes the name of a function, but keeps a text in
 * parentheses.
 */
function withoutFunction(behind: string): string {
  return behind.includes('(') && !behind.includes('::') ? behind.replace(/^\w+ /, '') : ''
}

function runtimeError(
  thrown: unknown,
  type: 'InvalidModelException' | 'InvalidInputException',
  folder: string,
): ServerError {
  const raw = messageOf(thrown, MAX_RAW_LENGTH)
  const isMemory = MEMORY.test(raw)
  return new ServerError(
    isMemory ? 'InsufficientMemoryException' : type,
    cleanMessage(raw, folder),
    {
      cause: thrown,
    },
  )
}
