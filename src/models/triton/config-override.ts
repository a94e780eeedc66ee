/**
 * The configuration in a load request of Triton's clients: part of a `ModelConfig` as JSON text.
 */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { ServerError } from '../../errors.ts'
import type { ModelSettings } from '../../model-folder/settings.ts'
import {
  JOIN_BATCHES,
  MAX_BATCH_SIZE,
  MAX_PRIORITY_LEVELS,
  MAX_WORKERS,
  VERSION_SETTINGS,
} from '../../model-folder/version-settings.ts'
import { parseRequestJson } from '../../request-json.ts'
import { fits, problemWith, stringEnum } from '../../schema.ts'
import type { VersionOptions } from '../effective-settings.ts'
import { reportOf } from '../sources/config-pbtxt/config-report.ts'
import type { ConfigKey } from '../sources/config-pbtxt/config-report.ts'
import type { TextMessage, TextValue } from '../sources/config-pbtxt/protobuf-text.ts'

const NO_PLACE = 0

/** Protobuf writes 64-bit numbers in quotes, and clients also quote other numbers. */
const Count = Type.Union([
  Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 }),
  Type.String({ pattern: '^[0-9]{1,9}$' }),
])

/** The fields with an effect. Others, such as inputs and outputs, come from the model itself. */
const Override = Type.Object({
  max_batch_size: Type.Optional(Count),
  instance_group: Type.Optional(Type.Array(Type.Object({ count: Type.Optional(Count) }))),
  dynamic_batching: Type.Optional(
    Type.Object({
      max_queue_delay_microseconds: Type.Optional(Count),
      priority_levels: Type.Optional(Count),
      default_priority_level: Type.Optional(Count),
    }),
  ),
  parameters: Type.Optional(
    Type.Object({
      join_batches: Type.Optional(
        Type.Object({ string_value: Type.Optional(stringEnum(JOIN_BATCHES)) }),
      ),
    }),
  ),
})

/** Fields that are read only from a `config.pbtxt`. */
const FILE_ONLY = [
  'platform',
  'backend',
  'default_model_filename',
  'version_policy',
  'output.label_filename',
  'instance_group.gpus',
]

/** Result of {@link parseConfigOverride}. */
export interface ConfigOverride {
  readonly options: VersionOptions
  /** How each key was used. */
  readonly report: readonly ConfigKey[]
}

/**
 * Parses the options of a registration from such a text. As Protocol Buffers define it, null means
 * absent, and names may be in JavaScript style (`maxBatchSize`).
 * @throws ServerError `BadRequestException`.
 */
export function parseConfigOverride(text: string): ConfigOverride {
  const override = parse(text)
  const rows = override.max_batch_size
  const groups = override.instance_group
  const batching = override.dynamic_batching ?? {}
  const levels = levelIn(batching, 'priority_levels')
  const settings = withoutUndefined({
    maxBatchSize: rows === undefined ? undefined : Number(rows),
    batchSize: rows === undefined ? undefined : Math.min(Math.max(1, Number(rows)), MAX_BATCH_SIZE),
    workers: workersIn(groups),
    maxBatchDelay: delayIn(batching.max_queue_delay_microseconds),
    joinBatches: override.parameters?.join_batches?.string_value,
    // In Triton 0 means no priorities, which is one level.
    priorityLevels: levels === undefined ? undefined : Math.max(1, levels),
    defaultPriorityLevel: levelIn(batching, 'default_priority_level'),
  })
  const reason = 'this field has an effect only in config.pbtxt'
  const unused = Object.fromEntries(FILE_ONLY.map((key) => [key, reason]))
  const message = messageOf(override)
  const report = reportOf(message, { from: 'load request', settings, unused })
  return { options: settings, report }
}

/** @returns Milliseconds. */
function delayIn(microseconds: Static<typeof Count> | undefined): number | undefined {
  if (microseconds === undefined) return undefined
  const delay = Number(microseconds) / 1000
  const problem = problemWith(VERSION_SETTINGS.maxBatchDelay.schema, delay)
  if (problem === undefined) return delay
  const text = `config, /dynamic_batching/max_queue_delay_microseconds, in milliseconds: ${problem}`
  throw new ServerError('BadRequestException', text)
}

function workersIn(groups: Static<typeof Override>['instance_group']): number | undefined {
  // In the JSON of protocol buffers an empty list means that nothing is set.
  if (groups?.length === 0) return undefined
  // In protocol buffers 0 is the same as absent, and Triton then starts one instance.
  const workers = groups?.reduce((sum, { count = 1 }) => sum + Math.max(1, Number(count)), 0)
  if (workers === undefined || workers <= MAX_WORKERS) return workers
  const text = `config, the counts of /instance_group must be at most ${MAX_WORKERS} together`
  throw new ServerError('BadRequestException', text)
}

function levelIn(
  batching: NonNullable<Static<typeof Override>['dynamic_batching']>,
  name: 'priority_levels' | 'default_priority_level',
): number | undefined {
  const level = batching[name]
  if (level === undefined) return undefined
  if (Number(level) <= MAX_PRIORITY_LEVELS) return Number(level)
  const text = `config, /dynamic_batching/${name} must be at most ${MAX_PRIORITY_LEVELS}`
  throw new ServerError('BadRequestException', text)
}

function parse(text: string): Static<typeof Override> {
  const override = normalized(parseRequestJson(text, 'the config') ?? {})
  if (fits(Override, override)) return override
  const problem = problemWith(Override, override) ?? 'it is not valid'
  throw new ServerError('BadRequestException', `config, ${problem}`)
}

/** Removes nulls and changes the names of fields to those of `config.pbtxt`. */
function normalized(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((one: unknown) => normalized(one))
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).filter(([, member]) => member !== null)
  return Object.fromEntries(members.map(([name, member]) => [fieldName(name), normalized(member)]))
}

function fieldName(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** Returns the form of a parsed `config.pbtxt`. There a list is a repeated field. */
function messageOf(value: object): TextMessage {
  const fields = Object.entries(value).map(([name, member]): [string, TextValue[]] => [
    name,
    [member].flat().map(valueOf),
  ])
  return { kind: 'message', fields: new Map(fields), offset: NO_PLACE }
}

function valueOf(value: unknown): TextValue {
  return typeof value === 'object' && value !== null
    ? messageOf(value)
    : { kind: 'string', value: String(value), offset: NO_PLACE }
}

function withoutUndefined<T extends ModelSettings>(settings: {
  readonly [Key in keyof T]: T[Key] | undefined
}): ModelSettings {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))
}
