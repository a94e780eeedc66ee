/** The configuration that a load request of Triton's clients may carry: part of a `ModelConfig` as JSON text. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { ServerError } from '../errors.ts'
import { JOIN_BATCHES, MAX_PRIORITY_LEVELS } from '../model-settings.ts'
import { fits, problemWith, stringEnum } from '../schema.ts'
import type { VersionOptions } from './effective-settings.ts'

/** Protobuf writes numbers of 64 bits in quotes, and clients quote others too. */
const Count = Type.Union([
  Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 }),
  Type.String({ pattern: '^[0-9]{1,9}$' }),
])

/** The fields that have an effect; others, such as inputs and outputs, are the model's own matter. */
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
      joinBatches: Type.Optional(
        Type.Object({ string_value: Type.Optional(stringEnum(JOIN_BATCHES)) }),
      ),
    }),
  ),
})

/**
 * Options of a registration out of such a text.
 * @throws ServerError `BadRequestException`.
 */
export function parseConfigOverride(text: string): VersionOptions {
  const override = parse(text)
  const rows = override.max_batch_size
  const groups = override.instance_group
  const batching = override.dynamic_batching ?? {}
  const delay = batching.max_queue_delay_microseconds
  const levels = levelIn(batching, 'priority_levels')
  return {
    maxBatchSize: rows === undefined ? undefined : Number(rows),
    batchSize: rows === undefined ? undefined : Math.min(Math.max(1, Number(rows)), 65_536),
    workers: groups?.reduce((sum, { count = 1 }) => sum + Number(count), 0),
    maxBatchDelayMs: delay === undefined ? undefined : Math.ceil(Number(delay) / 1000),
    joinBatches: override.parameters?.joinBatches?.string_value,
    // Without levels there is one.
    priorityLevels: levels === undefined ? undefined : Math.max(1, levels),
    defaultPriorityLevel: levelIn(batching, 'default_priority_level'),
  }
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
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ServerError('BadRequestException', 'the config is not JSON', { cause })
  }
  if (fits(Override, value)) return value
  const problem = problemWith(Override, value) ?? 'it is not right'
  throw new ServerError('BadRequestException', `config, ${problem}`)
}
