import path from 'node:path'
import {
  InferenceSession,
  Tensor as RuntimeTensor,
  env,
  listSupportedBackends,
} from 'onnxruntime-node'
import { DATATYPES } from '../../../datatypes.ts'
import { ServerError } from '../../../errors.ts'
import type { ModelSettings } from '../../../model-settings.ts'
import type { LoadContext } from '../handler.ts'
import { quote } from './error-text.ts'
import type { TensorSpec } from './metadata.ts'
import { loadError, runError } from './runtime-errors.ts'
import type { Datatype, Tensor } from './tensor.ts'

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
/** Nothing but fatal errors: what a run fails with is told to its caller, and would flood the log. */
const LOG_FATAL = 4

/** A network in memory, ready to run. */
export class OnnxSession {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  readonly providers: readonly string[]
  readonly #session: InferenceSession

  /** Use {@link OnnxSession.load}. */
  constructor(session: InferenceSession, providers: readonly string[]) {
    this.#session = session
    this.providers = providers
    this.inputs = session.inputMetadata.map((value) => specOf('Input', value))
    this.outputs = session.outputMetadata.map((value) => specOf('Output', value))
  }

  /**
   * Loads a network. Settings of the model win over the options of the worker.
   * @throws ServerError `InvalidModelException`, or `InsufficientMemoryException` when memory ran out.
   */
  static async load(
    file: string,
    settings: ModelSettings,
    context: LoadContext,
  ): Promise<OnnxSession> {
    env.logLevel = 'error'
    const { options } = context
    const providers = chooseProviders(settings.providers ?? options.providers, context.gpu)
    const session = await InferenceSession.create(file, {
      intraOpNumThreads: settings.threads ?? options.threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: settings.graphOptimization ?? options.graphOptimization,
      executionProviders: providers.map((name) => providerConfig(name, context.gpu)),
      logSeverityLevel: LOG_FATAL,
    }).catch((error: unknown) => {
      throw loadError(error, path.dirname(file))
    })
    try {
      return new OnnxSession(session, providers)
    } catch (error) {
      await session.release()
      throw error
    }
  }

  /**
   * Runs the network. `inputs` has a tensor for each input, in the model's order; the outputs named come back in
   * the order of the names.
   * @throws ServerError 400, or 507 when memory ran out.
   */
  async run(inputs: readonly Tensor[], outputNames: readonly string[]): Promise<readonly Tensor[]> {
    const feeds = Object.fromEntries(
      inputs.map((input, index) => [this.inputs[index]?.name ?? '', runtimeTensor(input)]),
    )
    try {
      // Every name in a list is looked up among all outputs, which a model with thousands would feel.
      const isAll = outputNames.length === this.outputs.length
      const results = await (isAll
        ? this.#session.run(feeds)
        : this.#session.run(feeds, outputNames))
      return outputNames.map((name) => tensorOf(name, results[name]))
    } catch (error) {
      throw error instanceof ServerError ? error : runError(error)
    }
  }

  close(): Promise<void> {
    return this.#session.release()
  }
}

function chooseProviders(wanted: readonly string[], gpu: number | undefined): readonly string[] {
  if (wanted.length === 0) return gpu === undefined ? ['cpu'] : ['cuda', 'cpu']
  const known = listSupportedBackends().map((backend) => backend.name)
  const unknown = wanted.find((name) => !known.includes(name))
  if (unknown === undefined) return wanted
  throw new ServerError(
    'InvalidModelException',
    `Execution provider ${quote(unknown)} is not part of this onnxruntime; it has ${known.join(', ')}.`,
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

/** @throws ServerError `InvalidModelException` for what cannot be sent as a tensor. */
function specOf(kind: 'Input' | 'Output', value: InferenceSession.ValueMetadata): TensorSpec {
  const { name } = value
  if (!value.isTensor) {
    const problem = 'is a sequence, map or optional; only tensors can be served'
    throw new ServerError('InvalidModelException', `${kind} ${quote(name)} ${problem}.`)
  }
  const datatype = DATATYPES_OF_RUNTIME.get(value.type)
  if (datatype === undefined) {
    const problem = `has type ${value.type}, which cannot be served`
    throw new ServerError('InvalidModelException', `${kind} ${quote(name)} ${problem}.`)
  }
  const shape = value.shape.map((dimension) => (typeof dimension === 'string' ? -1 : dimension))
  return { name, datatype, shape, dimensions: value.shape }
}

function runtimeTensor({ datatype, data, shape }: Tensor): RuntimeTensor {
  const tensor = new RuntimeTensor(RUNTIME_TYPES[datatype], data, shape)
  // Where Node has a Float16Array the tensor makes one of the bits, which the native side takes for empty.
  return datatype === 'FP16' ? Object.defineProperty(tensor, 'data', { value: data }) : tensor
}

function tensorOf(name: string, output: RuntimeTensor | undefined): Tensor {
  const datatype = output && DATATYPES_OF_RUNTIME.get(output.type)
  if (output === undefined || datatype === undefined) {
    const problem = `Output ${quote(name)} came back without a tensor.`
    throw new ServerError('InvalidInputException', problem)
  }
  const { data, dims } = output
  if (datatype === 'BYTES') {
    if (!Array.isArray(data)) throw new TypeError('a tensor of strings without strings')
    return { datatype, shape: dims, data }
  }
  if (Array.isArray(data)) throw new TypeError('a tensor of numbers without numbers')
  // Newer versions of Node have a Float16Array, which onnxruntime-node then makes.
  if (datatype === 'FP16' && !(data instanceof Uint16Array)) {
    return {
      datatype,
      shape: dims,
      data: new Uint16Array(data.buffer, data.byteOffset, data.length),
    }
  }
  return { datatype, shape: dims, data }
}
