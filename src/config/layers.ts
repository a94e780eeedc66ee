/** Reads settings from the command line, the environment and the config file. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { KindGuard } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import type * as Yaml from 'yaml'
import { flagProblem } from '../closest-name.ts'
import { ConfigError, fileProblem } from '../errors.ts'

/** Settings by key, of one origin or merged from several. */
export type Settings = Record<string, unknown>

/** Origins of settings, lowest priority first. */
export type ConfigOrigin = 'SageMaker variables' | 'config file' | 'environment' | 'command line'

const ALL_FLAGS = 'Run "onnxd help serve" to list all flags.'

/** Flags of one letter, by key. */
const SHORT_FLAGS: Readonly<Record<string, string>> = { port: 'p' }

/** The schema of each setting, by key. */
type Schemas = Readonly<Record<string, TSchema>>

/** Returns the flag of a key: `batch-size` for `batchSize`. */
export function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** Returns the environment variable of a key: `ONNXD_BATCH_SIZE` for `batchSize`. */
export function environmentName(key: string): string {
  return `ONNXD_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

/** The content of a command line. */
export interface CommandLine {
  readonly flags: Settings
  /** MODEL arguments, as written. */
  readonly models: readonly string[]
  /** The value of `--config`. */
  readonly configFile: string | undefined
}

/** @throws ConfigError that names the flag. */
export function readFlags(argv: readonly string[], schemas: Schemas): CommandLine {
  const options: Record<string, { type: 'string' | 'boolean'; short?: string }> = {
    config: { type: 'string' },
  }
  for (const [key, schema] of Object.entries(schemas)) {
    options[flagName(key)] = { type: schema.type === 'boolean' ? 'boolean' : 'string' }
    if (schema.type === 'boolean') options[`no-${flagName(key)}`] = { type: 'boolean' }
    const short = SHORT_FLAGS[key]
    if (short !== undefined) options[flagName(key)] = { type: 'string', short }
  }
  let parsed
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true })
  } catch (error) {
    const text = `${flagProblem(error, [...Object.keys(options), 'help', 'version'])} ${ALL_FLAGS}`
    throw new ConfigError(text, { cause: error })
  }
  const flags: Settings = {}
  for (const [key, schema] of Object.entries(schemas)) {
    const value = parsed.values[flagName(key)]
    if (typeof value === 'string') flags[key] = fromText(value, schema, `--${flagName(key)}`)
    if (typeof value === 'boolean') flags[key] = value
    if (parsed.values[`no-${flagName(key)}`] === true) flags[key] = false
  }
  const { config } = parsed.values
  return {
    flags,
    models: parsed.positionals,
    configFile: typeof config === 'string' ? config : undefined,
  }
}

/**
 * Kubernetes sets variables with the names of these settings, for a service `onnxd` or
 * `onnxd-management`.
 */
const PORTS = ['port', 'managementPort']

/**
 * Returns the variables that Kubernetes sets for a service named `onnxd` or `onnxd-management`
 * (`ONNXD_PORT=tcp://10.0.0.1:8080`). They are not settings.
 */
export function serviceVariables(environment: NodeJS.ProcessEnv): Map<string, string> {
  const found = new Map<string, string>()
  for (const name of PORTS.map(environmentName)) {
    const value = environment[name]
    if (value !== undefined && /^(tcp|udp|sctp):\/\/\S+:\d+$/.test(value)) found.set(name, value)
  }
  return found
}

/** @throws ConfigError that names the variable. */
export function readEnvironment(environment: NodeJS.ProcessEnv, schemas: Schemas): Settings {
  const settings: Settings = {}
  const foreign = serviceVariables(environment)
  for (const [key, schema] of Object.entries(schemas)) {
    const value = environment[environmentName(key)]
    if (value !== undefined && !foreign.has(environmentName(key)))
      settings[key] = fromText(value, schema, environmentName(key))
  }
  return settings
}

/**
 * Reads a YAML or JSON file.
 * @throws ConfigError that names the file.
 */
export function readConfigFile(file: string): Settings {
  let content: unknown
  try {
    // JSON is YAML, so one parser reads both. It is loaded only here, because it is slow to load
    // and few starts need it.
    const { parse } = createRequire(import.meta.url)('yaml') as typeof Yaml
    content = parse(readFileSync(file, 'utf8')) ?? {}
  } catch (error) {
    const reason = fileProblem(error).replace(/[^.\n]$/, '$&.')
    throw new ConfigError(`Cannot read config file ${path.basename(file)}: ${reason}`, {
      cause: error,
    })
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new ConfigError(
      `Config file ${path.basename(file)} must contain one mapping of setting names to values.`,
    )
  }
  return { ...content }
}

/** Converts the text of a flag or a variable. Nothing is rounded: `1.5` is not a valid integer. */
function fromText(value: string, schema: TSchema, name: string): unknown {
  switch (schema.type) {
    case 'integer':
      if (/^-?\d{1,15}$/.test(value)) return Number(value)
      throw new ConfigError(`${name} must be an integer, not ${JSON.stringify(value)}.`)
    case 'boolean':
      if (value === 'true' || value === '1') return true
      if (value === 'false' || value === '0') return false
      throw new ConfigError(`${name} must be true or false, not ${JSON.stringify(value)}.`)
    case 'array':
      return value
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '')
    default:
      return KindGuard.IsUnion(schema) ? fromOneOf(value, schema.anyOf, name) : value
  }
}

/** Converts a setting that is a number or one of some words. */
function fromOneOf(value: string, schemas: readonly TSchema[], name: string): unknown {
  const words = schemas.filter((schema) => KindGuard.IsLiteral(schema)).map((word) => word.const)
  if (words.includes(value)) return value
  if (/^-?\d{1,15}(?:\.\d{1,15})?$/.test(value)) return Number(value)
  const text = `${name} must be a number or ${words.join(', ')}, not ${JSON.stringify(value)}.`
  throw new ConfigError(text)
}
