/**
 * The settings of a model version that more than one place can set, each declared once: its schema,
 * its name in a registration, and the server setting that is its default. `model.json`,
 * registrations, the saved state and the description of a model are made from this table.
 */
import { Type } from '@sinclair/typebox'
import type {
  NumberOptions,
  SchemaOptions,
  Static,
  TLiteral,
  TNumber,
  TOptional,
  TSchema,
  TUnion,
} from '@sinclair/typebox'
import { stringEnum } from '../schema.ts'

/** Each level costs one list per model version. */
export const MAX_PRIORITY_LEVELS = 1000

/** Maximum number of requests in one batch. */
export const MAX_BATCH_SIZE = 65_536

/** Each worker is a process. */
export const MAX_WORKERS = 256

/** Milliseconds that a batch may wait to fill. `auto` waits as long as waiting saves time. */
export type BatchDelay = number | 'auto'

/**
 * Whether requests share runs of a model: if the graph proves that no result changes, always, or
 * never.
 */
export const JOIN_BATCHES = ['auto', 'always', 'never'] as const
export type JoinBatches = (typeof JOIN_BATCHES)[number]

/** Returns the schema of a {@link BatchDelay}. */
export function batchDelay(
  options: SchemaOptions,
  limits: NumberOptions = {},
): TUnion<[TNumber, TLiteral<'auto'>]> {
  return Type.Union([Type.Number({ minimum: 0, ...limits }), Type.Literal('auto')], options)
}

/** One setting. */
interface Declaration {
  readonly schema: TSchema
  /** Its name in a registration; absent if a registration cannot set it. */
  readonly parameter?: string
  /** The setting of the server that is its default; absent if the server has none. */
  readonly server?: string
  /** False if `model.json` cannot set it. */
  readonly isInFile?: false
}

/** The table. Units are those of the REST API. */
export const VERSION_SETTINGS = {
  handler: {
    schema: Type.String({
      description:
        '`onnx` (default), `image`, or a custom handler: `module.js:function` or `module.py:function`.',
    }),
    parameter: 'handler',
  },
  workers: {
    schema: Type.Integer({
      minimum: 0,
      maximum: MAX_WORKERS,
      description: 'Number of worker processes.',
    }),
    parameter: 'initial_workers',
    server: 'workers',
  },
  batchSize: {
    schema: Type.Integer({
      minimum: 1,
      maximum: MAX_BATCH_SIZE,
      description: 'Maximum number of requests in one batch; 1 disables batching.',
    }),
    parameter: 'batch_size',
    server: 'batchSize',
  },
  maxBatchSize: {
    schema: Type.Integer({
      minimum: 0,
      maximum: 2 ** 31 - 1,
      description:
        'Maximum batch dimension of one request, if the first dimension of the model is open; 0 means no limit.',
    }),
  },
  maxBatchDelay: {
    schema: batchDelay(
      {
        description:
          'Milliseconds to wait for a batch to fill. `auto` waits only while measured run times show a gain.',
      },
      { maximum: 60_000 },
    ),
    parameter: 'max_batch_delay',
    server: 'maxBatchDelay',
  },
  joinBatches: {
    schema: stringEnum(JOIN_BATCHES, {
      description:
        'Whether requests of a batch are joined into one run of the model. `auto` joins if the graph proves that no result changes; `always` joins without a proof; `never` runs each request alone.',
    }),
    parameter: 'join_batches',
    server: 'joinBatches',
  },
  priorityLevels: {
    schema: Type.Integer({
      minimum: 1,
      maximum: MAX_PRIORITY_LEVELS,
      description: 'Number of priority levels; level 1 is served first. 1 disables priorities.',
    }),
    parameter: 'priority_levels',
    server: 'priorityLevels',
  },
  defaultPriorityLevel: {
    schema: Type.Integer({
      minimum: 0,
      maximum: MAX_PRIORITY_LEVELS,
      description: 'Priority of requests that do not set one; 0 means the middle level.',
    }),
    parameter: 'default_priority_level',
    server: 'defaultPriorityLevel',
  },
  responseTimeout: {
    schema: Type.Integer({
      minimum: 1,
      maximum: 86_400,
      description: 'Seconds a worker has to run one batch.',
    }),
    parameter: 'response_timeout',
    server: 'responseTimeout',
    isInFile: false,
  },
  startupTimeout: {
    schema: Type.Integer({
      minimum: 1,
      maximum: 86_400,
      description: 'Load timeout: seconds a worker has to start and load the model.',
    }),
    parameter: 'startup_timeout',
    server: 'loadTimeout',
    isInFile: false,
  },
  loadOnDemand: {
    schema: Type.Boolean({
      description:
        'Load the model when its first request comes, and unload it when memory is needed for other models.',
    }),
    parameter: 'load_on_demand',
  },
  threads: { schema: Type.Integer({ minimum: 1, maximum: 1024 }), server: 'threads' },
  graphOptimization: {
    schema: stringEnum(['disabled', 'basic', 'extended', 'all']),
    server: 'graphOptimization',
  },
  providers: { schema: Type.Array(Type.String({ minLength: 1 })), server: 'providers' },
  warmUp: {
    schema: Type.Boolean({
      description:
        'Run the model once on zeros while it loads, so that the first request is not slower than the others.',
    }),
    server: 'warmUp',
  },
} as const satisfies Readonly<Record<string, Declaration>>

type Table = typeof VERSION_SETTINGS

/** Name of a setting. */
export type SettingName = keyof Table

/** Type of a setting. */
export type SettingValue<K extends SettingName> = Static<Table[K]['schema']>

/** Names of all settings. */
export const SETTING_NAMES = Object.keys(VERSION_SETTINGS) as readonly SettingName[]

/** Returns the name of the setting of the server that is the default of a setting. */
export function serverDefaultOf(
  name: SettingName,
): Extract<Table[SettingName], { readonly server: string }>['server'] | undefined {
  const declaration = VERSION_SETTINGS[name]
  return 'server' in declaration ? declaration.server : undefined
}

/** Names of the settings that a registration can have. */
export type RequestedName = {
  [K in SettingName]: Table[K] extends { readonly parameter: string } ? K : never
}[SettingName]

/** Names of the settings that a registration can have. */
export const REQUESTED_NAMES = SETTING_NAMES.filter(isRequested)

type FileName = {
  [K in SettingName]: Table[K] extends { readonly isInFile: false } ? never : K
}[SettingName]

/** The settings of `model.json` in this table. */
export const FILE_PROPERTIES = Object.fromEntries(
  Object.entries<Declaration>(VERSION_SETTINGS)
    .filter(([, { isInFile = true }]) => isInFile)
    .map(([name, { schema }]) => [name, Type.Optional(schema)]),
) as { [K in FileName]: TOptional<Table[K]['schema']> }

type ParameterOf<K extends RequestedName> = Table[K] extends {
  readonly parameter: infer P extends string
}
  ? P
  : never

/** The parameters of a registration in this table, by their names there. */
export const REQUEST_PROPERTIES = Object.fromEntries(
  REQUESTED_NAMES.map((name) => {
    const { schema, parameter }: Declaration = VERSION_SETTINGS[name]
    return [parameter, Type.Optional(schema)]
  }),
) as { [K in RequestedName as ParameterOf<K>]: TOptional<Table[K]['schema']> }

/** Settings as a registration sets them. */
export type RequestedSettings = {
  readonly [K in RequestedName]?: SettingValue<K> | undefined
}

/** Reads the settings from the parameters of a registration. */
export function requestedSettings(
  parameters: Readonly<Record<string, unknown>>,
): RequestedSettings {
  return Object.fromEntries(
    REQUESTED_NAMES.map((name) => [name, parameters[VERSION_SETTINGS[name].parameter]]),
  )
}

function isRequested(name: SettingName): name is RequestedName {
  return 'parameter' in VERSION_SETTINGS[name]
}
