/**
 * Reads the `config.properties` of MMS and TorchServe. Known keys become settings; the others are
 * listed.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { closestName } from '../../closest-name.ts'
import { ConfigError } from '../../errors.ts'
import type { Settings } from '../layers.ts'
import type { Flavour, MappedKey, Rule } from './mapped-key.ts'
import { COMMON_RULES, TORCHSERVE_RULES } from './properties-mapping.ts'
import { decodeProperties, parseProperties } from './properties-text.ts'

/** One setting from a key. For a MODEL argument the setting is `MODEL`. */
export interface AppliedKey {
  readonly key: string
  readonly setting: string
  readonly value: unknown
  readonly note?: string
}

/**
 * One key without effect. The operator sees the value, unless the key is unknown or it may be a
 * secret.
 */
export interface IgnoredKey {
  readonly key: string
  readonly value: string
  readonly reason: string
}

/** Result of importing the configuration of another server. */
export interface Import {
  readonly origin: Flavour | 'sagemaker'
  /** By key of the config schema. */
  readonly settings: Settings
  /** MODEL arguments, `path` or `name=path`. */
  readonly models: string[]
  readonly applied: AppliedKey[]
  readonly ignored: IgnoredKey[]
}

const HIDDEN = '(hidden)'
const SECRET_KEY = /_pass|passw|secret|credential|private_key$|api_?key/i
const SECRET_VALUE = /passw|passphrase|secret|credential|token|:\/\/[^/\s]*@/i
/** Keys that an environment variable cannot override, in MMS and in TorchServe. */
const FILE_ONLY = new Set([
  'enable_envvars_config',
  'models',
  'model_snapshot',
  'vmargs',
  'plugins_path',
])
const RULES: Readonly<Record<string, Rule>> = { ...COMMON_RULES, ...TORCHSERVE_RULES }

/**
 * Reads and maps the file at `file`.
 * @throws ConfigError as {@link importProperties}, or if the file cannot be read.
 */
export function readProperties(file: string, environment: NodeJS.ProcessEnv): Import {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ConfigError(`Cannot read config file ${path.basename(file)}: ${reason}`, { cause })
  }
  return importProperties(decodeProperties(bytes), environment)
}

/**
 * Maps a file to settings. It was written for TorchServe if it has a key that only TorchServe has,
 * if `TS_CONFIG_FILE` is set, or if a `TS_…` variable overrides a key; else for MMS. This decides
 * the unit of `default_response_timeout`: minutes in MMS, seconds in TorchServe.
 * @throws ConfigError that names the key, if an environment variable is not set, a number is not
 * valid, or an escape is not valid.
 */
export function importProperties(text: string, environment: NodeJS.ProcessEnv): Import {
  const properties = parseProperties(text)
  for (const [key, value] of properties) properties.set(key, substitute(key, value, environment))
  const mayOverride = isTrue(properties.get('enable_envvars_config'))
  const flavour = flavourOf(properties, environment, mayOverride)
  if (mayOverride) override(properties, environment, flavour)

  const result: Import = { origin: flavour, settings: {}, models: [], applied: [], ignored: [] }
  for (const [key, raw] of properties) {
    const value = raw.trim()
    // The value of an unknown key may be a secret.
    const shown = isKnown(key) ? value : HIDDEN
    record(result, key, shown, outcomesOf(key, value, { flavour, properties }))
  }
  // MMS and TorchServe load no models by default; onnxd loads the whole store.
  if (result.settings.modelStore !== undefined && result.settings.load === undefined) {
    const note = 'not set in the file, so no model is loaded at start'
    record(result, 'load_models', '', [{ setting: 'load', value: 'none', note }])
  }
  return result
}

/** Returns one line per key, for the operator. */
export function describeImport({ applied, ignored }: Import): string {
  const lines = [
    ...applied.map(({ key, setting, value, note }) => {
      const shown = `${key}: ${setting} = ${String(value)}`
      return note === undefined ? shown : `${shown} (${note})`
    }),
    ...ignored.map(({ key, value, reason }) => `${key}=${value} is ignored: ${reason}`),
  ]
  return lines.map((line) => line.replaceAll(/\p{Cc}/gu, ' ')).join('\n')
}

/** Adds the outcomes of a key to `result`. A value that may be a secret is hidden. */
export function record(
  result: Import,
  key: string,
  value: string,
  outcomes: readonly MappedKey[],
): void {
  const shown = SECRET_KEY.test(key) || SECRET_VALUE.test(value) ? HIDDEN : value
  for (const outcome of outcomes) {
    if ('reason' in outcome) {
      result.ignored.push({ key, value: shown, reason: outcome.reason })
    } else if ('model' in outcome) {
      result.models.push(outcome.model)
      result.applied.push({ key, setting: 'MODEL', value: outcome.model })
    } else {
      result.settings[outcome.setting] = outcome.value
      result.applied.push({ key, ...outcome })
    }
  }
}

function outcomesOf(
  key: string,
  value: string,
  context: { flavour: Flavour; properties: ReadonlyMap<string, string> },
): MappedKey[] {
  if (key === 'enable_envvars_config') {
    return [
      {
        reason: `it has no setting in onnxd; environment variables ${isTrue(value) ? 'override' : 'do not override'} the keys of this file`,
      },
    ]
  }
  const rule = isKnown(key) ? RULES[key] : undefined
  if (rule === undefined) {
    const closest = closestName(key, Object.keys(RULES))
    const hint = closest === undefined ? '' : `; did you mean ${closest}?`
    return [{ reason: `MMS and TorchServe have no such key${hint}` }]
  }
  if (typeof rule === 'string') return [{ reason: rule }]
  if (value === '') return [{ reason: 'the value is empty' }]
  try {
    return rule(value, context)
  } catch (error) {
    if (error instanceof ConfigError)
      throw new ConfigError(`${key}: ${error.message}`, { cause: error })
    throw error
  }
}

/** Replaces `$$NAME$$` by an environment variable. */
function substitute(key: string, value: string, environment: NodeJS.ProcessEnv): string {
  return value.replaceAll(/\$\$(\w+)\$\$/g, (_, name: string) => {
    const found = environment[name]
    if (found !== undefined) return found
    throw new ConfigError(`${key}: environment variable ${name} is not set.`)
  })
}

function flavourOf(
  properties: ReadonlyMap<string, string>,
  environment: NodeJS.ProcessEnv,
  mayOverride: boolean,
): Flavour {
  const isTorchServes = (key: string): boolean => Object.hasOwn(TORCHSERVE_RULES, key)
  if ([...properties.keys()].some(isTorchServes)) return 'torchserve'
  if (environment.TS_CONFIG_FILE !== undefined) return 'torchserve'
  const overrides = Object.keys(RULES).some(
    (key) => environment[variableOf('TS', key)] !== undefined,
  )
  return mayOverride && overrides ? 'torchserve' : 'mms'
}

function override(
  properties: Map<string, string>,
  environment: NodeJS.ProcessEnv,
  flavour: Flavour,
): void {
  const prefix = flavour === 'mms' ? 'MMS' : 'TS'
  const rules = flavour === 'mms' ? COMMON_RULES : RULES
  for (const key of Object.keys(rules)) {
    const value = environment[variableOf(prefix, key)]
    if (value === undefined || FILE_ONLY.has(key)) continue
    if (key === 'allowed_urls' && !isTrue(properties.get('use_env_allowed_urls'))) continue
    properties.set(key, value)
  }
}

function variableOf(prefix: string, key: string): string {
  return `${prefix}_${key.toUpperCase()}`
}

function isKnown(key: string): boolean {
  return Object.hasOwn(RULES, key) || key === 'enable_envvars_config'
}

function isTrue(value: string | undefined): boolean {
  return value?.trim().toLowerCase() === 'true'
}
