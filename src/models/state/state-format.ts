/**
 * The state that survives a restart, and its text on disk: `{"schemaVersion": 7, "savedAt": …,
 * "checksum": …, "state": {"models": […]}}`.
 */
import { createHash } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { Static, TOptional, TSchema, TUnsafe } from '@sinclair/typebox'
import { messageOf } from '../../errors.ts'
import { REQUESTED_NAMES, VERSION_SETTINGS } from '../../model-folder/version-settings.ts'
import type { RequestedName, SettingValue } from '../../model-folder/version-settings.ts'
import { fits, problemWith } from '../../schema.ts'
import { RolloutRecordSchema } from '../rollout/plan.ts'
import { RoutingSchema } from '../routing/routing.ts'
import { ShadowSchema } from '../shadow/shadow-settings.ts'
import { MODEL_NAME_PATTERN } from '../sources/model-name.ts'

/**
 * Version of {@link ServerState}. Each change of the schema increases it; older versions can still
 * be read.
 */
export const SCHEMA_VERSION = 7
/** Up to this version, times had other names and units. */
const LAST_WITH_MS = 4

/** A state that must not be used or changed. The message is for the operator. */
export class StateError extends Error {
  override readonly name = 'StateError'
}

/** A key may be absent or `undefined`: options are stored as the caller holds them. */
const optional = <T extends TSchema>(schema: T) =>
  Type.Optional(Type.Unsafe<Static<T> | undefined>(schema))

/** The settings that a registration can set. */
const SETTINGS = Object.fromEntries(
  REQUESTED_NAMES.map((name) => [name, optional(VERSION_SETTINGS[name].schema)]),
) as { [K in RequestedName]: TOptional<TUnsafe<SettingValue<K> | undefined>> }

const NamePattern = Type.String({ pattern: MODEL_NAME_PATTERN.source })

/** One version of a model, as it was registered. */
export const StoredModelSchema = Type.Object(
  {
    url: Type.String({ minLength: 1, maxLength: 4096, description: 'As the caller wrote it.' }),
    name: NamePattern,
    version: NamePattern,
    options: Type.Object(
      {
        ...SETTINGS,
        runtime: optional(Type.String({ maxLength: 100 })),
        maxBatchSize: optional(VERSION_SETTINGS.maxBatchSize.schema),
      },
      { additionalProperties: false, description: 'What the registration set, and nothing else.' },
    ),
    isDefault: Type.Boolean({ description: 'Served when a request names no version.' }),
    sha256: optional(Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Of the archive.' })),
    file: optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$',
        description: 'Archive in the state folder, for what was uploaded or downloaded.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type StoredModel = Static<typeof StoredModelSchema>

/**
 * Changes by requests to a version that the start loads. All its other settings come from the
 * start.
 */
export const AdjustmentSchema = Type.Object(
  {
    name: NamePattern,
    version: NamePattern,
    workers: optional(
      Type.Object(
        {
          min: Type.Integer({ minimum: 0, maximum: 256 }),
          max: Type.Integer({ minimum: 0, maximum: 256 }),
        },
        { additionalProperties: false, description: 'As it was scaled last, if it was.' },
      ),
    ),
    isDefault: Type.Boolean({ description: 'Chosen as the default by a request.' }),
  },
  { additionalProperties: false },
)
export type Adjustment = Static<typeof AdjustmentSchema>

/** Labels and weights of one model. */
const StoredRoutingSchema = Type.Object(
  { name: NamePattern, routing: RoutingSchema },
  { additionalProperties: false },
)
export type StoredRouting = Static<typeof StoredRoutingSchema>

/** The shadow of one model. */
const StoredShadowSchema = Type.Object(
  { name: NamePattern, shadow: ShadowSchema },
  { additionalProperties: false },
)
export type StoredShadow = Static<typeof StoredShadowSchema>
/** The rollout of one model that runs, or its last one. */
const StoredRolloutSchema = Type.Object(
  { name: NamePattern, rollout: RolloutRecordSchema },
  { additionalProperties: false },
)
export type StoredRollout = Static<typeof StoredRolloutSchema>

export const ServerStateSchema = Type.Object(
  {
    models: Type.Array(StoredModelSchema, { maxItems: 100_000 }),
    adjustments: optional(Type.Array(AdjustmentSchema, { maxItems: 100_000 })),
    routings: optional(Type.Array(StoredRoutingSchema, { maxItems: 100_000 })),
    shadows: optional(Type.Array(StoredShadowSchema, { maxItems: 100_000 })),
    rollouts: optional(Type.Array(StoredRolloutSchema, { maxItems: 100_000 })),
  },
  { additionalProperties: false },
)
export type ServerState = Static<typeof ServerStateSchema>

/** Result of {@link decodeState}. */
export type Decoded =
  | { readonly kind: 'good'; readonly state: ServerState }
  | { readonly kind: 'damaged'; readonly reason: string }
  | { readonly kind: 'newer'; readonly schemaVersion: number }

/** @throws StateError if the state could not be read again. */
export function encodeState(state: ServerState, savedAt: string): string {
  // Removes `undefined`, and separates the copy from objects that the caller still changes.
  const copy: unknown = JSON.parse(JSON.stringify(state))
  if (!fits(ServerStateSchema, copy)) {
    throw new StateError(`State cannot be saved: ${problemWith(ServerStateSchema, copy) ?? ''}.`)
  }
  const checksum = checksumOf(SCHEMA_VERSION, savedAt, copy)
  return `${JSON.stringify({ schemaVersion: SCHEMA_VERSION, savedAt, checksum, state: copy }, null, 2)}\n`
}

/**
 * Parses a text. A newer schema version is detected before any damage, because the file belongs to
 * a newer onnxd and must not change.
 */
export function decodeState(text: string): Decoded {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (error) {
    return { kind: 'damaged', reason: text === '' ? 'it is empty' : messageOf(error, 200) }
  }
  if (typeof content !== 'object' || content === null) return damaged('it is not a JSON object')
  const { schemaVersion, savedAt, checksum, state }: Record<string, unknown> = { ...content }
  if (!Number.isInteger(schemaVersion) || typeof schemaVersion !== 'number' || schemaVersion < 1) {
    return damaged('it has no schema version')
  }
  if (schemaVersion > SCHEMA_VERSION) return { kind: 'newer', schemaVersion }
  if (checksum !== checksumOf(schemaVersion, savedAt, state)) return damaged('wrong checksum')
  const current = schemaVersion <= LAST_WITH_MS ? withoutMs(state) : state
  if (fits(ServerStateSchema, current)) return { kind: 'good', state: current }
  return damaged(problemWith(ServerStateSchema, current) ?? 'it is not the state of a server')
}

/** SHA-256 of everything else in the file, in one fixed form. */
function checksumOf(schemaVersion: number, savedAt: unknown, state: unknown): string {
  const text = JSON.stringify([schemaVersion, savedAt, state])
  return createHash('sha256').update(text).digest('hex')
}

/** Converts a state of an earlier version: the times of its options have the names of the API. */
function withoutMs(state: unknown): unknown {
  const { models }: { models?: unknown } = { ...(state as object) }
  if (!Array.isArray(models)) return state
  const converted = { ...(state as object), models: models.map(modelWithoutMs) }
  // Removes `undefined`.
  return JSON.parse(JSON.stringify(converted))
}

function modelWithoutMs(model: unknown): unknown {
  const { options, ...others }: { options?: unknown } = { ...(model as object) }
  const {
    maxBatchDelayMs: maxBatchDelay,
    responseTimeoutMs,
    startupTimeoutMs,
    ...same
  }: Record<string, unknown> = { ...(options as object) }
  const seconds = (ms: unknown): unknown => (typeof ms === 'number' ? ms / 1000 : ms)
  const times = {
    maxBatchDelay,
    responseTimeout: seconds(responseTimeoutMs),
    startupTimeout: seconds(startupTimeoutMs),
  }
  return { ...others, options: { ...same, ...times } }
}

function damaged(reason: string): Decoded {
  return { kind: 'damaged', reason }
}
