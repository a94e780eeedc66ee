/** Settings as they are written: on the command line, in the environment, in the config file. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { KindGuard } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import type * as Yaml from 'yaml'
import { didYouMean } from '../closest-name.ts'
import { ConfigError, messageOf } from '../errors.ts'

/** Settings by their key, of one origin or of several merged. */
export type Settings = Record<string, unknown>

/** Where the server's settings can come from, the weakest first. */
export type ConfigOrigin = 'SageMaker variables' | 'config file' | 'environment' | 'command line'

/** The schema of each setting, by its key. */
type Schemas = Readonly<Record<string, TSchema>>

/** `batchSize` as a flag: `batch-size`. */
export function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** `batchSize` as an environment variable: `ONNXD_BATCH_SIZE`. */
export function environmentName(key: string): string {
  return `ONNXD_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

/** What a command line holds. */
export interface CommandLine {
  readonly flags: Settings
  /** MODEL arguments, as written. */
  readonly models: readonly string[]
  /** `--config FILE`. */
  readonly configFile: string | undefined
}

/** @throws ConfigError naming the flag. */
export function readFlags(argv: readonly string[], schemas: Schemas): CommandLine {
  const options: Record<string, { type: 'string' | 'boolean' }> = { config: { type: 'string' } }
  for (const [key, schema] of Object.entries(schemas)) {
    options[flagName(key)] = { type: schema.type === 'boolean' ? 'boolean' : 'string' }
    if (schema.type === 'boolean') options[`no-${flagName(key)}`] = { type: 'boolean' }
  }
  let parsed
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true })
  } catch (error) {
    throw new ConfigError(messageOf(error) + hintFor(argv, Object.keys(options)), { cause: error })
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

/** The flag that was probably meant by the first one that does not exist. */
function hintFor(argv: readonly string[], names: readonly string[]): string {
  const unknown = argv
    .filter((word) => word.startsWith('--') && word.length > 2)
    .map((word) => word.slice(2).replace(/=.*/s, ''))
    .find((name) => !names.includes(name))
  return unknown === undefined
    ? ''
    : didYouMean(
        unknown,
        names.map((name) => `--${name}`),
      )
}

/** The settings that Kubernetes has variables for: of a service `onnxd`, or `onnxd-management`. */
const PORTS = ['port', 'managementPort']

/** Variables that Kubernetes sets for a service of our name (`ONNXD_PORT=tcp://10.0.0.1:8080`). They are no settings. */
export function serviceVariables(environment: NodeJS.ProcessEnv): Map<string, string> {
  const found = new Map<string, string>()
  for (const name of PORTS.map(environmentName)) {
    const value = environment[name]
    if (value !== undefined && /^(tcp|udp|sctp):\/\/\S+:\d+$/.test(value)) found.set(name, value)
  }
  return found
}

/** @throws ConfigError naming the variable. */
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
 * @throws ConfigError naming the file.
 */
export function readConfigFile(file: string): Settings {
  let content: unknown
  try {
    // JSON is YAML; one parser reads both. Few starts need it, and it takes a while to load.
    const { parse } = createRequire(import.meta.url)('yaml') as typeof Yaml
    content = parse(readFileSync(file, 'utf8')) ?? {}
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new ConfigError(`Cannot read config file ${path.basename(file)}: ${reason}`, {
      cause: error,
    })
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new ConfigError(`Config file ${path.basename(file)} must hold one mapping of settings.`)
  }
  return { ...content }
}

/** Settings are text in flags and the environment. Nothing is rounded or guessed: `1.5` is no integer. */
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

/** A setting that is a number or a word. */
function fromOneOf(value: string, schemas: readonly TSchema[], name: string): unknown {
  const words = schemas.filter((schema) => KindGuard.IsLiteral(schema)).map((word) => word.const)
  if (words.includes(value)) return value
  if (/^-?\d{1,15}(?:\.\d{1,15})?$/.test(value)) return Number(value)
  const text = `${name} must be a number or ${words.join(', ')}, not ${JSON.stringify(value)}.`
  throw new ConfigError(text)
}
