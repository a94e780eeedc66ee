/** The worker process from its command line to its end (MMS worker process, section 1). */
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { NO_GPU } from '../../wire/messages.ts'
import type { LoadRequest } from '../../wire/messages.ts'
import type { LoadedModel } from '../handler.ts'
import { BodyReader } from '../loop/body-reader.ts'
import { END_SIGNALS } from '../loop/end-signals.ts'
import { Service } from '../loop/service.ts'
import { oneLine } from '../one-line.ts'
import { IoFifos } from '../output/fifos.ts'
import type { ProcessOutput } from '../output/output.ts'
import { TemporaryFiles } from '../output/temporary-files.ts'
import { reportError } from '../report-error.ts'
import { addressText, listen } from './listener.ts'
import { loadModel } from './loader.ts'
import { watchParent } from './parent-watch.ts'
import { preload } from './preload.ts'
import { killGroupMembers } from './process-group.ts'
import { readSettings } from './settings.ts'
import type { Settings } from './settings.ts'

/** Set unless the operator did. The first two are the original's; the third keeps onnxruntime quiet. */
const ENVIRONMENT_DEFAULTS = {
  OMP_NUM_THREADS: '1',
  MXNET_USE_OPERATOR_TUNING: '0',
  ORT_DISABLE_TELEMETRY: '1',
}

/** Runs until a signal, or the end of its connection where it serves only one, ends the process. */
export async function runWorker(args: readonly string[], output: ProcessOutput): Promise<void> {
  console.log(`model_service_worker started with args: ${oneLine(args.join(' '))}`)
  const settings = readSettings(args, process.env)
  const files = prepareProcess()
  if (settings.parentPid !== undefined) watchParent(settings.parentPid)
  // Half-open: a front-end that has sent all it wants still gets its answers.
  const server = createServer({ allowHalfOpen: true, noDelay: true })
  await announce(server, settings, files)
  const preloaded = settings.preload ? preloadModel(settings) : undefined
  server.on('connection', (socket: Socket) => {
    console.log(`Connection accepted: ${addressText(socket, settings.address)}.`)
    if (settings.endsWithConnection) server.close()
    const service = serveConnection(socket, settings, { output, files, preloaded })
    void service.ended.then((isClean) => {
      if (!settings.endsWithConnection) return
      // The first sign of a front-end that was killed: it may still be seen as the parent.
      if (settings.parentPid !== undefined) killGroupMembers()
      process.exit(isClean ? 0 : 1)
    })
  })
}

/** Sets what the original sets, and sees to the end of this process. Returns the files that go with it. */
export function prepareProcess(): TemporaryFiles {
  for (const [name, value] of Object.entries(ENVIRONMENT_DEFAULTS)) process.env[name] ??= value
  const files = new TemporaryFiles()
  process.on('exit', () => files.removeAll())
  process.on('uncaughtException', endUncaught)
  // The original's worker goes on serving after SIGTERM, without its files; nobody can want that.
  for (const signal of END_SIGNALS) process.on(signal, () => process.exit(0))
  return files
}

/**
 * Ends the process as Node does, but prints a bounded text: a message of many megabytes would keep
 * the process busy with its output until the deadline of the request. A handler may have a listener of its own.
 */
function endUncaught(thrown: unknown): void {
  if (process.listenerCount('uncaughtException') > 1) return
  reportError('Uncaught', thrown)
  process.exit(1)
}

/** Listens and says so. The process ends when it cannot. */
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
  console.log('MMS worker started.')
  console.log(`Node runtime: ${process.versions.node}`)
}

/** What the connections of one process share. */
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

/** As the original's: batch size 1 and no GPU, whatever a load request asks for later. */
function preloadModel(settings: Settings): Promise<LoadedModel | undefined> {
  const { modelName, modelPath, handler } = settings
  return preload(() => load(settings, { modelName, modelPath, handler, batchSize: 1, gpu: NO_GPU }))
}

function load(
  settings: Settings,
  request: Pick<LoadRequest, 'modelName' | 'modelPath' | 'handler' | 'batchSize' | 'gpu'>,
): Promise<LoadedModel> {
  const { modelName, modelPath, handler, batchSize, gpu } = request
  const { options, decodeInput } = settings
  const device = gpu < 0 ? undefined : gpu
  return loadModel({ modelName, modelPath, handler, batchSize, gpu: device, options }, decodeInput)
}

function withBodies({ bodyFile }: Settings, model: LoadedModel): LoadedModel {
  return bodyFile === undefined ? model : new BodyReader(bodyFile, model)
}
