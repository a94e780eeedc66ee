/**
 * The JSON of requests to a pipeline whose types are not known: that of `/predictions`, or of
 * `/v2`. Values pass from step to step as the text in which they came, so no number is rounded.
 */
import { ServerError } from '../../../errors.ts'
import type { CodecLimits } from '../onnx/codec.ts'
import { openJson } from '../onnx/json/open.ts'
import type { JsonReader } from '../onnx/json/reader.ts'

/** The JSON of each value, by name. */
export type JsonValues = ReadonlyMap<string, Buffer>

/** How requests and responses are written. */
export interface JsonFormat {
  /** Protocol of the calls of the steps. */
  readonly protocol: '' | 'v2'
  /** @throws ServerError 400 if a request has not this form. */
  readInputs(body: Buffer, limits: CodecLimits): JsonRequest
  /** The body for a step. `outputs` are the names that are wanted. */
  writeInputs(inputs: JsonValues, outputs: readonly string[]): Buffer
  /** @throws ServerError if the response of a step has not this form. */
  readOutputs(response: Buffer, limits: CodecLimits): JsonValues
  writeOutputs(outputs: JsonValues, request: JsonRequest, model: ModelIdentity): Buffer
}

/** A request to the pipeline. */
export interface JsonRequest {
  readonly inputs: JsonValues
  /** The JSON of the client's id. */
  readonly id?: Buffer | undefined
  /** Names of the outputs that it wants; empty for all. */
  readonly outputs: readonly string[]
}

/** Name and version, as the response shows them. */
export interface ModelIdentity {
  readonly name: string
  readonly version: string
}

/** An object with one member for each input or output. */
export const PREDICTIONS: JsonFormat = {
  protocol: '',
  readInputs(body, limits) {
    const reader = openJson(body, limits)
    if (!reader.isObject())
      throw invalid('A request to this pipeline is a JSON object with one member for each input.')
    return { inputs: readWhole(reader, readMembers), outputs: [] }
  },
  writeInputs: (inputs) => writeObject(inputs),
  readOutputs: (response, limits) =>
    readResponse(response, limits, readMembers, 'one member for each output'),
  writeOutputs: (outputs) => writeObject(outputs),
}

/** The Open Inference Protocol, without binary data. */
export const OPEN_INFERENCE: JsonFormat = {
  protocol: 'v2',
  readInputs(body, limits) {
    const members = readWhole(openJson(body, limits), readMembers)
    const inputs = members.get('inputs')
    if (inputs === undefined) throw invalid('The request has no "inputs".')
    const outputs = members.get('outputs')
    return {
      inputs: readWhole(openJson(inputs, limits), readTensors),
      outputs: outputs === undefined ? [] : [...readTensors(openJson(outputs, limits)).keys()],
      id: members.get('id'),
    }
  },
  writeInputs: (inputs, outputs) =>
    Buffer.concat([
      Buffer.from('{"inputs":'),
      writeTensors(inputs),
      Buffer.from(`,"outputs":${JSON.stringify(outputs.map((name) => ({ name })))}}`),
    ]),
  readOutputs: (response, limits) =>
    readResponse(
      response,
      limits,
      (reader) => {
        const outputs = readMembers(reader).get('outputs')
        if (outputs === undefined) throw invalid('it has no outputs')
        return readTensors(openJson(outputs, limits))
      },
      'a list of outputs',
    ),
  writeOutputs: (outputs, { id }, { name, version }) =>
    Buffer.concat([
      Buffer.from(
        `{"model_name":${JSON.stringify(name)},"model_version":${JSON.stringify(version)},`,
      ),
      ...(id === undefined ? [] : [Buffer.from('"id":'), id, Buffer.from(',')]),
      Buffer.from('"outputs":'),
      writeTensors(outputs),
      Buffer.from('}'),
    ]),
}

function readWhole<T>(reader: JsonReader, read: (reader: JsonReader) => T): T {
  const value = read(reader)
  reader.end()
  return value
}

function readResponse(
  response: Buffer,
  limits: CodecLimits,
  read: (reader: JsonReader) => JsonValues,
  wanted: string,
): JsonValues {
  try {
    return readWhole(openJson(response, { ...limits, maxJsonBytes: Infinity }), read)
  } catch (cause) {
    const text = `its response is not a JSON object with ${wanted}`
    throw new ServerError('InternalServerException', text, { cause })
  }
}

/** Reads an object: the JSON of each member. */
function readMembers(reader: JsonReader): JsonValues {
  const members = new Map<string, Buffer>()
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const name = reader.readKey()
    if (members.has(name)) throw reader.error('a name occurs twice in one object')
    members.set(name, readValue(reader))
  }
  return members
}

function readValue(reader: JsonReader): Buffer {
  reader.peek()
  const start = reader.position
  reader.skipValue()
  return reader.bytes.subarray(start, reader.position)
}

/** Reads a list of objects with names: the JSON of the other members of each. */
function readTensors(reader: JsonReader): JsonValues {
  const tensors = new Map<string, Buffer>()
  for (let more = reader.openArray(); more; more = reader.nextElement()) {
    let name: string | undefined
    const others: Buffer[] = []
    for (let next = reader.openObject(); next; next = reader.nextMember()) {
      const key = reader.readKey()
      if (key === 'name' && reader.isString()) name = reader.readString()
      else others.push(Buffer.from(`,${JSON.stringify(key)}:`), readValue(reader))
    }
    if (name === undefined) throw reader.error('a tensor has no "name"')
    if (tensors.has(name)) throw reader.error('two tensors have the same name')
    tensors.set(name, Buffer.concat(others))
  }
  return tensors
}

function writeObject(values: JsonValues): Buffer {
  return writeList('{', '}', values, (name, value) => [
    Buffer.from(`${JSON.stringify(name)}:`),
    value,
  ])
}

function writeTensors(tensors: JsonValues): Buffer {
  return writeList('[', ']', tensors, (name, others) => [
    Buffer.from(`{"name":${JSON.stringify(name)}`),
    others,
    Buffer.from('}'),
  ])
}

function writeList(
  open: string,
  close: string,
  values: JsonValues,
  write: (name: string, value: Buffer) => readonly Buffer[],
): Buffer {
  const parts: Buffer[] = [Buffer.from(open)]
  for (const [name, value] of values) {
    if (parts.length > 1) parts.push(Buffer.from(','))
    parts.push(...write(name, value))
  }
  return Buffer.concat([...parts, Buffer.from(close)])
}

function invalid(text: string): ServerError {
  return new ServerError('InvalidInputException', text)
}
