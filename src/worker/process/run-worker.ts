/** The worker process from its command line to its end (MMS worker process, section 1). */
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { NO_GPU } from '../wire/messages.ts'
import type { LoadRequest } from '../wire/messages.ts'
import { UsageError, parseArguments } from './arguments.ts'
import type { WorkerArguments } from './arguments.ts'
import { IoFifos } from './fifos.ts'
import type { LoadedModel, WorkerOptions } from './handler.ts'
import { addressText, listen } from './listener.ts'
import { loadModel } from './loader.ts'
import { oneLine } from './one-line.ts'
import { parseWorkerOptions } from './options.ts'
import type { ProcessOutput } from './output.ts'
import { watchParent } from './parent-watch.ts'
import { preload } from './preload.ts'
import { reportError } from './report-error.ts'
import { Service } from './service.ts'
import { TemporaryFiles } from './temporary-files.ts'

/** Set unless the operator did. The first two are the original's; the third keeps onnxruntime quiet. */
const ENVIRONMENT_DEFAULTS = {
  OMP_NUM_THREADS: '1',
  MXNET_USE_OPERATOR_TUNING: '0',
  ORT_DISABLE_TELEMETRY: '1',
}
const END_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

/** What command line and environment say. */
interface Settings extends WorkerArguments {
  readonly options: WorkerOptions
  /** End with the first connection: onnxd's own front-end starts a new process instead of coming back. */
  readonly endsWithConnection: boolean
  readonly decodeInput: boolean
  /** Process to die with, `undefined` to outlive everybody. */
  readonly parentPid: number | undefined
}

/** Runs until a signal, or the end of its connection where it serves only one, ends the process. */
export async function runWorker(args: readonly string[], output: ProcessOutput): Promise<void> {
  console.log(`model_service_worker started with args: ${oneLine(args.join(' '))}`)
  for (const [name, value] of Object.entries(ENVIRONMENT_DEFAULTS)) process.env[name] ??= value
  const settings = readSettings(args, process.env)
  const files = new TemporaryFiles()
  process.on('exit', () => files.removeAll())
  // The original's worker goes on serving after SIGTERM, without its files; nobody can want that.
  for (const signal of END_SIGNALS) process.on(signal, () => process.exit(0))
  if (settings.parentPid !== undefined) watchParent(settings.parentPid)
  try {
    await serve(settings, output, files)
  } catch (error) {
    reportError('The worker cannot listen', error)
    process.exit(1)
  }
}

function readSettings(args: readonly string[], environment: NodeJS.ProcessEnv): Settings {
  try {
    return {
      ...parseArguments(args),
      options: parseWorkerOptions(environment['ONNXD_WORKER_OPTIONS']),
      endsWithConnection: environment['ONNXD_WORKER_ONCE'] === '1',
      decodeInput: (environment['MMS_DECODE_INPUT_REQUEST'] ?? 'true') === 'true',
      parentPid: readPid(environment['ONNXD_PARENT_PID']),
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(`onnxd worker: error: ${error.message}`)
    return process.exit(2)
  }
}

function readPid(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text)
  throw new UsageError(`ONNXD_PARENT_PID is no process id: ${JSON.stringify(text)}`)
}

async function serve(
  settings: Settings,
  output: ProcessOutput,
  files: TemporaryFiles,
): Promise<void> {
  const { address, temporaryFolder, endsWithConnection } = settings
  // Half-open: a front-end that has sent all it wants still gets its answers.
  const server = createServer({ allowHalfOpen: true, noDelay: true })
  console.log(`Listening on port: ${await listen(server, address, files)}`)
  console.log(`[PID] ${process.pid}`)
  console.log('MMS worker started.')
  console.log(`Node runtime: ${process.versions.node}`)

  const preloaded = settings.preload ? preloadModel(settings) : undefined
  server.on('connection', (socket: Socket) => {
    console.log(`Connection accepted: ${addressText(socket, address)}.`)
    if (endsWithConnection) server.close()
    const service = new Service(socket, {
      loadModel: async (request) => (await preloaded) ?? load(settings, request),
      createFifos: (descriptor) => IoFifos.create(temporaryFolder, descriptor, output, files),
    })
    void service.ended.then((isClean) => {
      if (isClean) console.log('Frontend disconnected.')
      if (endsWithConnection) process.exit(isClean ? 0 : 1)
    })
  })
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
