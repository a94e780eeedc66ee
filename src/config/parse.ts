/** Combines the command line, the environment and the config file into the settings of a server. */
import { Type } from '@sinclair/typebox'
import { didYouMean } from '../closest-name.ts'
import { ConfigError } from '../errors.ts'
import { problemWith } from '../schema.ts'
import { ConfigSchema, completeConfig } from './config.ts'
import type { Config, ConfigOrigins } from './config.ts'
import { ignoredVariables } from './ignored-variables.ts'
import { readProperties } from './import/properties.ts'
import type { Import } from './import/properties.ts'
import { sagemakerSettings } from './import/sagemaker.ts'
import { readConfigFile, readEnvironment, readFlags } from './layers.ts'
import type { ConfigOrigin, Settings } from './layers.ts'
import { readToken } from './management-token.ts'
import { checkValues } from './value-checks.ts'

/** Result of {@link parseConfig}. */
export interface ParsedConfig {
  readonly config: Config
  readonly origins: ConfigOrigins
  /** MODEL arguments, as written. */
  readonly models: readonly string[]
  /** Settings imported from the configuration of another server, to show to the operator. */
  readonly imports: readonly Import[]
  /** One line per ignored environment variable, to show to the operator. */
  readonly ignored: readonly string[]
}

/**
 * Parses a command line (without the command word) and an environment.
 * @throws ConfigError that names the setting and its origin.
 */
export function parseConfig(argv: readonly string[], environment: NodeJS.ProcessEnv): ParsedConfig {
  const { flags, models, configFile } = readFlags(argv, ConfigSchema.properties)
  const file = configFile ?? environment.ONNXD_CONFIG
  const sagemaker = sagemakerSettings(environment)
  const foreign =
    file?.endsWith('.properties') === true ? readProperties(file, environment) : undefined
  const fileSettings = foreign?.settings ?? (file === undefined ? {} : readConfigFile(file))
  const layers: [origin: ConfigOrigin, settings: Settings][] = [
    ['SageMaker variables', sagemaker?.settings ?? {}],
    ['config file', fileSettings],
    ['environment', readEnvironment(environment, ConfigSchema.properties)],
    ['command line', flags],
  ]
  const merged: Settings = {}
  const origins: Record<string, ConfigOrigin> = {}
  for (const [origin, settings] of layers) {
    // A config file may have the list itself. An error must not show it.
    if (typeof settings.tokens === 'object') settings.tokens = JSON.stringify(settings.tokens)
    const place = origin === 'config file' ? `config file ${file ?? ''}` : `the ${origin}`
    checkSettings(settings, place)
    if (typeof settings.managementToken === 'string')
      settings.managementToken = readToken(settings.managementToken, place)
    Object.assign(merged, settings)
    for (const key of Object.keys(settings)) origins[key] = origin
  }
  const named = [...(foreign?.models ?? []), ...models]
  return {
    config: completeConfig(merged),
    origins,
    models: named.length > 0 ? named : (sagemaker?.models ?? []),
    imports: [sagemaker, foreign].filter((one) => one !== undefined),
    ignored: ignoredVariables(environment, Object.keys(ConfigSchema.properties)),
  }
}

function checkSettings(settings: Settings, origin: string): void {
  for (const key of Object.keys(settings)) {
    if (!Object.hasOwn(ConfigSchema.properties, key)) {
      const hint = didYouMean(key, Object.keys(ConfigSchema.properties))
      throw new ConfigError(`Unknown setting ${JSON.stringify(key)} in ${origin}.${hint}`)
    }
  }
  const problem = problemWith(Type.Partial(ConfigSchema), settings)
  if (problem !== undefined)
    throw new ConfigError(`A setting in ${origin} is not valid: ${problem}.`)
  checkValues(settings, origin)
}
