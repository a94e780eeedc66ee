/** The readers of JSON in a worker, and what they must agree with. */
import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import type { Datatype } from '../../src/contract/datatypes.ts'
import { ServerError } from '../../src/errors.ts'
import type { Decoded } from '../../src/worker/process/onnx/codec.ts'
import { readHeaders } from '../../src/worker/process/onnx/headers.ts'
import { skipNumber } from '../../src/worker/process/onnx/json/number-scanner.ts'
import { JsonReader } from '../../src/worker/process/onnx/json/reader.ts'
import { readTensor } from '../../src/worker/process/onnx/json/tensor-reader.ts'
import { InstancesCodec } from '../../src/worker/process/onnx/kserve-v1/codec.ts'
import { ProtocolCodec } from '../../src/worker/process/onnx/oip/codec.ts'
import { TensorCodec } from '../../src/worker/process/onnx/predictions/codec.ts'
import { elementToText } from '../../src/worker/process/onnx/tensors/byte-strings.ts'
import type { ModelMetadata, TensorSpec } from '../../src/worker/process/onnx/tensors/metadata.ts'
import type { Tensor } from '../../src/worker/process/onnx/tensors/tensor.ts'
import type { WireRequest } from '../../src/worker/wire/messages.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { pick } from './fuzz.ts'

export const MAX_DEPTH = 100

const FUZZED_DIALECTS = ['v1', 'v2', 'predictions'] as const
type FuzzedDialect = (typeof FUZZED_DIALECTS)[number]

type Attempt = <Result>(text: Buffer, read: () => Result) => { result: Result } | undefined

/** Builds the value with the reader's own calls. */
export function readValue(text: Buffer): unknown {
  const reader = new JsonReader(text, MAX_DEPTH)
  const value = nextValue(reader)
  reader.end()
  // Skipping must find the same end, or the same fault.
  const skipping = new JsonReader(text, MAX_DEPTH)
  skipping.skipValue()
  skipping.end()
  return value
}

function nextValue(reader: JsonReader): unknown {
  if (reader.isObject()) {
    const members: [string, unknown][] = []
    for (let more = reader.openObject(); more; more = reader.nextMember())
      members.push([reader.readKey(), nextValue(reader)])
    return Object.fromEntries(members)
  }
  if (reader.isArray()) {
    const elements: unknown[] = []
    for (let more = reader.openArray(); more; more = reader.nextElement())
      elements.push(nextValue(reader))
    return elements
  }
  if (reader.isString()) return reader.readString()
  if (reader.take('true')) return true
  if (reader.take('false')) return false
  if (reader.take('null')) return null
  const start = reader.position
  skipNumber(reader)
  return Number(reader.bytes.toString('latin1', start, reader.position))
}

const spec = (name: string, datatype: Datatype): TensorSpec => ({
  name,
  datatype,
  shape: [-1],
  dimensions: [''],
})
const FOUR = [spec('f32', 'FP32'), spec('f64', 'FP64'), spec('i64', 'INT64'), spec('s', 'BYTES')]
const SINGLES: readonly Datatype[] = [
  'FP32',
  'FP64',
  'INT64',
  'UINT64',
  'INT32',
  'UINT8',
  'BOOL',
  'BYTES',
  'FP16',
]
const LIMITS = { maxResponseBytes: 1 << 20, maxJsonBytes: 1 << 20, maxJsonDepth: MAX_DEPTH }

/** Metadata of a model that returns its inputs. */
export function modelOf(inputs: readonly TensorSpec[]): ModelMetadata {
  return {
    name: 'm',
    handler: 'onnx',
    version: '1',
    runtime: { name: 'none', version: '' },
    providers: [],
    batchable: false,
    maxBatchSize: 0,
    inputs,
    outputs: inputs,
  }
}

const MODELS = [modelOf(FOUR), ...SINGLES.map((datatype) => modelOf([spec('f32', datatype)]))]
const CODECS = MODELS.map((model) => {
  const protocol = new ProtocolCodec(model, LIMITS)
  const plain = new TensorCodec(model, LIMITS, protocol)
  return { v2: protocol, predictions: plain, v1: new InstancesCodec(model, LIMITS, () => true) }
})
const HEADERS = {
  v1: readHeaders([['Onnxd-Dialect', 'v1']]),
  v2: readHeaders([['Onnxd-Dialect', 'v2']]),
  predictions: readHeaders([]),
}

/**
 * One request in one REST dialect. It must be rejected, or give tensors with the numbers and texts
 * that JSON.parse finds.
 */
export function readRequest(random: RandomNumbers, text: Buffer, attempt: Attempt): void {
  const index = random.next() < 0.5 ? 0 : random.integer(1, MODELS.length - 1)
  const model = MODELS[index]
  const codecs = CODECS[index]
  assert.ok(model !== undefined && codecs !== undefined)
  const dialect = pick(random, FUZZED_DIALECTS)
  // A body without a type that does not end like JSON is raw bytes.
  const contentType = dialect === 'predictions' ? 'application/json' : ''
  const parameters = [{ name: 'body', contentType, value: text }]
  const request: WireRequest = { id: 'r', headers: [], parameters }
  const decode = () => codecs[dialect].decode(request, HEADERS[dialect])
  const decoded = attempt(text, decode)?.result
  if (decoded === undefined) return
  if (decoded instanceof Promise) {
    // A table is read after its code was loaded. Any other error fails the test, because nothing
    // handles the rejection.
    void decoded.catch((error: unknown) => {
      if (!(error instanceof ServerError)) throw error
    })
    return
  }
  checkInputs(model.inputs, decoded, text, dialect)
}

function checkInputs(
  specs: readonly TensorSpec[],
  { inputs }: Decoded,
  text: Buffer,
  dialect: FuzzedDialect,
): void {
  const values = valuesOf(text)
  if (values === undefined) return
  for (const [index, input] of inputs.entries()) {
    assert.equal(
      input.data.length,
      input.shape.reduce((product, length) => product * length, 1),
    )
    const name = specs[index]?.name ?? ''
    const found = elementsFor(name, values, specs.length === 1, dialect)
    if (found !== undefined) checkElements(input, found, text)
  }
}

/** `undefined` where the text has what JSON has not, or integers that a double cannot hold. */
function valuesOf(text: Buffer): unknown {
  if (!isUtf8(text)) assert.fail(`not UTF-8 and accepted: ${text.toString('hex')}`)
  const plain = text.toString()
  if (/NaN|Infinity/.test(plain)) return undefined
  // Throws for what is not JSON, and that must have been refused.
  return JSON.parse(plain)
}

/** Where the elements of an input stand in a request of any dialect, flat. */
function elementsFor(
  name: string,
  value: unknown,
  isOnly: boolean,
  dialect: FuzzedDialect,
): unknown[] | undefined {
  if (Array.isArray(value)) return isOnly ? value.flat(Infinity) : undefined
  if (typeof value !== 'object' || value === null) return [value]
  const members = value as Record<string, unknown>
  const rows = Object.hasOwn(members, 'instances') ? members.instances : members.inputs
  // In the Open Inference Protocol, inputs stand in a list, and other members are ignored. The
  // routes of MMS accept its form too.
  const isList = Array.isArray(rows) && rows.some((each) => isRecord(each) && 'name' in each)
  const isProtocol = dialect === 'v2' || (dialect === 'predictions' && isList)
  if (!isProtocol && Object.hasOwn(members, name)) return [members[name]].flat(Infinity)
  if (Array.isArray(rows)) {
    const named = rows.find((each: unknown) => isRecord(each) && each.name === name)
    if (isRecord(named) && 'data' in named) return [named.data].flat(Infinity)
    const isRows = rows.some((each: unknown) => isRecord(each))
    return isRows
      ? rows.map((each: unknown) => (isRecord(each) ? each[name] : undefined)).flat(Infinity)
      : rows.flat(Infinity)
  }
  return isRecord(rows) ? [rows[name]].flat(Infinity) : undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function checkElements(tensor: Tensor, expected: readonly unknown[], text: Buffer): void {
  const problem = (): Error =>
    new Error(`${tensor.datatype} of ${JSON.stringify(text.toString())}: ${String(tensor.data)}`)
  if (tensor.data.length !== expected.length) throw problem()
  for (const [index, value] of expected.entries())
    if (!isElement(tensor, index, value)) throw problem()
}

function isElement({ datatype, data }: Tensor, index: number, value: unknown): boolean {
  const element = data[index]
  if (datatype === 'BYTES') return elementToText(String(element)) === value
  if (datatype === 'BOOL')
    return Number(value) === element && (typeof value === 'boolean' || element === value)
  if (value === null)
    return datatype.startsWith('FP') && (datatype === 'FP16' || Number.isNaN(element))
  if (typeof value !== 'number') return false
  if (datatype === 'FP16') return true
  if (typeof element === 'bigint') {
    // Beyond that, `readTexts` compares the digits.
    return !Number.isSafeInteger(value) || BigInt(value) === element
  }
  if (datatype === 'FP32') return isNearestSingle(Number(element), value)
  return datatype === 'FP64' ? Object.is(element, value) : element === (value === 0 ? 0 : value)
}

/** The single next to a number, of which the double next to it is known. */
function isNearestSingle(single: number, double: number): boolean {
  if (Object.is(single, Math.fround(double))) return true
  // Rounded twice, a number close to the middle between two singles may go the other way.
  const other = Math.fround(double)
  return (single + other) / 2 === double && Math.abs(single - other) <= Math.abs(double) * 2 ** -22
}

/** A text as a tensor of one datatype. */
export function readTexts(random: RandomNumbers, text: Buffer, attempt: Attempt): void {
  const datatype = pick(random, SINGLES)
  const read = () => {
    const reader = new JsonReader(text, MAX_DEPTH)
    const tensor = readTensor(reader, spec('x', datatype))
    reader.end()
    return tensor
  }
  const tensor = attempt(text, read)?.result
  if (tensor === undefined) return
  const value = valuesOf(text)
  if (value === undefined) return
  const elements = [value].flat(Infinity)
  checkElements(tensor, elements, text)
  if (!datatype.includes('INT')) return
  // Nothing but brackets, commas and integers was accepted, so the digits are the elements. An
  // integer may end with a fraction of zeros.
  const written = text.toString().replaceAll(/\.0+/g, '').match(/-?\d+/g) ?? []
  const found = [...tensor.data].map((element) => BigInt(element))
  if (written.some((digits, index) => BigInt(digits) !== found[index])) {
    throw new Error(`${datatype} of ${JSON.stringify(text.toString())}: ${found.join()}`)
  }
}
