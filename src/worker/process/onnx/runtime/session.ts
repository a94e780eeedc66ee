import path from 'node:path'
import type { InferenceSession, Tensor as RuntimeTensor } from 'onnxruntime-node'
// The layer below `InferenceSession`. `InferenceSession` runs a turn of the event loop later, and
// repeats checks of this file.
import { binding } from 'onnxruntime-node/dist/binding.js'
import type { Binding } from 'onnxruntime-node/dist/binding.js'
import { foreignFileError, refuseOrtFormat } from '../../../../contract/foreign-model.ts'
import { WEIGHTS_UNUSED } from '../../../../contract/worker-lines.ts'
import { ServerError, messageOf } from '../../../../errors.ts'
import type { ModelSettings } from '../../../../model-folder/settings.ts'
import type { LoadContext, Reshapes, TensorReshape } from '../../handler.ts'
import type { ClassList } from '../graph/class-list.ts'
import { planOutputs } from '../graph/output-plan.ts'
import type { OutputPlan } from '../graph/output-plan.ts'
import { quote } from '../tensors/error-text.ts'
import type { TensorSpec, NotServedOutput } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { loadFile } from './load-file.ts'
import type { MappedWeights } from './mapped-weights.ts'
import { noTensorError, notServedOutput } from './not-served.ts'
import { inputsWithoutShape } from './onnx-file.ts'
import { prepareRuntime } from './prepare-runtime.ts'
import { chooseProviders, providerConfig } from './providers.ts'
import { reshapingOf, toClient, toModel } from './reshape.ts'
import type { Reshaping } from './reshape.ts'
import { cleanMessage, emptyInputError, loadError, runError } from './runtime-errors.ts'
import { runtimeTensor, specOf, tensorOf } from './values.ts'

/**
 * Log only fatal errors. The client gets the error of a failed run; in the log they would be too
 * many.
 */
const LOG_FATAL = 4
const RUN_OPTIONS: InferenceSession.RunOptions = {}

/** Outputs to compute: `null` makes onnxruntime allocate their tensors. */
type Fetches = Readonly<Record<string, null>>

/** What a session is made from, besides the model. */
interface SessionFacts {
  readonly providers: readonly string[]
  /** Inputs without a declared shape. */
  readonly shapeless: ReadonlySet<string>
  readonly reshapes: Reshapes
  readonly mapped: MappedWeights | undefined
  readonly profile: string
  readonly allowsEmptyInputs: boolean
}

/** A model in memory, ready to run. */
export class OnnxSession {
  readonly inputs: readonly TensorSpec[]
  /** The outputs that are tensors. */
  readonly outputs: readonly TensorSpec[]
  readonly notServed: readonly NotServedOutput[]
  /** The classes of each output that is a map in the file and a tensor here, by name. */
  readonly zipMaps: ReadonlyMap<string, ClassList>
  readonly providers: readonly string[]
  /** Begin of the path of the file in which operators are profiled; empty if they are not. */
  readonly profile: string
  readonly #session: Binding.InferenceSession
  readonly #inputReshapings: ReadonlyMap<string, Reshaping>
  readonly #outputReshapings: ReadonlyMap<string, Reshaping>
  /** Outputs of a run that computes all of them. */
  readonly #allOutputs: Fetches
  readonly #mapped: MappedWeights | undefined
  readonly #allowsEmptyInputs: boolean

  /** Use {@link OnnxSession.load}. */
  constructor(
    session: Binding.InferenceSession,
    { kinds, zipMaps }: OutputPlan,
    { providers, shapeless, reshapes, mapped, profile, allowsEmptyInputs }: SessionFacts,
  ) {
    this.#session = session
    this.#mapped = mapped
    this.#allowsEmptyInputs = allowsEmptyInputs
    this.providers = providers
    this.profile = profile
    const inputs = session.inputMetadata.map((value) => {
      const spec = specOf('Input', value)
      return shapeless.has(spec.name) ? { ...spec, anyShape: true } : spec
    })
    const tensors = session.outputMetadata.filter(({ isTensor }) => isTensor)
    const outputs = tensors.map((value) => specOf('Output', value))
    this.notServed = session.outputMetadata
      .filter(({ isTensor }) => !isTensor)
      .map(({ name }) => notServedOutput(name, kinds.get(name)))
    if (outputs.length === 0 && this.notServed.length > 0) throw noTensorError(this.notServed)
    this.zipMaps = new Map(
      [...zipMaps].filter(([name]) => outputs.some((one) => one.name === name)),
    )
    this.#inputReshapings = reshapingsOf('input', inputs, reshapes.inputs)
    this.#outputReshapings = reshapingsOf('output', outputs, reshapes.outputs)
    this.inputs = inputs.map((spec) => this.#inputReshapings.get(spec.name)?.shown ?? spec)
    this.outputs = outputs.map((spec) => this.#outputReshapings.get(spec.name)?.shown ?? spec)
    this.#allOutputs = fetchesOf(this.outputs.map(({ name }) => name))
  }

  /**
   * Loads a model. Settings of the model override options of the worker.
   * @param mapped Files of the weight cache to load instead; the original is loaded if they were
   * changed or cannot be loaded.
   * @throws ServerError `InvalidModelException`, or `InsufficientMemoryException` when memory ran
   * out.
   */
  static load(
    file: string,
    settings: ModelSettings,
    context: LoadContext,
    mapped?: MappedWeights,
  ): OnnxSession {
    prepareRuntime()
    const { options } = context
    const { profile, overrides } = options
    const providers = chooseProviders(settings.providers ?? options.providers, context.gpu)
    refuseOrtFormat(file)
    const common = {
      intraOpNumThreads: overrides.threads ?? settings.threads ?? options.threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      executionProviders: providers.map((name) => providerConfig(name, context.gpu)),
      logSeverityLevel: LOG_FATAL,
      ...(profile !== '' && { enableProfiling: true, profileFilePrefix: profile }),
    } as const
    const plan = planOutputs(file)
    let session = mapped && loadMapped(mapped, common)
    const used = session === undefined ? undefined : mapped
    if (session === undefined) {
      const graphOptimizationLevel =
        overrides.graphOptimization ?? settings.graphOptimization ?? options.graphOptimization
      try {
        session = loadFile(file, plan, { ...common, graphOptimizationLevel })
      } catch (error) {
        throw foreignFileError(file) ?? loadError(error, path.dirname(file))
      }
    }
    try {
      const hasScalar = session.inputMetadata.some(
        (value) => value.isTensor && value.shape.length === 0,
      )
      const shapeless = hasScalar ? inputsWithoutShape(file) : new Set<string>()
      const { reshapes } = options
      const allowsEmptyInputs = settings.allowEmptyInputs === true
      const facts = { providers, shapeless, reshapes, mapped: used, profile, allowsEmptyInputs }
      return new OnnxSession(session, plan, facts)
    } catch (error) {
      used?.close()
      session.dispose()
      throw error
    }
  }

  /** Whether the weights come from the weight cache. */
  get isMapped(): boolean {
    return this.#mapped !== undefined
  }

  /** False if the files of the weight cache were changed, so that results may be wrong. */
  get isIntact(): boolean {
    return this.#mapped?.isIntact ?? true
  }

  /**
   * Runs the model and blocks this process until it is done.
   * @param inputs One tensor for each input, in the model's order.
   * @returns the named outputs, in the order of the names.
   * @throws ServerError 400, or 507 when memory ran out. 400 also if an input has no elements and
   * an output has some, unless the settings allow that: onnxruntime's Concat skips such an input
   * and leaves its part of the output as it was in memory, perhaps a result of another request.
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
      const outputs = outputNames.map((name) =>
        toClient(tensorOf(name, results[name]), this.#outputReshapings.get(name)),
      )
      const empty = this.#allowsEmptyInputs ? -1 : inputs.findIndex(({ data }) => data.length === 0)
      if (empty !== -1 && outputs.some(({ data }) => data.length > 0))
        throw emptyInputError(this.inputs[empty]?.name ?? '')
      return outputs
    } catch (error) {
      throw error instanceof ServerError ? error : runError(error)
    }
  }

  /** Completes the file of the profile, if the worker has one. */
  endProfiling(): void {
    this.#session.endProfiling()
  }

  close(): void {
    this.#session.dispose()
    this.#mapped?.close()
  }
}

/**
 * Loads the files of the weight cache. Their graph is already optimised, so onnxruntime does not do
 * it again. Returns `undefined` if they cannot be used.
 */
function loadMapped(
  mapped: MappedWeights,
  options: InferenceSession.SessionOptions,
): Binding.InferenceSession | undefined {
  let session: Binding.InferenceSession | undefined
  try {
    mapped.load((file) => {
      const loading = new binding.InferenceSession()
      loading.loadModel(file, { ...options, graphOptimizationLevel: 'disabled' })
      session = loading
    })
    return session
  } catch (error) {
    session?.dispose()
    mapped.problem = cleanMessage(messageOf(error), '')
    console.log(`${WEIGHTS_UNUSED}${mapped.problem}`)
    return undefined
  }
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

function fetchesOf(names: readonly string[]): Fetches {
  return Object.fromEntries(names.map((name) => [name, null]))
}
