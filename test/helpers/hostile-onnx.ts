/**
 * Malformed and hostile ONNX models: with false sizes, loops, deep nesting, or too large. The files
 * are small, except where the function says so.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { field, model, node, tensorValue } from './onnx-fields.ts'

const FLOAT = 1
const INT64 = 7
const BOOL = 9
const EXTERNAL = 1
const NOTHING = Buffer.alloc(0)

/** `y = x + c`, with the given fields for the tensor `c`. */
export function modelOfConstant(...tensor: readonly Buffer[]): Buffer {
  return model(
    Buffer.concat([
      field(1, node('Add', ['x', 'c'], ['y'])),
      field(2, 'add'),
      field(5, Buffer.concat([...tensor, field(8, 'c')])),
      field(11, tensorValue('x', FLOAT, [1])),
      field(12, tensorValue('y', FLOAT, [1])),
    ]),
  )
}

/** `y = x + c`, with `c` in another file. The entries are `location`, `offset` and `length`. */
export function modelOfExternal(entries: Readonly<Record<string, string>>, dims = [1]): Buffer {
  return modelOfConstant(
    ...dims.map((size) => field(1, size)),
    field(2, FLOAT),
    ...Object.entries(entries).map(([key, value]) =>
      field(13, Buffer.concat([field(1, key), field(2, value)])),
    ),
    field(14, EXTERNAL),
  )
}

/** A graph of nodes from `x` to `y`, each of one float. */
export function modelOfNodes(nodes: readonly Buffer[], more: Buffer = NOTHING): Buffer {
  return model(
    Buffer.concat([
      ...nodes.map((one) => field(1, one)),
      field(2, 'graph'),
      field(11, tensorValue('x', FLOAT, [1])),
      field(12, tensorValue('y', FLOAT, [1])),
    ]),
    more,
  )
}

/** A node of another operator set than ONNX's. */
export function foreignNode(domain: string, operator: string): Buffer {
  return node(operator, ['x'], ['y'], field(7, domain))
}

/** One operator for each output. All of them read the first input. */
export function modelOfOutputs(names: readonly string[], inputs = ['x']): Buffer {
  return model(
    Buffer.concat([
      ...[...new Set(names)].map((name) => field(1, node('Relu', [inputs[0] ?? ''], [name]))),
      field(2, 'graph'),
      ...inputs.map((name) => field(11, tensorValue(name, FLOAT, [1]))),
      ...names.map((name) => field(12, tensorValue(name, FLOAT, [1]))),
    ]),
  )
}

/** A constant as the output, and no inputs. */
export function modelWithoutInputs(): Buffer {
  const value = Buffer.concat([field(1, 1), field(2, FLOAT), field(9, Buffer.alloc(4))])
  const attribute = field(5, Buffer.concat([field(1, 'value'), field(5, value), field(20, 4)]))
  return model(
    Buffer.concat([
      field(1, node('Constant', [], ['y'], attribute)),
      field(2, 'graph'),
      field(12, tensorValue('y', FLOAT, [1])),
    ]),
  )
}

/** A chain of `length` operators. */
export function chainModel(length: number): Buffer {
  const name = (index: number): string => (index === 0 ? 'x' : index === length ? 'y' : `t${index}`)
  return modelOfNodes(
    Array.from({ length }, (_, index) => node('Relu', [name(index)], [name(index + 1)])),
  )
}

const DOMAIN = 'own'

/** A function of the model with the given nodes. */
function functionOf(name: string, nodes: readonly Buffer[]): Buffer {
  const operators = (domain: string, version: number): Buffer =>
    field(9, Buffer.concat([field(1, domain), field(2, version)]))
  return field(
    25,
    Buffer.concat([
      field(1, name),
      field(4, 'x'),
      field(5, 'y'),
      ...nodes.map((one) => field(7, one)),
      operators('', 17),
      operators(DOMAIN, 1),
      field(10, DOMAIN),
    ]),
  )
}

const call = (name: string, input: string, output: string): Buffer =>
  node(name, [input], [output], field(7, DOMAIN))
const ownOperators = field(8, Buffer.concat([field(1, DOMAIN), field(2, 1)]))

/** A function that calls itself. */
export function recursiveModel(): Buffer {
  const own = functionOf('f', [call('f', 'x', 'y')])
  return modelOfNodes([call('f', 'x', 'y')], Buffer.concat([ownOperators, own]))
}

/** Functions that each call the next one twice: 2^`levels` operators after they are inlined. */
export function functionBomb(levels: number): Buffer {
  const functions = Array.from({ length: levels }, (_, level) =>
    functionOf(`f${level}`, [call(`f${level + 1}`, 'x', 't'), call(`f${level + 1}`, 't', 'y')]),
  )
  const last = functionOf(`f${levels}`, [node('Relu', ['x'], ['y'])])
  return modelOfNodes([call('f0', 'x', 'y')], Buffer.concat([ownOperators, ...functions, last]))
}

/** Graphs nested to the given depth. */
export function nestedGraphs(levels: number): Buffer {
  let graph = Buffer.concat([field(2, 'g'), field(12, tensorValue('y', FLOAT, [1]))])
  for (let level = 0; level < levels; level += 1) {
    const attribute = Buffer.concat([field(1, 'then_branch'), field(6, graph), field(20, 5)])
    graph = Buffer.concat([field(1, node('If', ['x'], ['y'], field(5, attribute))), field(2, 'g')])
  }
  return model(graph)
}

/** An input whose type is sequences nested to the given depth. */
export function nestedTypes(levels: number): Buffer {
  let type = field(1, Buffer.concat([field(1, FLOAT), field(2, NOTHING)]))
  for (let level = 0; level < levels; level += 1) type = field(4, field(1, type))
  const value = Buffer.concat([field(1, 'x'), field(2, type)])
  return model(Buffer.concat([field(1, node('Identity', ['x'], ['y'])), field(11, value)]))
}

const int64s = (...values: readonly bigint[]): Buffer => {
  const bytes = Buffer.alloc(8 * values.length)
  for (const [index, value] of values.entries()) bytes.writeBigInt64LE(value, index * 8)
  return bytes
}

const constant = (name: string, type: number, dims: readonly number[], data: Buffer): Buffer =>
  field(
    5,
    Buffer.concat([
      ...dims.map((size) => field(1, size)),
      field(2, type),
      field(8, name),
      field(9, data),
    ]),
  )

/** Zeros in a shape that is a constant of the graph, or an input `shape` of the request. */
export function zerosModel(shape?: readonly bigint[]): Buffer {
  const given =
    shape === undefined
      ? field(11, tensorValue('shape', INT64, [1]))
      : constant('shape', INT64, [shape.length], int64s(...shape))
  return model(
    Buffer.concat([
      field(1, node('ConstantOfShape', ['shape'], ['z'])),
      // Adds the input, so that onnxruntime cannot compute the result before a request.
      field(1, node('Add', ['z', 'x'], ['y'])),
      field(2, 'zeros'),
      given,
      field(11, tensorValue('x', FLOAT, [1])),
      field(12, Buffer.concat([field(1, 'y'), field(2, field(1, field(1, FLOAT)))])),
    ]),
  )
}

/**
 * A loop that keeps a tensor of `floats` numbers from each iteration. The request sends the number
 * of iterations as `turns`.
 */
export function growingLoop(floats: bigint): Buffer {
  const body = Buffer.concat([
    field(1, node('Identity', ['goOn'], ['goesOn'])),
    field(1, node('ConstantOfShape', ['size'], ['zeros'])),
    field(1, node('Identity', ['before'], ['after'])),
    field(2, 'body'),
    field(11, tensorValue('turn', INT64, [])),
    field(11, tensorValue('goOn', BOOL, [])),
    field(11, tensorValue('before', FLOAT, [1])),
    field(12, tensorValue('goesOn', BOOL, [])),
    field(12, tensorValue('after', FLOAT, [1])),
    field(12, Buffer.concat([field(1, 'zeros'), field(2, field(1, field(1, FLOAT)))])),
  ])
  const attribute = field(5, Buffer.concat([field(1, 'body'), field(6, body), field(20, 5)]))
  return model(
    Buffer.concat([
      field(1, node('Loop', ['turns', 'yes', 'x'], ['y', 'kept'], attribute)),
      field(2, 'growing'),
      constant('yes', BOOL, [], Buffer.from([1])),
      constant('size', INT64, [1], int64s(floats)),
      field(11, tensorValue('turns', INT64, [])),
      field(11, tensorValue('x', FLOAT, [1])),
      field(12, tensorValue('y', FLOAT, [1])),
      field(12, Buffer.concat([field(1, 'kept'), field(2, field(1, field(1, FLOAT)))])),
    ]),
  )
}

/** Writes a model with `mib` MiB of zero weights. The file is sparse and takes no disk space. */
export function writeLargeModel(file: string, mib: number): void {
  const bytes = mib * 1024 * 1024
  const weights = [field(1, bytes / 4), field(2, FLOAT), field(8, 'w')]
  const dataHead = varintHead(9, bytes)
  const tensorBytes = Buffer.concat(weights).length + dataHead.length + bytes
  const tensorHead = varintHead(5, tensorBytes)
  const rest = Buffer.concat([
    field(1, node('Add', ['x', 'w'], ['y'])),
    field(2, 'large'),
    field(11, tensorValue('x', FLOAT, [1])),
    field(12, tensorValue('y', FLOAT, [bytes / 4])),
  ])
  const graphBytes = rest.length + tensorHead.length + tensorBytes
  const start = Buffer.concat([
    field(1, 8),
    field(8, field(2, 17)),
    varintHead(7, graphBytes),
    rest,
    tensorHead,
    ...weights,
    dataHead,
  ])
  const descriptor = openSync(file, 'w')
  writeSync(descriptor, start)
  ftruncateSync(descriptor, start.length + bytes)
  closeSync(descriptor)
}

/** Tag and length of a field whose bytes follow. */
function varintHead(number: number, length: number): Buffer {
  const asNumber = field(number, length)
  asNumber[0] = (number << 3) | 2
  return asNumber
}
