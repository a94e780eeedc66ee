import path from 'node:path'
import { listSupportedBackends } from 'onnxruntime-node'
import type { InferenceSession, Tensor as RuntimeTensor } from 'onnxruntime-node'
// The layer below `InferenceSession`. `InferenceSession` runs a turn of the event loop later, and
// repeats checks of this file.
import { binding } from 'onnxruntime-node/dist/binding.js'
import type { Binding } from 'onnxruntime-node/dist/binding.js'
import { DATATYPES } from '../../../../contract/datatypes.ts'
import { ServerError } from '../../../../errors.ts'
import type { ModelSettings } from '../../../../model-folder/settings.ts'
import type { LoadContext, Reshapes, TensorReshape } from '../../handler.ts'
import { quote } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { Datatype, Tensor } from '../tensors/tensor.ts'
import { foreignFileError, refuseOrtFormat } from './foreign-model.ts'
import { inputsWithoutShape } from './onnx-file.ts'
import { prepareRuntime } from './prepare-runtime.ts'
import { reshapingOf, toClient, toModel } from './reshape.ts'
import type { Reshaping } from './reshape.ts'
import { loadError, runError, unsupportedElements } from './runtime-errors.ts'

const RUNTIME_TYPES: Readonly<Record<Datatype, RuntimeTensor.Type>> = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
}
const DATATYPES_OF_RUNTIME: ReadonlyMap<string, Datatype> = new Map(
  DATATYPES.map((datatype) => [RUNTIME_TYPES[datatype], datatype]),
)
/** The numbers of ONNX's `TensorProto.DataType`. */
const ELEMENT_TYPES: ReadonlyMap<number, Datatype> = new Map([
  [1, 'FP32'],
  [2, 'UINT8'],
  [3, 'INT8'],
  [4, 'UINT16'],
  [5, 'INT16'],
  [6, 'INT32'],
  [7, 'INT64'],
  [8, 'BYTES'],
  [9, 'BOOL'],
  [10, 'FP16'],
  [11, 'FP64'],
  [12, 'UINT32'],
  [13, 'UINT64'],
])
/**
 * Log only fatal errors. The client gets the error of a failed run; in the log they would be too
 * many.
 */
const LOG_FATAL = 4
const RUN_OPTIONS: InferenceSession.RunOptions = {}

/** Outputs to compute: `null` makes onnxruntime allocate their tensors. */
type Fetches = Readonly<Record<string, null>>

/** A model in memory, ready to run. */
export class OnnxSession {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  readonly providers: readonly string[]
  readonly #session: Binding.InferenceSession
  readonly #inputReshapings: ReadonlyMap<string, Reshaping>
  readonly #outputReshapings: ReadonlyMap<string, Reshaping>
  /** Outputs of a run that computes all of them. */
  readonly #allOutputs: Fetches

  /** Use {@link OnnxSession.load}. */
  constructor(
    session: Binding.InferenceSession,
    providers: readonly string[],
    shapeless: ReadonlySet<string>,
    reshapes: Reshapes,
  ) {
    this.#session = session
    this.providers = providers
    const inputs = session.inputMetadata.map((value) => {
      const spec = specOf('Input', value)
      return shapeless.has(spec.name) ? { ...spec, anyShape: true } : spec
    })
    const outputs = session.outputMetadata.map((value) => specOf('Output', value))
    this.#inputReshapings = reshapingsOf('input', inputs, reshapes.inputs)
    this.#outputReshapings = reshapingsOf('output', outputs, reshapes.outputs)
    this.inputs = inputs.map((spec) => this.#inputReshapings.get(spec.name)?.shown ?? spec)
    this.outputs = outputs.map((spec) => this.#outputReshapings.get(spec.name)?.shown ?? spec)
    this.#allOutputs = fetchesOf(this.outputs.map(({ name }) => name))
  }

  /**
   * Loads a model. Settings of the model override options of the worker.
   * @throws ServerError `InvalidModelException`, or `InsufficientMemoryException` when memory ran
   * out.
   */
  static load(file: string, settings: ModelSettings, context: LoadContext): OnnxSession {
    prepareRuntime()
    const { options } = context
    const providers = chooseProviders(settings.providers ?? options.providers, context.gpu)
    refuseOrtFormat(file)
    const session = new binding.InferenceSession()
    try {
      session.loadModel(file, {
        intraOpNumThreads: settings.threads ?? options.threads,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        graphOptimizationLevel: settings.graphOptimization ?? options.graphOptimization,
        executionProviders: providers.map((name) => providerConfig(name, context.gpu)),
        logSeverityLevel: LOG_FATAL,
      })
    } catch (error) {
      throw foreignFileError(file) ?? loadError(error, path.dirname(file))
    }
    try {
      const hasScalar = session.inputMetadata.some(
        (value) => value.isTensor && value.shape.length === 0,
      )
      const shapeless = hasScalar ? inputsWithoutShape(file) : new Set<string>()
      return new OnnxSession(session, providers, shapeless, options.reshapes)
    } catch (error) {
      session.dispose()
      throw error
    }
  }

  /**
   * Runs the model and blocks this process until it is done.
   * @param inputs One tensor for each input, in the model's order.
   * @returns the named outputs, in the order of the names.
   * @throws ServerError 400, or 507 when memory ran out.
   */
  run(inputs: readonly Tensor[], outputNames: readonly string[]): readonly Tensor[] {
    const feeds: Record<string, RuntimeTensor> = {}
    for (const [index, { name }] of this.inputs.entries()) {
      const input = inputs[index]
      const reshaping = this.#inputReshapings.get(name)
      if (input !== undefined) feeds[name] = runtimeTensor(toModel(input, reshaping))
    }
    const isAll = outputNames.length === this.outputs.length
    const fetches = isAll ? this.#allOutputs : fetchesOf(outputNames)
    try {
      const results = this.#session.run(feeds, fetches, RUN_OPTIONS)
      return outputNames.map((name) =>
        toClient(tensorOf(name, results[name]), this.#outputReshapings.get(name)),
      )
    } catch (error) {
      throw error instanceof ServerError ? error : runError(error)
    }
  }

  close(): void {
    this.#session.dispose()
  }
}

function chooseProviders(wanted: readonly string[], gpu: number | undefined): readonly string[] {
  if (wanted.length === 0) return gpu === undefined ? ['cpu'] : ['cuda', 'cpu']
  const known = listSupportedBackends().map((backend) => backend.name)
  const unknown = wanted.find((name) => !known.includes(name))
  if (unknown === undefined) return wanted
  throw new ServerError(
    'InvalidModelException',
    `Execution provider ${quote(unknown)} is not available in this onnxruntime; it has ${known.join(', ')}.`,
  )
}

function providerConfig(
  name: string,
  gpu: number | undefined,
): InferenceSession.ExecutionProviderConfig {
  return gpu !== undefined && (name === 'cuda' || name === 'tensorrt')
    ? { name, deviceId: gpu }
    : name
}

/** @throws ServerError `InvalidModelException` for a value that is not a supported tensor. */
function specOf(kind: 'Input' | 'Output', value: Binding.ValueMetadata): TensorSpec {
  const { name } = value
  if (!value.isTensor) {
    const problem = 'is a sequence, map or optional; only tensors are supported'
    throw new ServerError('InvalidModelException', `${kind} ${quote(name)} ${problem}.`)
  }
  const datatype = ELEMENT_TYPES.get(value.type)
  if (datatype === undefined) throw unsupportedElements(`${kind} ${quote(name)}`, value.type)
  const dimensions = value.shape.map((dimension, axis) =>
    dimension < 0 ? (value.symbolicDimensions[axis] ?? '') : dimension,
  )
  return { name, datatype, shape: value.shape, dimensions }
}

/** @throws ServerError `InvalidModelException` for a name that the model does not have. */
function reshapingsOf(
  kind: 'input' | 'output',
  specs: readonly TensorSpec[],
  reshapes: readonly TensorReshape[],
): ReadonlyMap<string, Reshaping> {
  return new Map(
    reshapes.map((reshape) => {
      const spec = specs.find(({ name }) => name === reshape.name)
      if (spec !== undefined) return [spec.name, reshapingOf(spec, reshape)]
      const problem = `config.pbtxt reshapes ${kind} ${quote(reshape.name)}, which the model does not have.`
      throw new ServerError('InvalidModelException', problem)
    }),
  )
}

/** Builds a plain object for onnxruntime. An object of its class would repeat checks. */
function runtimeTensor({ datatype, data, shape }: Tensor): RuntimeTensor {
  const tensor: Pick<RuntimeTensor, 'type' | 'dims' | 'location'> & { data: Tensor['data'] } = {
    type: RUNTIME_TYPES[datatype],
    data,
    dims: shape,
    location: 'cpu',
  }
  return tensor as RuntimeTensor
}

function fetchesOf(names: readonly string[]): Fetches {
  return Object.fromEntries(names.map((name) => [name, null]))
}

function tensorOf(name: string, output: RuntimeTensor | undefined): Tensor {
  const datatype = output && DATATYPES_OF_RUNTIME.get(output.type)
  if (output === undefined || datatype === undefined) {
    const problem = `onnxruntime returned no tensor for output ${quote(name)}.`
    throw new ServerError('InvalidInputException', problem)
  }
  const { data, dims } = output
  if (datatype === 'BYTES') {
    if (!Array.isArray(data)) throw new TypeError('a tensor of strings contains something else')
    return { datatype, shape: dims, data }
  }
  if (Array.isArray(data)) throw new TypeError('a tensor of numbers contains something else')
  // With a Node version that has Float16Array, onnxruntime-node creates one.
  if (datatype === 'FP16' && !(data instanceof Uint16Array)) {
    return {
      datatype,
      shape: dims,
      data: new Uint16Array(data.buffer, data.byteOffset, data.length),
    }
  }
  return { datatype, shape: dims, data }
}
