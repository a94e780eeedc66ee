/**
 * Reports how each key of a Triton `ModelConfig` was used: read, changed, or ignored with the
 * reason.
 */
import type { Logger } from 'pino'
import { closestName } from '../../../closest-name.ts'
import type { ModelSettings } from '../../../model-folder/settings.ts'
import type { TextMessage, TextValue } from './protobuf-text.ts'

/** The source of a configuration. */
export type ConfigOrigin = 'config.pbtxt' | 'load request'

/** How one key was used. */
export interface ConfigKey {
  readonly from: ConfigOrigin
  /** With the names of its parents: `dynamic_batching.preferred_batch_size`. */
  readonly key: string
  readonly outcome: 'read' | 'changed' | 'ignored'
  /** The settings of onnxd from this key, or why it has no effect. */
  readonly text: string
}

/**
 * The settings that a key sets. A text is the reason why it sets none; `null` means that its parent
 * reports it.
 */
type Rule = string | null | readonly (keyof ModelSettings)[]

const TENSORS = 'onnxd reads names, types and shapes of inputs and outputs from the ONNX file'
const PLACE = 'the settings gpus and providers select the device'
const QUEUE = 'the settings queueSize and queueTimeout and the timeout of a request limit the wait'
const BATCH_TENSORS = 'onnxd does not add inputs or outputs'
const METRICS = 'the management listener always serves metrics at /metrics'
const TENSOR_RULES: Readonly<Record<string, Rule>> = {
  name: null,
  data_type: null,
  dims: null,
  format: 'the image handler reads the layout from model.json',
  reshape: [],
  is_shape_tensor: TENSORS,
  is_non_linear_format_io: TENSORS,
  allow_ragged_batch: 'onnxd never joins requests of different shapes into one run',
  optional: TENSORS,
}

const RULES: Readonly<Record<string, Rule>> = {
  name: 'the model name comes from the folder, the archive or the registration',
  platform: [],
  backend: [],
  runtime: 'onnxd uses its own onnxruntime and loads no other library',
  max_batch_size: ['batchSize', 'maxBatchSize'],
  default_model_filename: [],
  version_policy: [],
  input: TENSORS,
  output: TENSORS,
  ...within('input', TENSOR_RULES),
  ...within('output', { ...TENSOR_RULES, label_filename: ['labels'] }),
  instance_group: null,
  ...within('instance_group', {
    count: ['workers'],
    gpus: ['workers'],
    name: 'workers have numbers instead of names',
    kind: PLACE,
    secondary_devices: PLACE,
    host_policy: PLACE,
    profile: 'onnxd does not support TensorRT profiles',
    passive: 'all workers are active',
    rate_limiter: 'onnxd has no rate limiter; a free worker gets the next batch',
  }),
  dynamic_batching: null,
  ...within('dynamic_batching', {
    preferred_batch_size: 'a batch takes all waiting requests, up to max_batch_size',
    max_queue_delay_microseconds: ['maxBatchDelay'],
    preserve_ordering: 'onnxd sends each response as soon as it is ready',
    priority_levels: ['priorityLevels'],
    default_priority_level: ['defaultPriorityLevel'],
    default_queue_policy: QUEUE,
    priority_queue_policy: QUEUE,
  }),
  sequence_batching: 'onnxd does not support sequence batching; each request is independent',
  ensemble_scheduling: ['pipeline'],
  ...within('ensemble_scheduling', {
    step: null,
    'step.model_name': null,
    'step.model_version': null,
    'step.input_map': null,
    'step.input_map.key': null,
    'step.input_map.value': null,
    'step.output_map': null,
    'step.output_map.key': null,
    'step.output_map.value': null,
    'step.model_namespace': 'model names of onnxd have no namespace',
  }),
  optimization: 'use the settings graphOptimization, providers and threads instead',
  model_warmup: 'onnxd warms up each model with zeros, unless warmUp in model.json is false',
  response_cache: 'onnxd has no response cache',
  // Parameters of Triton's backends have no effect; `joinBatches` is onnxd's own.
  parameters: ['joinBatches'],
  model_transaction_policy: 'each request gets one response',
  model_repository_agents: 'onnxd has no repository agents',
  model_operations: 'onnxd does not load custom operators',
  metric_tags: METRICS,
  model_metrics: METRICS,
  cc_model_filenames: 'onnxd uses the same model file on every device',
  batch_input: BATCH_TENSORS,
  batch_output: BATCH_TENSORS,
}

/** Why a key set nothing, if there is more to say than that the default stays. */
const NO_SETTING: Readonly<Record<string, string>> = {
  parameters: 'set parameters of onnxd in model.json',
}

/** What {@link reportOf} needs besides the configuration. */
export interface ReportContext {
  readonly from: ConfigOrigin
  /** The settings from the configuration. */
  readonly settings: ModelSettings
  /** Settings that override it, for example those of `model.json`. */
  readonly stronger?: ModelSettings
  /** Keys that were changed, with the reason. */
  readonly changes?: Readonly<Record<string, string>>
  /** Keys that are read elsewhere but have no effect here, with the reason. */
  readonly unused?: Readonly<Record<string, string>>
  /** Keys that are used here but nowhere else, with what they do. */
  readonly used?: Readonly<Record<string, string>>
}

/** A model with its reports. */
interface Reported {
  readonly triton?: { readonly report: readonly ConfigKey[] }
  readonly loadReport?: readonly ConfigKey[]
}

/** Returns one entry for each key of a configuration, in the order of the text. */
export function reportOf(config: TextMessage, context: ReportContext): ConfigKey[] {
  const report = new Map<string, ConfigKey>()
  collect(config, '', context, report)
  return [...report.values()]
}

/** Returns both reports of a model: that of its file and that of its load request. */
export function configReportOf({ triton, loadReport }: Reported): readonly ConfigKey[] {
  return [...(triton?.report ?? []), ...(loadReport ?? [])]
}

/**
 * Logs the report of a model as one line, if it has a configuration. All versions share the file.
 */
export function logConfigReport(
  models: readonly (Reported & { name: string })[],
  log: Logger,
): void {
  const [first] = models
  if (first === undefined) return
  const report = configReportOf(first)
  if (report.length === 0) return
  const linesOf = (wanted: ConfigKey['outcome']): string[] =>
    report
      .filter(({ outcome }) => outcome === wanted)
      .map(({ from, key, text }) => `${from}: ${key}: ${text}`.replaceAll(/\p{Cc}/gu, ' '))
  const [read, changed, ignored] = [linesOf('read'), linesOf('changed'), linesOf('ignored')]
  log.info({ model: first.name, read, changed, ignored }, 'model configuration')
}

function collect(
  message: TextMessage,
  prefix: string,
  context: ReportContext,
  report: Map<string, ConfigKey>,
): void {
  for (const [name, values] of message.fields) {
    const key = prefix + name
    const entry = report.has(key) ? undefined : entryOf(key, values, context)
    if (entry !== undefined) report.set(key, { from: context.from, key, ...entry })
    if (!hasKeysWithin(key)) continue
    for (const value of values) {
      if (value.kind === 'message') collect(value, `${key}.`, context, report)
    }
  }
}

function entryOf(
  key: string,
  values: readonly TextValue[],
  { settings, stronger = {}, changes = {}, unused = {}, used = {} }: ReportContext,
): Pick<ConfigKey, 'outcome' | 'text'> | undefined {
  const use = ownValue(used, key)
  if (use !== undefined) return { outcome: 'read', text: use }
  const rule = Object.hasOwn(RULES, key) ? RULES[key] : unknownText(key)
  const reason = ownValue(unused, key) ?? rule
  if (reason === null || reason === undefined) {
    const isEmpty = values.every((value) => value.kind === 'message' && value.fields.size === 0)
    return isEmpty ? { outcome: 'read', text: 'the value is empty' } : undefined
  }
  if (typeof reason === 'string') return { outcome: 'ignored', text: reason }
  const became = reason.filter((setting) => settings[setting] !== undefined)
  if (reason.length > 0 && became.length === 0) {
    return { outcome: 'ignored', text: ownValue(NO_SETTING, key) ?? 'the value means the default' }
  }
  const overruled = became.filter((setting) => stronger[setting] !== undefined)
  if (became.length > 0 && overruled.length === became.length) {
    return { outcome: 'ignored', text: `model.json sets ${overruled.join(' and ')}` }
  }
  const text = became
    .map((setting) => `${setting} = ${JSON.stringify(settings[setting])}`)
    .join(', ')
  const change = ownValue(changes, key)
  if (change === undefined) return { outcome: 'read', text: text || 'used unchanged' }
  return { outcome: 'changed', text: text === '' ? change : `${text} (${change})` }
}

/** A field may have the name `constructor`, which every object has. */
function ownValue(texts: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(texts, key) ? texts[key] : undefined
}

function hasKeysWithin(key: string): boolean {
  return Object.keys(RULES).some((other) => other.startsWith(`${key}.`))
}

function unknownText(key: string): string {
  const text = 'ModelConfig of Triton has no such field'
  const place = key.slice(0, key.lastIndexOf('.') + 1)
  const known = Object.keys(RULES)
    .filter((other) => other.startsWith(place))
    .map((other) => other.slice(place.length))
    .filter((other) => !other.includes('.'))
  const closest = closestName(key.slice(place.length), known)
  return closest === undefined ? text : `${text}; did you mean ${closest}?`
}

function within(key: string, rules: Readonly<Record<string, Rule>>): Record<string, Rule> {
  return Object.fromEntries(Object.entries(rules).map(([name, rule]) => [`${key}.${name}`, rule]))
}
