/** Runs the worker process from its command line to its end. See `docs/worker-protocol.md`. */
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { ACCEPTED_PREFIX, READY_LINE } from '../../../contract/worker-lines.ts'
import { NO_GPU } from '../../wire/messages.ts'
import type { LoadRequest } from '../../wire/messages.ts'
import type { LoadedModel } from '../handler.ts'
import { joinLines } from '../join-lines.ts'
import { BodyReader } from '../loop/body-reader.ts'
import { ComparedModel } from '../loop/compared-model.ts'
import { END_SIGNALS } from '../loop/end-signals.ts'
import { Service } from '../loop/service.ts'
import { IoFifos } from '../output/fifos.ts'
import type { ProcessOutput } from '../output/output.ts'
import { TemporaryFiles } from '../output/temporary-files.ts'
import { reportError } from '../report-error.ts'
import { addressText, listen } from './listener.ts'
import { importAhead, loadModel } from './loader.ts'
import { takeOptions } from './options-file.ts'
import { watchParent } from './parent-watch.ts'
import { preload } from './preload.ts'
import { killGroupMembers } from './process-group.ts'
import { readSettings } from './settings.ts'
import type { Settings } from './settings.ts'

/**
 * Defaults of environment variables. An MMS worker sets the first two; the third disables
 * onnxruntime's telemetry.
 */
const ENVIRONMENT_DEFAULTS = {
  OMP_NUM_THREADS: '1',
  MXNET_USE_OPERATOR_TUNING: '0',
  ORT_DISABLE_TELEMETRY: '1',
}

/**
 * Runs until a signal ends the process or, if it serves only one connection, until that connection
 * ends.
 */
export async function runWorker(args: readonly string[], output: ProcessOutput): Promise<void> {
  console.log(`model_service_worker started with args: ${joinLines(args.join(' '))}`)
  const settings = readSettings(args, process.env)
  const files = prepareProcess()
  const { parentPid } = settings
  const watching = parentPid === undefined ? undefined : watchParent(parentPid)
  // Half-open: a front-end that has closed its sending side still gets its replies.
  const server = createServer({ allowHalfOpen: true, noDelay: true })
  await importAhead(settings.handler)
  // Before the worker enters the folder of a model, which a custom handler may remove.
  await watching
  await announce(server, settings, files)
  const preloaded = settings.preload ? preloadModel(settings) : undefined
  server.on('connection', (socket: Socket) => {
    console.log(`${ACCEPTED_PREFIX}${addressText(socket, settings.address)}.`)
    if (settings.endsWithConnection) server.close()
    const service = serveConnection(socket, settings, { output, files, preloaded })
    void service.ended.then((isClean) => {
      if (!settings.endsWithConnection) return
      // When a front-end is killed, its connection closes first and it may still be seen as the
      // parent. So the group is killed here, without a check of the parent.
      if (settings.parentPid !== undefined) killGroupMembers()
      process.exit(isClean ? 0 : 1)
    })
  })
}

/**
 * Sets the environment defaults and the handlers for the end of the process. Returns the list of
 * files that are removed at its end.
 */
export function prepareProcess(): TemporaryFiles {
  for (const [name, value] of Object.entries(ENVIRONMENT_DEFAULTS)) process.env[name] ??= value
  const files = new TemporaryFiles()
  process.on('exit', () => files.removeAll())
  process.on('uncaughtException', endUncaught)
  // An MMS worker removes its files at SIGTERM and goes on serving. onnxd's worker ends.
  for (const signal of END_SIGNALS) process.on(signal, () => process.exit(0))
  return files
}

/**
 * Ends the process as Node does, but limits the printed text. Printing a message of many megabytes
 * would block the process until the request's deadline. Does nothing when a custom handler has its
 * own listener.
 */
function endUncaught(thrown: unknown): void {
  if (process.listenerCount('uncaughtException') > 1) return
  reportError('Uncaught', thrown)
  process.exit(1)
}

/**
 * Listens and prints the start-up lines. Ends the process with exit code 1 when it cannot listen.
 */
export async function announce(
  server: Server,
  { address }: Settings,
  files: TemporaryFiles,
): Promise<void> {
  try {
    console.log(`Listening on port: ${await listen(server, address, files)}`)
  } catch (error) {
    reportError('The worker cannot listen', error)
    process.exit(1)
  }
  console.log(`[PID] ${process.pid}`)
  console.log(READY_LINE)
  console.log(`Node runtime: ${process.versions.node}`)
}

/** What all connections of one process share. */
export interface Shared {
  readonly output: ProcessOutput
  readonly files: TemporaryFiles
  readonly preloaded?: Promise<LoadedModel | undefined> | undefined
}

/** Serves one connection of a front-end until it ends. */
export function serveConnection(socket: Socket, settings: Settings, shared: Shared): Service {
  const { output, files, preloaded } = shared
  const service = new Service(socket, {
    loadModel: async (request) =>
      withBodies(settings, (await preloaded) ?? (await load(settings, request))),
    createFifos: (descriptor) =>
      IoFifos.create(settings.temporaryFolder, descriptor, output, files),
    mayBlock: settings.endsWithConnection,
  })
  void service.ended.then((isClean) => {
    if (isClean) console.log('Frontend disconnected.')
  })
  return service
}

/** Preloads with batch size 1 and no GPU, as MMS does, whatever a later load request asks for. */
function preloadModel(settings: Settings): Promise<LoadedModel | undefined> {
  const { modelName, modelPath, handler } = settings
  return preload(() => load(settings, { modelName, modelPath, handler, batchSize: 1, gpu: NO_GPU }))
}

async function load(
  settings: Settings,
  request: Pick<LoadRequest, 'modelName' | 'modelPath' | 'handler' | 'batchSize' | 'gpu'>,
): Promise<LoadedModel> {
  const { modelName, modelPath, handler, batchSize, gpu } = request
  const { decodeInput, optionsFile, setsOmpThreads } = settings
  const options = optionsFile === undefined ? settings.options : takeOptions(optionsFile, modelPath)
  // Libraries that are loaded later, and processes that a handler starts, see this value.
  if (setsOmpThreads) process.env['OMP_NUM_THREADS'] = String(options.threads)
  const device = gpu < 0 ? undefined : gpu
  return loadModel({ modelName, modelPath, handler, batchSize, gpu: device, options }, decodeInput)
}

/** Only onnxd's own front-end, whose workers serve one connection, keeps internal headers away. */
function withBodies({ bodyFile, endsWithConnection }: Settings, model: LoadedModel): LoadedModel {
  const compared = endsWithConnection ? new ComparedModel(model) : model
  return bodyFile === undefined ? compared : new BodyReader(bodyFile, compared)
}
