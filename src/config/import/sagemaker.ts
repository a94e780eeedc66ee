/**
 * Settings of a SageMaker container, from the `SAGEMAKER_…` variables of the platform and its
 * toolkits.
 */
import path from 'node:path'
import { ConfigError } from '../../errors.ts'
import type { MappedKey } from './mapped-key.ts'
import { integer, minutes } from './properties-mapping.ts'
import { record } from './properties.ts'
import type { Import } from './properties.ts'

type Variables = Readonly<Record<string, string>>
type Rule = string | ((value: string) => MappedKey[])

const DAY = 86_400
const MIB = 1024 * 1024
const MAX_BYTES = 2 ** 31 - 1
const CODE = 'onnxd takes the handler from the model and runs no Python script'
const PLATFORM = 'onnxd does not use it'

const RULES: Readonly<Record<string, Rule>> = {
  // If several variables set the same setting, the last one in this list wins.
  SAGEMAKER_RESPONSE_TIMEOUT: minutes,
  SAGEMAKER_MODEL_SERVER_TIMEOUT: minutes,
  SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS: (value) => integer(value, 'responseTimeout', 1, DAY),
  SAGEMAKER_STARTUP_TIMEOUT: (value) => integer(value, 'loadTimeout', 1, DAY),
  SAGEMAKER_MODEL_SERVER_WORKERS: (value) => integer(value, 'workers', 1, 256),
  SAGEMAKER_NUM_MODEL_WORKERS: (value) => integer(value, 'workers', 1, 256),
  SAGEMAKER_MODEL_JOB_QUEUE_SIZE: (value) => integer(value, 'queueSize', 1, 1_000_000),
  SAGEMAKER_MAX_PAYLOAD_IN_MB: (value) =>
    bodyBytes(/^\d{1,9}$/.test(value) ? String(Number(value) * MIB) : value),
  SAGEMAKER_MAX_REQUEST_SIZE: bodyBytes,
  SAGEMAKER_MAX_RESPONSE_SIZE: (value) => integer(value, 'maxResponseBytes', 1, MAX_BYTES),
  SAGEMAKER_HANDLER: CODE,
  SAGEMAKER_PROGRAM: CODE,
  SAGEMAKER_SUBMIT_DIRECTORY: CODE,
  SAGEMAKER_REQUIREMENTS: CODE,
  SAGEMAKER_MODEL_SERVER_VMARGS: 'onnxd has no JVM',
  SAGEMAKER_PRELOAD_MODEL: 'each worker loads the model itself',
  SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT:
    'the Accept header of the request selects the response format',
  SAGEMAKER_CONTAINER_LOG_LEVEL: 'set ONNXD_LOG_LEVEL instead',
  SAGEMAKER_REGION: PLATFORM,
}
/** {@link placeListeners} and {@link placeModels} read these variables together. */
const PLACES = [
  'SAGEMAKER_BIND_TO_PORT',
  'SAGEMAKER_SAFE_PORT_RANGE',
  'SAGEMAKER_MULTI_MODEL',
  'SAGEMAKER_MULTI_MODE',
  'SAGEMAKER_MODEL_STORE',
  'SAGEMAKER_BASE_DIR',
]

/**
 * Returns the settings for a SageMaker container, in which `SAGEMAKER_BIND_TO_PORT` or
 * `SAGEMAKER_MULTI_MODEL` is set; `undefined` elsewhere. A multi-model endpoint serves everything
 * on one port, including management without a token, because the platform requires that. `models`
 * is used if the command line names no model.
 * @throws ConfigError that names the variable.
 */
export function sagemakerSettings(environment: NodeJS.ProcessEnv): Import | undefined {
  const all: Record<string, string> = {}
  for (const [key, value] of Object.entries(environment)) {
    if (key.startsWith('SAGEMAKER_') && value !== undefined && value.trim() !== '')
      all[key] = value.trim()
  }
  if (all.SAGEMAKER_BIND_TO_PORT === undefined && all.SAGEMAKER_MULTI_MODEL === undefined)
    return undefined
  const result: Import = { origin: 'sagemaker', settings: {}, models: [], applied: [], ignored: [] }
  const isMultiModel = isOn(all.SAGEMAKER_MULTI_MODEL) || isOn(all.SAGEMAKER_MULTI_MODE)
  placeListeners(result, all, isMultiModel)
  placeModels(result, all, isMultiModel)
  for (const [key, rule] of Object.entries(RULES)) {
    const value = all[key]
    if (value === undefined) continue
    record(
      result,
      key,
      value,
      typeof rule === 'string' ? [{ reason: rule }] : named(key, () => rule(value)),
    )
  }
  for (const [key, value] of Object.entries(all)) {
    if (PLACES.includes(key) || Object.hasOwn(RULES, key)) continue
    record(result, key, value, [{ reason: PLATFORM }])
  }
  return result
}

/**
 * A multi-model endpoint gets one open port. Otherwise management stays on loopback, on a port of
 * the safe range.
 */
function placeListeners(result: Import, all: Variables, isMultiModel: boolean): void {
  const { SAGEMAKER_BIND_TO_PORT: bind = '8080', SAGEMAKER_SAFE_PORT_RANGE: range } = all
  const port = portOf('SAGEMAKER_BIND_TO_PORT', bind)
  record(result, 'SAGEMAKER_BIND_TO_PORT', bind, [
    { setting: 'host', value: '0.0.0.0' },
    { setting: 'port', value: port },
  ])
  if (isMultiModel) {
    record(result, 'SAGEMAKER_MULTI_MODEL', 'true', [
      { setting: 'managementHost', value: '0.0.0.0' },
      { setting: 'managementPort', value: port, note: 'inference and management share one port' },
      { setting: 'insecureManagement', value: true, note: 'SageMaker sends no token' },
    ])
    if (range !== undefined)
      record(result, 'SAGEMAKER_SAFE_PORT_RANGE', range, [
        { reason: 'inference and management share one port, so no second port is needed' },
      ])
    return
  }
  if (range === undefined) {
    record(result, 'SAGEMAKER_BIND_TO_PORT', bind, [
      { setting: 'managementPort', value: 0, note: 'a free port' },
    ])
    return
  }
  const [, first = '', last = ''] = /^(\d+)-(\d+)$/.exec(range) ?? []
  const start = portOf('SAGEMAKER_SAFE_PORT_RANGE', first)
  const chosen = start === port ? start + 1 : start
  if (chosen > portOf('SAGEMAKER_SAFE_PORT_RANGE', last)) {
    throw new ConfigError(
      'SAGEMAKER_SAFE_PORT_RANGE has no port for the management listener besides SAGEMAKER_BIND_TO_PORT.',
    )
  }
  record(result, 'SAGEMAKER_SAFE_PORT_RANGE', range, [
    { setting: 'managementPort', value: chosen, note: 'on localhost' },
  ])
}

function placeModels(result: Import, all: Variables, isMultiModel: boolean): void {
  const { SAGEMAKER_MODEL_STORE: store, SAGEMAKER_BASE_DIR: base = '/opt/ml' } = all
  if (isMultiModel) {
    // The platform registers models by absolute path and loads them on demand.
    record(result, 'SAGEMAKER_MULTI_MODEL', 'true', [
      { setting: 'modelStore', value: store ?? path.join(base, 'models') },
      { setting: 'load', value: 'none' },
      {
        setting: 'allowLocalPaths',
        value: true,
        note: 'SageMaker registers models by absolute path',
      },
      {
        setting: 'checkMemory',
        value: true,
        note: 'SageMaker unloads models when it receives 507',
      },
    ])
  } else if (store === undefined) {
    record(result, 'SAGEMAKER_BASE_DIR', base, [{ model: `model=${path.join(base, 'model')}` }])
  } else {
    record(result, 'SAGEMAKER_MODEL_STORE', store, [{ setting: 'modelStore', value: store }])
  }
}

function bodyBytes(value: string): MappedKey[] {
  return [
    ...integer(value, 'maxBodyBytes', 1, MAX_BYTES),
    ...integer(value, 'maxJsonBytes', 1, MAX_BYTES),
  ]
}

function portOf(key: string, value: string): number {
  const port = Number(value)
  if (/^\d{1,5}$/.test(value) && port >= 1 && port <= 65_535) return port
  throw new ConfigError(
    `${key} has an invalid port: ${JSON.stringify(value)}. Ports are numbers from 1 to 65535.`,
  )
}

function isOn(value: string | undefined): boolean {
  return value !== undefined && value.toLowerCase() !== 'false'
}

function named(key: string, read: () => MappedKey[]): MappedKey[] {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof ConfigError) throw new ConfigError(`${key}: ${cause.message}`, { cause })
    throw cause
  }
}
