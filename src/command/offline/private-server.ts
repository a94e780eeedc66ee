/** A server for one command: on free ports of this machine, with one worker per model, silent. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pino } from 'pino'
import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import { parseConfig } from '../../config/parse.ts'
import { ConfigError, ServerError } from '../../errors.ts'
import { discard, prepareFromArgument } from '../../models/sources/prepare.ts'
import type { PreparedModel } from '../../models/sources/prepare.ts'
import { startServer } from '../../server.ts'
import type { RunningServer } from '../../server.ts'
import { memberOf } from '../json.ts'
import type { CommandInput } from '../program/outcome.ts'

/** A model's load, watched. */
export interface LoadedServer {
  readonly server: RunningServer
  readonly loadMs: number
}

/** Settings of the operator, changed so that nothing outside of the command is affected. */
function privateConfig(rest: readonly string[], environment: NodeJS.ProcessEnv): Config {
  const { config, models } = parseConfig(rest, environment)
  if (models.length > 0) throw new ConfigError(`Unexpected argument ${String(models[0])}.`)
  return {
    ...config,
    host: '127.0.0.1',
    port: 0,
    managementHost: '127.0.0.1',
    managementPort: 0,
    managementToken: '',
    tokens: '',
    tokensFile: '',
    tlsCert: '',
    tlsKey: '',
    tlsClientCa: '',
    corsOrigins: [],
    rateLimit: 0,
    record: '',
    grpcPort: -1,
    stateDir: '',
    modelStore: '',
    load: 'all',
    workers: 1,
    spareWorkers: 0,
    weightCache: 'off',
    accessLog: false,
    stopDelay: 0,
    drainTimeout: 1,
  }
}

/** Takes a line that a worker printed, as `serve` would log it. */
export type OnOutput = (line: string) => void

/**
 * Loads models, calls `use`, and ends the workers.
 * @param onOutput Called with each line until the workers have ended.
 */
export async function withServer<T>(
  input: CommandInput,
  models: readonly string[],
  use: (loaded: LoadedServer) => Promise<T>,
  onOutput?: OnOutput,
): Promise<T> {
  const { rest, environment, signal, progress } = input
  const startedAt = performance.now()
  const name = models.map((model) => path.basename(model)).join(', ')
  const timer = setInterval(() => {
    progress(`loading ${name}, ${Math.floor((performance.now() - startedAt) / 1000)} s`)
  }, 500)
  let server: RunningServer
  try {
    server = await startServer({
      config: privateConfig(rest, environment),
      models,
      environment,
      log: onOutput === undefined ? pino({ level: 'silent' }) : outputLog(onOutput),
      signal,
    })
  } finally {
    clearInterval(timer)
  }
  try {
    return await use({ server, loadMs: performance.now() - startedAt })
  } finally {
    await server.close()
  }
}

/**
 * As {@link withServer}, for one model that must be served.
 * @throws ServerError with the reason.
 */
export function withModel<T>(
  input: CommandInput,
  model: string,
  use: (loaded: LoadedServer) => Promise<T>,
  onOutput?: OnOutput,
): Promise<T> {
  const useLoaded = async (loaded: LoadedServer): Promise<T> => {
    const [failure] = loaded.server.failed
    if (failure === undefined) return use(loaded)
    throw new ServerError('InvalidModelException', `cannot serve ${model}: ${failure.reason}`)
  }
  return withServer(input, [model], useLoaded, onOutput)
}

/** A log of which only the output of workers is read. */
function outputLog(onOutput: OnOutput): Logger {
  const write = (entry: string): void => {
    const fields: unknown = JSON.parse(entry)
    const line = memberOf(fields, 'line')
    if (memberOf(fields, 'msg') === 'worker output' && typeof line === 'string') onOutput(line)
  }
  return pino({ level: 'info' }, { write })
}

/**
 * Finds the files of a model without loading it, and removes what was unpacked.
 * @param handler Replaces the handler of the model.
 */
export async function withFiles<T>(
  model: string,
  signal: AbortSignal,
  use: (versions: readonly PreparedModel[]) => Promise<T>,
  handler?: string,
): Promise<T> {
  const temporaryRoot = await mkdtemp(path.join(tmpdir(), 'onnxd-files-'))
  let versions: readonly PreparedModel[] = []
  try {
    versions = await prepareFromArgument(model, {
      modelStore: undefined,
      temporaryRoot,
      allowLocalPaths: true,
      signal,
      handler,
    })
    return await use(versions)
  } finally {
    await Promise.all(versions.map((version) => discard(version)))
    await rm(temporaryRoot, { recursive: true, force: true })
  }
}
