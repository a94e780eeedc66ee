/**
 * Finds the outputs that are not tensors, which onnxruntime-node cannot return, and writes the
 * model with a tensor in place of each output of `ZipMap`: the scores that `ZipMap` made into maps.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { ProtoError, withProtoFile } from '../../../../formats/proto-file.ts'
import type { ProtoFile, Range } from '../../../../formats/proto-file.ts'
import { readClassList } from './class-list.ts'
import type { ClassList } from './class-list.ts'
import { readGraph } from './graph-reader.ts'
import type { Graph, GraphNode } from './graph.ts'
import { assemble, editMessage, fieldOf } from './message-edit.ts'
import type { Change } from './message-edit.ts'
import { readValueInfo, tensorInfo } from './value-info.ts'
import type { ValueInfo, ValueKind } from './value-info.ts'

const MODEL = { graph: 7, operatorSet: 8 } as const
const GRAPH = { node: 1, input: 11, output: 12, valueInfo: 13 } as const
const NODE = { input: 1, output: 2, name: 3, operator: 4 } as const
const KEPT_OF_NODE: ReadonlySet<number> = new Set([NODE.input, NODE.output, NODE.name])
const OPERATOR_SET_VERSION = 2
/** A version with `Identity`, for a model that uses no operator of ONNX itself. */
const IDENTITY_VERSION = 13
const FLOAT = 1
const CLASSICAL = 'ai.onnx.ml'
const CLASSIFIERS = /^(?:Linear|SVM|TreeEnsemble)Classifier$/

export interface OutputPlan {
  /** Kinds of the outputs that are not declared as tensors, by name. */
  readonly kinds: ReadonlyMap<string, ValueKind>
  /** The classes of each output that becomes a tensor in the rewritten model, by name. */
  readonly zipMaps: ReadonlyMap<string, ClassList>
  /**
   * Returns the rewritten model, whose weights are read only here; `undefined` if the model need
   * not or cannot be rewritten.
   */
  rewrite(): Buffer<ArrayBuffer> | undefined
}

const NOTHING_TO_DO: OutputPlan = {
  kinds: new Map(),
  zipMaps: new Map(),
  rewrite: () => undefined,
}

/** The `ZipMap` node of an output. */
interface Zipped {
  readonly node: GraphNode
  readonly classes: ClassList
  /** Names of the map on its way to the output. */
  readonly names: readonly string[]
}

/** Plans the outputs of a model. Never throws: onnxruntime reports what is wrong with the file. */
export function planOutputs(path: string): OutputPlan {
  try {
    return withProtoFile(path, (file) => planOf(file, path))
  } catch {
    return NOTHING_TO_DO
  }
}

function planOf(file: ProtoFile, path: string): OutputPlan {
  const { inputs, outputs } = readValues(file)
  const kinds = new Map(
    outputs.filter(({ kind }) => kind !== 'tensor').map(({ name, kind }) => [name, kind]),
  )
  if (kinds.size === 0) return NOTHING_TO_DO
  const graph = readGraph(file)
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((one) => [one, node])))
  const zipped = new Map<string, Zipped>()
  for (const name of kinds.keys()) {
    const found = zippedOf(file, name, producers)
    if (found !== undefined) zipped.set(name, found)
  }
  if (zipped.size === 0) return { ...NOTHING_TO_DO, kinds }
  const isOpen = inputs.every(({ dims }) => dims !== undefined && dims[0] === undefined)
  const labels = isOpen ? outputs.filter((output) => isLabelOfOne(output, producers)) : []
  return {
    kinds,
    zipMaps: new Map([...zipped].map(([name, { classes }]) => [name, classes])),
    rewrite: () => rewrite(path, graph, zipped, labels),
  }
}

function readValues(file: ProtoFile): Record<'inputs' | 'outputs', readonly ValueInfo[]> {
  const [inputs, outputs]: [ValueInfo[], ValueInfo[]] = [[], []]
  for (const graph of file.fields(file.whole)) {
    if (graph.number !== MODEL.graph) continue
    for (const field of file.fields(graph)) {
      if (field.number === GRAPH.input) inputs.push(readValueInfo(file, field))
      else if (field.number === GRAPH.output) outputs.push(readValueInfo(file, field))
    }
  }
  return { inputs, outputs }
}

/** Follows `Identity` back to `ZipMap`. */
function zippedOf(
  file: ProtoFile,
  output: string,
  producers: ReadonlyMap<string, GraphNode>,
): Zipped | undefined {
  const names = new Set<string>()
  for (let name = output; !names.has(name);) {
    names.add(name)
    const node = producers.get(name)
    if (node === undefined) return undefined
    if (node.operator === 'ZipMap' && node.domain === CLASSICAL) {
      const classes = readClassList(file, node.place)
      return classes && { node, classes, names: [...names] }
    }
    if (node.operator !== 'Identity' || node.domain !== '') return undefined
    name = node.inputs[0] ?? ''
  }
  return undefined
}

/**
 * Whether an output is the label of a classifier, declared with the shape [1]. onnxmltools declares
 * it for LightGBM, although the model has one label for each row.
 */
function isLabelOfOne(
  { name: output, kind, dims }: ValueInfo,
  producers: ReadonlyMap<string, GraphNode>,
): boolean {
  if (kind !== 'tensor' || dims?.length !== 1 || dims[0] !== 1) return false
  const seen = new Set<string>()
  for (let name = output; !seen.has(name);) {
    seen.add(name)
    const node = producers.get(name)
    if (node?.domain === CLASSICAL) {
      return CLASSIFIERS.test(node.operator) && node.outputs[0] === name
    }
    if (node?.operator !== 'Identity' && node?.operator !== 'Cast') return false
    name = node.inputs[0] ?? ''
  }
  return false
}

function rewrite(
  path: string,
  graph: Graph,
  zipped: ReadonlyMap<string, Zipped>,
  labels: readonly ValueInfo[],
): Buffer<ArrayBuffer> | undefined {
  const values = new Map<string, Buffer>(
    labels.map(({ name, elementType }) => [name, tensorInfo(name, elementType, [undefined])]),
  )
  for (const [name, { classes }] of zipped) {
    const count = classes.kind === 'texts' ? classes.texts.length : classes.numbers.length
    values.set(name, tensorInfo(name, FLOAT, [undefined, count]))
  }
  const places = new Set([...zipped.values()].map(({ node }) => node.place.start))
  const maps = new Set([...zipped.values()].flatMap(({ names }) => names))
  try {
    return withProtoFile(path, (file) => {
      const edited = editMessage(file, file.whole, (field) =>
        field.number === MODEL.graph ? editGraph(file, field, { values, places, maps }) : 'keep',
      )
      if (edited === undefined) return undefined
      return assemble(file, graph.operatorSets.has('') ? edited : [...edited, ...operatorSet()])
    })
  } catch (error) {
    // The file was changed meanwhile, or is too large for one buffer.
    if (error instanceof ProtoError || error instanceof RangeError) return undefined
    throw error
  }
}

interface Edits {
  /** New declarations of outputs, by name. */
  readonly values: ReadonlyMap<string, Buffer>
  /** Where the `ZipMap` nodes begin. */
  readonly places: ReadonlySet<number>
  /** Names of maps, whose declarations no longer hold. */
  readonly maps: ReadonlySet<string>
}

function editGraph(file: ProtoFile, graph: Range, { values, places, maps }: Edits): Change {
  const edited = editMessage(file, graph, (field) => {
    switch (field.number) {
      case GRAPH.node:
        return places.has(field.start) ? identity(file, field) : 'keep'
      case GRAPH.output: {
        const value = values.get(readValueInfo(file, field).name)
        return value === undefined ? 'keep' : [value]
      }
      case GRAPH.valueInfo:
        return maps.has(readValueInfo(file, field).name) ? 'drop' : 'keep'
      default:
        return 'keep'
    }
  })
  return edited ?? 'keep'
}

/** The node as an `Identity`: its inputs and outputs without its attributes. */
function identity(file: ProtoFile, node: Range): Change {
  const kept = editMessage(file, node, ({ number }) => (KEPT_OF_NODE.has(number) ? 'keep' : 'drop'))
  return [...(kept ?? []), ...fieldOf(NODE.operator, [Buffer.from('Identity')])]
}

function operatorSet(): ReturnType<typeof fieldOf> {
  const version = new BinaryWriter().tag(OPERATOR_SET_VERSION, WireType.Varint)
  return fieldOf(MODEL.operatorSet, [Buffer.from(version.int64(IDENTITY_VERSION).finish())])
}
