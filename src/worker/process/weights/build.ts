/** Builds the files of an entry, and checks that they give the same results as the original. */
import { createHash } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { MODEL_FILE, WEIGHTS_FILE } from '../../../contract/shared-weights.ts'
import type { FileDigest, SharedWeights, WeightsJob } from '../../../contract/shared-weights.ts'
import { messageOf } from '../../../errors.ts'
import { withProtoFile } from '../../../formats/proto-file.ts'
import { DEFAULT_WORKER_OPTIONS } from '../handler.ts'
import type { LoadContext } from '../handler.ts'
import { planOutputs } from '../onnx/graph/output-plan.ts'
import { loadFile } from '../onnx/runtime/load-file.ts'
import { MappedWeights } from '../onnx/runtime/mapped-weights.ts'
import { OnnxSession } from '../onnx/runtime/session.ts'
import { bytesOfData } from '../onnx/tensors/tensor.ts'
import { readDigest } from './digest.ts'
import type { ReadFile } from './digest.ts'
import { probesOf } from './probes.ts'
import type { Probe } from './probes.ts'
import { repairModel } from './repair.ts'

/** Smaller weights stay in the model file. onnxruntime maps only external ones. */
const MIN_EXTERNAL_BYTES = 1024
/** No further probe is run after so many milliseconds. */
const MAX_PROBE_MS = 20_000
/**
 * Longer than a tick of the file system clock. A later write then changes the times of a file that
 * has just been written and read.
 */
const CLOCK_MS = 20
const FAILED = 'failed'

/** The model is to be loaded without the cache, for a reason that is the whole message. */
export class UnfitError extends Error {}

/** The files of a new entry. */
export interface BuiltFiles {
  readonly shared: SharedWeights
  readonly digests: Readonly<Record<typeof MODEL_FILE | typeof WEIGHTS_FILE, FileDigest>>
}

/** A probe and the results that the original model has for it. */
interface Reference {
  readonly probe: Probe
  readonly result: string
}

/**
 * Writes the files of an entry into the folder of the job.
 * @throws UnfitError if the model must be loaded without the cache.
 */
export async function build(job: WeightsJob): Promise<BuiltFiles> {
  const [{ path: source } = { path: '' }] = job.sources
  const context = contextOf(job, source)
  const plain = attempt('The model cannot be loaded', () => OnnxSession.load(source, {}, context))
  const metadata = metadataOf(plain)
  const references = referencesOf(plain)
  plain.close()
  const names = plain.inputs.map(({ name }) => name)
  const [model, weights] = await write(job, source, new Set(names))
  const shared = {
    model: { path: path.join(job.building, MODEL_FILE), state: model.state },
    weights: { path: path.join(job.building, WEIGHTS_FILE), state: weights.state },
  }
  const mapped = new MappedWeights(shared)
  const cached = OnnxSession.load(source, {}, context, mapped)
  if (!cached.isMapped) {
    throw new UnfitError(`The written files cannot be loaded: ${mapped.problem ?? ''}`)
  }
  if (metadataOf(cached) !== metadata) throw new UnfitError('The written model has other inputs.')
  for (const { probe, result } of references) {
    if (resultOf(cached, probe) !== result) {
      throw new UnfitError('The written model gives other results than the original.')
    }
  }
  if (!cached.isIntact) throw new UnfitError('The written files were changed during the check.')
  cached.close()
  const digestOf = ({ bytes, sha256 }: ReadFile): FileDigest => ({ bytes, sha256 })
  return { shared, digests: { [MODEL_FILE]: digestOf(model), [WEIGHTS_FILE]: digestOf(weights) } }
}

function contextOf({ threads, graphOptimization }: WeightsJob, modelPath: string): LoadContext {
  const options = { ...DEFAULT_WORKER_OPTIONS, threads, graphOptimization, providers: ['cpu'] }
  return { modelName: '', modelPath, handler: 'onnx', batchSize: 1, gpu: undefined, options }
}

/** Writes the optimised graph, and weights in the layout of the operators, and reads them. */
async function write(
  job: WeightsJob,
  source: string,
  inputs: ReadonlySet<string>,
): Promise<[ReadFile, ReadFile]> {
  const { threads, graphOptimization, building, maxBytes } = job
  const [model, weights] = [MODEL_FILE, WEIGHTS_FILE].map((name) => path.join(building, name))
  if (model === undefined || weights === undefined) throw new UnfitError('No file was written.')
  const session = attempt('onnxruntime cannot write the model', () =>
    loadFile(source, planOutputs(source), {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      executionProviders: ['cpu'],
      graphOptimizationLevel: graphOptimization,
      logSeverityLevel: 4,
      optimizedModelFilePath: model,
      extra: {
        session: {
          optimized_model_external_initializers_file_name: WEIGHTS_FILE,
          optimized_model_external_initializers_min_size_in_bytes: String(MIN_EXTERNAL_BYTES),
          save_external_prepacked_constant_initializers: '1',
        },
      },
    }),
  )
  session.dispose()
  if (!existsSync(weights) || statSync(weights).size === 0) {
    throw new UnfitError('The model has no weights that could be shared.')
  }
  if (statSync(weights).size + statSync(model).size > maxBytes) {
    throw new UnfitError('The entry would be larger than the cache may be.')
  }
  const repaired = attempt('The written file is not a model', () =>
    withProtoFile(model, (file) => repairModel(file, inputs)),
  )
  if (repaired !== undefined) writeFileSync(model, repaired)
  for (const file of [model, weights]) flush(file)
  await delay(CLOCK_MS)
  return [readDigest(model, {}), readDigest(weights, {})]
}

function flush(file: string): void {
  const descriptor = openSync(file, 'r+')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Everything that the session says about the model's inputs and outputs, as one text. */
function metadataOf({ inputs, outputs }: OnnxSession): string {
  return JSON.stringify([inputs, outputs])
}

/**
 * Runs the original model twice with each probe.
 * @throws UnfitError if its results differ, or if it has no result for any probe.
 */
function referencesOf(session: OnnxSession): readonly Reference[] {
  const startedAt = performance.now()
  const references: Reference[] = []
  for (const probe of probesOf(session.inputs)) {
    const result = resultOf(session, probe)
    if (resultOf(session, probe) !== result) throw new UnfitError('The model is not deterministic.')
    references.push({ probe, result })
    const hasRandom = references.length > 1
    if (hasRandom && performance.now() - startedAt > MAX_PROBE_MS) break
  }
  if (references.some(({ result }) => result !== FAILED)) return references
  throw new UnfitError('The model runs with none of the inputs that the check knows.')
}

/** A hash of all outputs, bit by bit, or the fact that the run failed. */
function resultOf(session: OnnxSession, probe: Probe): string {
  const names = session.outputs.map(({ name }) => name)
  let outputs
  try {
    outputs = session.run(probe, names)
  } catch {
    return FAILED
  }
  const hash = createHash('sha256')
  for (const { datatype, shape, data } of outputs) {
    hash.update(JSON.stringify([datatype, shape]))
    hash.update(Array.isArray(data) ? JSON.stringify(data) : bytesOfData(data))
  }
  return hash.digest('hex')
}

function attempt<T>(what: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw new UnfitError(`${what}: ${messageOf(error, 300)}`, { cause: error })
  }
}
