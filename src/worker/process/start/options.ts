/**
 * Parses `ONNXD_WORKER_OPTIONS`: options that onnxd's front-end gives its workers in addition to
 * the protocol.
 */
import { DEFAULT_WORKER_OPTIONS } from '../handler.ts'
import type { WorkerOptions } from '../handler.ts'
import { UsageError } from './arguments.ts'

const JOIN_BATCHES = ['', 'auto', 'always', 'never']
const GRAPH_OPTIMIZATIONS = ['disabled', 'basic', 'extended', 'all']

/**
 * One check per option, written by hand: a schema library would cost every worker 11 MB and 0.1 s.
 */
const CHECKS: Readonly<Record<keyof WorkerOptions, (value: unknown) => boolean>> = {
  threads: isCount,
  graphOptimization: isOptimization,
  providers: (value) =>
    Array.isArray(value) && value.every((name) => typeof name === 'string' && name !== ''),
  warmUp: (value) => typeof value === 'boolean',
  allowHandlers: (value) => typeof value === 'boolean',
  modelVersion: (value) => typeof value === 'string',
  maxBatchSize: (value) => value === 0 || isCount(value),
  hasBatchDimension: (value) => typeof value === 'boolean',
  reshapes: isReshapes,
  joinBatches: (value) => typeof value === 'string' && JOIN_BATCHES.includes(value),
  labels: (value) => typeof value === 'string',
  root: (value) => typeof value === 'string',
  weights: (value) => typeof value === 'string',
  profile: (value) => typeof value === 'string',
  overrides: isOverrides,
  maxBodyBytes: isCount,
  maxResponseBytes: isCount,
  maxJsonBytes: isCount,
  maxJsonDepth: isCount,
  // The front-end has checked it.
  pipeline: (value) => typeof value === 'object',
  calls: (value) => value === 0 || isCount(value),
  streams: (value) => typeof value === 'boolean',
}

/**
 * Returns the default options, overwritten with those in `text`, a JSON object.
 * @throws UsageError when the text is not a JSON object or an option is unknown or malformed.
 */
export function parseWorkerOptions(text: string | undefined): WorkerOptions {
  if (text === undefined || text === '') return DEFAULT_WORKER_OPTIONS
  const given = parseObject(text)
  for (const [name, value] of Object.entries(given)) {
    const isRight = Object.hasOwn(CHECKS, name) && CHECKS[name as keyof WorkerOptions](value)
    if (!isRight) throw new UsageError(`ONNXD_WORKER_OPTIONS: ${JSON.stringify({ [name]: value })}`)
  }
  return { ...DEFAULT_WORKER_OPTIONS, ...given }
}

function parseObject(text: string): Partial<WorkerOptions> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new UsageError(`ONNXD_WORKER_OPTIONS is not valid JSON: ${String(error)}`)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new UsageError('ONNXD_WORKER_OPTIONS is not a JSON object')
}

function isOptimization(value: unknown): boolean {
  return typeof value === 'string' && GRAPH_OPTIMIZATIONS.includes(value)
}

function isOverrides(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).every(([name, one]) =>
    name === 'threads' ? isCount(one) : name === 'graphOptimization' && isOptimization(one),
  )
}

function isReshapes(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { inputs, outputs }: { inputs?: unknown; outputs?: unknown } = value
  return [inputs, outputs].every((list) => Array.isArray(list) && list.every(isReshape))
}

function isReshape(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { name, dims, shape }: { name?: unknown; dims?: unknown; shape?: unknown } = value
  const isShape = (sizes: unknown): boolean =>
    Array.isArray(sizes) && sizes.every((size) => Number.isSafeInteger(size))
  return typeof name === 'string' && isShape(dims) && isShape(shape)
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 1
}
