/** `onnxd load`: registers a model by upload, by URL or by its name in the model store. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { ConfigError } from '../../errors.ts'
import { isNetworkFile, isOwnNetwork } from '../../model-folder/paths.ts'
import { nameOfPath } from '../../models/sources/model-name.ts'
import { memberOf } from '../json.ts'
import { textFlag, textFlags } from '../program/outcome.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { bar } from '../terminal/status-line.ts'
import { durationText, sizeText } from '../terminal/units.ts'
import { describeModels, listAll } from './model-list.ts'
import { ResponseError, ServerClient } from './server-client.ts'
import type { RequestBody } from './server-client.ts'

const BOUNDARY = 'onnxd-upload-7c1f0e4b9a2d'
const BAR_WIDTH = 24
/** Interval between two looks at the progress of the server. */
const LOOK_MS = 500
const NAME = 'model_name'
const OTHERWISE =
  'Choose another --name or --model-version, or remove the model with onnxd rm first.'

/** Version of an uploaded .onnx file for which the request sets none. */
const FIRST_VERSION = '1.0'

/** Registers a model and waits until it is served. */
export async function loadModel(input: CommandInput): Promise<Outcome> {
  const [source = ''] = input.args
  const client = new ServerClient(input)
  const parameters = parametersOf(input)
  const startedAt = performance.now()
  const found = await stat(source).catch(() => undefined)
  if (found === undefined && /^\.\.?[/\\]/.test(source))
    throw new ConfigError(`The file ${source} does not exist.`)
  if (found?.isFile() === true && found.size === 0) throw new ConfigError(`${source} is empty.`)
  if (found?.isFile() === true && isOwnNetwork(path.basename(source)) && !parameters.has(NAME))
    parameters.set(NAME, nameOfPath(path.resolve(source), undefined))
  const known = found?.isFile() === true ? knownName(source, parameters) : undefined
  if (known !== undefined) await refuseRegistered(client, known, parameters)
  const before = known === undefined ? new Set((await listAll(client)).names) : undefined
  const register = found?.isFile() === true ? uploadModel : registerModel
  let data: unknown
  try {
    data = await register(input, client, source, parameters)
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error
    throw new Error(withAdvice(error, found !== undefined), { cause: error })
  }
  const name = known ?? parameters.get(NAME) ?? (await newName(client, before))
  const notes = memberOf(data, 'notes')
  const lines = Array.isArray(notes) ? notes.map((note) => `${String(note)}\n`).join('') : ''
  const verb = parameters.get('initial_workers') === '0' ? 'registered' : 'served'
  const as = name === undefined ? '' : ` as ${name}`
  const seconds = durationText(performance.now() - startedAt)
  return { data, text: `${path.basename(source)} is ${verb}${as} after ${seconds}.\n${lines}` }
}

async function uploadModel(
  input: CommandInput,
  client: ServerClient,
  file: string,
  parameters: URLSearchParams,
): Promise<unknown> {
  const startedAt = performance.now()
  const { size } = await stat(file)
  const body = uploadBody(file, size, (sent) => {
    const time = durationText(performance.now() - startedAt)
    const shown = `${bar(sent / size, BAR_WIDTH)} ${sizeText(sent)} of ${sizeText(size)}`
    const line = sent < size ? shown : `${path.basename(file)}: loading`
    input.progress(`${line}, ${time}`)
  })
  const ended = watchClock(input, `${path.basename(file)}: loading`, size)
  try {
    return await client.call('POST', `/models?${parameters.toString()}`, {
      ...body,
      stream: body.stream.once('end', () => ended.start()),
    })
  } finally {
    ended.stop()
  }
}

async function registerModel(
  input: CommandInput,
  client: ServerClient,
  source: string,
  parameters: URLSearchParams,
): Promise<unknown> {
  const isFolder = await stat(source).then(
    (found) => found.isDirectory(),
    () => false,
  )
  parameters.set('url', isFolder ? path.resolve(source) : source)
  const watch = watchServer(input, client)
  try {
    return await client.call('POST', `/models?${parameters.toString()}`)
  } finally {
    watch.stop()
  }
}

/** The name that the server gives an uploaded file; an archive may contain its name. */
function knownName(file: string, parameters: URLSearchParams): string | undefined {
  const name = parameters.get(NAME)
  if (name !== null) return name
  return isNetworkFile(file) && /[A-Za-z0-9]/.test(path.parse(file).name)
    ? nameOfPath(path.resolve(file), undefined)
    : undefined
}

/** The server rejects a version that exists, but only after it has received the whole file. */
async function refuseRegistered(
  client: ServerClient,
  name: string,
  parameters: URLSearchParams,
): Promise<void> {
  const version = parameters.get('model_version') ?? FIRST_VERSION
  const versions = await describeModels(client, [name])
  if (!versions.some(({ modelVersion }) => modelVersion === version)) return
  throw new Error(`Model ${name} ${version} is already registered. ${OTHERWISE}`)
}

async function newName(
  client: ServerClient,
  before: ReadonlySet<string> | undefined,
): Promise<string | undefined> {
  const { names } = await listAll(client)
  const added = names.filter((name) => before?.has(name) !== true)
  return added.length === 1 ? added[0] : undefined
}

/** The error of the server, with what to do at the command line. */
function withAdvice({ message, status, type }: ResponseError, isHere: boolean): string {
  if (status === 409 && /already registered/.test(message)) return `${message} ${OTHERWISE}`
  if (type === 'ModelNotFoundException' && !isHere)
    return `${message} This machine has no such file either.`.replace(/([^.]) This/, '$1. This')
  return message.replace('Set the parameter model_name.', 'Name the model with --name.')
}

function parametersOf(input: CommandInput): URLSearchParams {
  const parameters = new URLSearchParams()
  const named = { model_name: 'name', model_version: 'model-version', initial_workers: 'workers' }
  for (const [parameter, flag] of Object.entries(named)) {
    const value = textFlag(input, flag)
    if (value !== undefined) parameters.set(parameter, value)
  }
  const workers = parameters.get('initial_workers')
  if (workers !== null && !/^\d+$/.test(workers))
    throw new ConfigError(`--workers must be a whole number, not ${JSON.stringify(workers)}.`)
  for (const pair of textFlags(input, 'set')) {
    const [, name, value] = /^(\w+)=(.*)$/s.exec(pair) ?? []
    if (name === undefined || value === undefined)
      throw new ConfigError(`--set must be PARAMETER=VALUE, not ${JSON.stringify(pair)}.`)
    parameters.set(name, value)
  }
  parameters.set('synchronous', 'true')
  return parameters
}

/** A form with one file, and a function that learns how many bytes of it were sent. */
function uploadBody(file: string, bytes: number, onSent: (bytes: number) => void): RequestBody {
  const name = path.basename(file).replaceAll(/["\r\n]/g, '_')
  const head = Buffer.from(
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="model"; filename="${name}"\r\nContent-Type: application/octet-stream\r\n\r\n`,
  )
  const tail = Buffer.from(`\r\n--${BOUNDARY}--\r\n`)
  async function* parts(): AsyncGenerator<Buffer> {
    yield head
    let sent = 0
    // The announced length must be right, even if the file grows meanwhile.
    if (bytes > 0) {
      for await (const chunk of createReadStream(file, { end: bytes - 1 })) {
        const part: unknown = chunk
        if (!Buffer.isBuffer(part)) continue
        yield part
        sent += part.length
        onSent(sent)
      }
    }
    yield tail
  }
  return {
    headers: {
      'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
      'content-length': head.length + bytes + tail.length,
    },
    stream: Readable.from(parts(), { objectMode: false }),
  }
}

/** Shows the seconds after the upload, while the server loads the model. */
function watchClock(
  { progress }: CommandInput,
  label: string,
  bytes: number,
): { start: () => void; stop: () => void } {
  let timer: NodeJS.Timeout | undefined
  return {
    start: () => {
      const startedAt = performance.now()
      timer ??= setInterval(() => {
        progress(`${label}, ${sizeText(bytes)}, ${durationText(performance.now() - startedAt)}`)
      }, LOOK_MS)
    },
    stop: () => clearInterval(timer),
  }
}

/** Shows what the server downloads and loads. */
function watchServer({ progress }: CommandInput, client: ServerClient): { stop: () => void } {
  let isLooking = false
  const look = async (): Promise<void> => {
    const { transfers, loading } = await listAll(client)
    const [transfer] = transfers
    const bytes = Number(memberOf(transfer, 'bytes'))
    const total = Number(memberOf(transfer, 'totalBytes'))
    if (total > 0) {
      progress(`${bar(bytes / total, BAR_WIDTH)} ${sizeText(bytes)} of ${sizeText(total)}`)
    } else if (loading.length > 0) {
      const seconds = Number(memberOf(loading.at(-1), 'seconds'))
      const name = String(memberOf(loading.at(-1), 'modelName'))
      progress(`${name}: loading, ${durationText(seconds * 1000)}`)
    }
  }
  const timer = setInterval(() => {
    if (isLooking) return
    isLooking = true
    look()
      .catch(() => {})
      .finally(() => (isLooking = false))
  }, LOOK_MS)
  return { stop: () => clearInterval(timer) }
}
