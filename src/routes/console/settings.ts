import type { TSchema } from '@sinclair/typebox'
import { ConfigSchema, environmentName, flagName } from '../../config/config.ts'
import type { Config, ConfigOrigin, ConfigOrigins } from '../../config/config.ts'

/** Settings whose values nobody may see. */
const SECRET = /token|secret|password/i

/** A setting of the server, as the console shows it. */
export interface ShownSetting {
  readonly name: string
  /** Absent for a secret. */
  readonly value?: unknown
  /** For a secret: whether it has a value. */
  readonly isSet?: boolean
  readonly default: unknown
  readonly from: ConfigOrigin | 'default'
  readonly flag: string
  readonly variable: string
  readonly description: string
}

/** All settings of the server, in the order of the documentation. */
export function settingsOf(config: Config, origins: ConfigOrigins): ShownSetting[] {
  const values: Readonly<Record<string, unknown>> = config
  const from: Readonly<Record<string, ConfigOrigin | undefined>> = origins
  const schemas: Readonly<Record<string, TSchema>> = ConfigSchema.properties
  return Object.entries(schemas).map(([name, schema]) => ({
    name,
    ...(SECRET.test(name) ? { isSet: hasValue(values[name]) } : { value: values[name] }),
    default: (schema.default ?? null) as unknown,
    from: from[name] ?? 'default',
    flag: `--${flagName(name)}`,
    variable: environmentName(name),
    description: schema.description ?? '',
  }))
}

function hasValue(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== '' && value !== undefined
}
