/**
 * Reads the JSON of an Open Inference Protocol request in one pass: the elements of `data` go
 * directly into the input's datatype. When `data` comes before the name or the datatype, it is
 * skipped and read later.
 */
import { ServerError } from '../../../../errors.ts'
import { readInteger, skipNumber } from '../json/number-scanner.ts'
import type { JsonReader } from '../json/reader.ts'
import { readTensor } from '../json/tensor-reader.ts'
import { quote, specText } from '../tensors/error-text.ts'
import type { InputSet } from '../tensors/inputs.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { checkDeclaredShape, fitDeclaredShape } from '../tensors/shape.ts'
import type { Tensor } from '../tensors/tensor.ts'

/** Maximum number of dimensions of an input. */
export const MAX_RANK = 1024
/**
 * Maximum number of members of one object. Valid requests have fewer, and each distinct name costs
 * time and memory.
 */
export const MAX_MEMBERS = 1024

/**
 * Members of a `parameters` object. Nested values and `null`, which the protocol does not define,
 * are skipped.
 */
export type Parameters = ReadonlyMap<string, string | number | boolean>

/** One entry of `inputs`. */
export interface ProtocolInput {
  readonly spec: TensorSpec
  /** The declared shape, adapted to the model's rank and fixed dimensions. */
  readonly shape: readonly number[]
  /**
   * The tensor in `data`, with its element count checked; absent when the input has no `data` or it
   * is `null`.
   */
  readonly tensor: Tensor | undefined
  readonly parameters: Parameters
}

/** One entry of `outputs`. */
export interface ProtocolOutput {
  readonly name: string
  readonly parameters: Parameters
}

export interface ProtocolRequest {
  /** Absent when it is missing, `null` or empty. */
  readonly id: string | undefined
  readonly parameters: Parameters
  readonly inputs: readonly ProtocolInput[]
  /** An empty list means all outputs. */
  readonly outputs: readonly ProtocolOutput[]
}

const NO_PARAMETERS: Parameters = new Map()

/**
 * Reads a whole request. Members that the protocol does not define are skipped (KServe's client
 * adds some). Every input is claimed from `inputs`, which rejects unknown and repeated names; the
 * caller fills in the tensors.
 * @throws ServerError 400
 */
export function readProtocolRequest(reader: JsonReader, inputs: InputSet): ProtocolRequest {
  const seen = new Set<string>()
  let id: string | undefined
  let parameters = NO_PARAMETERS
  let inputList: ProtocolInput[] | undefined
  let outputs: ProtocolOutput[] = []
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const member = readMember(reader, seen)
    if (member === 'inputs') inputList = readList(reader, () => readInput(reader, inputs))
    else if (reader.take('null')) continue
    else if (member === 'id') id = readText(reader, '"id"') || undefined
    else if (member === 'outputs') outputs = readList(reader, () => readOutput(reader))
    else if (member === 'parameters') parameters = readParameters(reader)
    else reader.skipValue()
  }
  reader.end()
  if (inputList === undefined) throw invalid('The request has no "inputs".')
  return { id, parameters, inputs: inputList, outputs }
}

function readInput(reader: JsonReader, inputs: InputSet): ProtocolInput {
  const seen = new Set<string>()
  let spec: TensorSpec | undefined
  let datatype = ''
  let shape: number[] | undefined
  let parameters = NO_PARAMETERS
  let tensor: Tensor | undefined
  let dataAt: number | undefined
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const member = readMember(reader, seen)
    if (member === 'name') spec = inputs.claim(readText(reader, 'The name of an input'))
    else if (member === 'datatype') datatype = readText(reader, 'The datatype of an input')
    else if (member === 'shape') shape = readShape(reader)
    else if (reader.take('null')) continue
    else if (member === 'parameters') parameters = readParameters(reader)
    else if (member !== 'data') reader.skipValue()
    else if (spec?.datatype === datatype) tensor = readTensor(reader, spec)
    else {
      dataAt = reader.position
      reader.skipValue()
    }
  }
  if (spec === undefined) throw invalid('An input has no "name".')
  if (datatype !== spec.datatype) {
    const given = datatype === '' ? 'an input without "datatype"' : `datatype ${quote(datatype)}`
    throw invalid(`Input ${quote(spec.name)}: expected ${specText(spec)}, got ${given}.`)
  }
  if (shape === undefined) throw invalid(`Input ${quote(spec.name)} has no "shape".`)
  const fitted = fitDeclaredShape(spec, shape)
  if (dataAt !== undefined) {
    const end = reader.position
    reader.position = dataAt
    tensor = readTensor(reader, spec)
    reader.position = end
  }
  if (tensor === undefined) return { spec, shape: fitted, tensor, parameters }
  // The nesting may differ from the shape: only the number of elements is checked.
  checkDeclaredShape(spec, shape, tensor.data.length)
  return { spec, shape: fitted, tensor: { ...tensor, shape: fitted }, parameters }
}

function readOutput(reader: JsonReader): ProtocolOutput {
  const seen = new Set<string>()
  let name: string | undefined
  let parameters = NO_PARAMETERS
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const member = readMember(reader, seen)
    if (member === 'name') name = readText(reader, 'The name of an output')
    else if (member === 'parameters' && !reader.take('null')) parameters = readParameters(reader)
    else reader.skipValue()
  }
  if (name === undefined) throw invalid('An output has no "name".')
  return { name, parameters }
}

function readShape(reader: JsonReader): number[] {
  return readList(reader, (length) => {
    const dimension = readInteger(reader)
    if (typeof dimension !== 'number' || dimension < 0 || length === MAX_RANK) {
      const given = dimension === undefined ? reader.token() : dimension
      throw invalid(
        `The shape of an input must be a list of at most ${MAX_RANK} integers, each 0 or more, not ${given}.`,
      )
    }
    return dimension
  })
}

function readParameters(reader: JsonReader): Parameters {
  const parameters = new Map<string, string | number | boolean>()
  const seen = new Set<string>()
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const name = readMember(reader, seen)
    checkParameterName(name)
    if (reader.isString()) parameters.set(name, reader.readString())
    else if (reader.take('true')) parameters.set(name, true)
    else if (reader.take('false')) parameters.set(name, false)
    else if (reader.take('null')) continue
    else if (reader.isObject() || reader.isArray()) reader.skipValue()
    else {
      const start = reader.position
      skipNumber(reader)
      parameters.set(name, Number(reader.bytes.toString('latin1', start, reader.position)))
    }
  }
  return parameters
}

/** Rejects parameters that the client relies on but onnxd would ignore. Other names are allowed. */
export function checkParameterName(name: string): void {
  if (name.startsWith('shared_memory_')) {
    throw invalid('Shared memory is not supported; send the tensor data in the request.')
  }
  if (name.startsWith('triton_')) {
    throw invalid(
      `Parameter ${quote(name)} is not allowed: names that begin with "triton_" are reserved.`,
    )
  }
}

function readList<Item>(reader: JsonReader, readItem: (length: number) => Item): Item[] {
  const items: Item[] = []
  for (let more = reader.openArray(); more; more = reader.nextElement()) {
    items.push(readItem(items.length))
  }
  return items
}

/**
 * @throws ServerError 400 when the name occurs twice in the object, or the object has too many
 * members.
 */
function readMember(reader: JsonReader, seen: Set<string>): string {
  const name = reader.readKey()
  if (seen.has(name)) throw reader.error(`the name ${quote(name)} occurs twice in one object`)
  if (seen.size === MAX_MEMBERS)
    throw invalid(`An object in the request has more than ${MAX_MEMBERS} members.`)
  seen.add(name)
  return name
}

function readText(reader: JsonReader, what: string): string {
  if (!reader.isString()) throw invalid(`${what} must be a string, got ${reader.token()}.`)
  return reader.readString()
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidInputException', message)
}
