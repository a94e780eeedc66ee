/** The requests of a load: one that is given, one of zeros, or those of a recording. */
import { didYouMean } from '../../../closest-name.ts'
import { ConfigError } from '../../../errors.ts'
import { Recording } from '../../../recording/recording.ts'
import { inputsOf, zerosOf } from '../../example-inputs.ts'
import { memberOf } from '../../json.ts'
import { textFlag } from '../../program/outcome.ts'
import type { CommandInput } from '../../program/outcome.ts'
import { readRequest } from '../../program/request-data.ts'
import type { RequestData } from '../../program/request-data.ts'
import { rewrite } from '../recorded/rewrite.ts'
import type { SendableRequest, Target } from '../recorded/rewrite.ts'
import { selectRequests } from '../recorded/selection.ts'
import { Sender } from '../recorded/sender.ts'
import { connectionError } from '../server-client.ts'

/** Recorded requests are held in memory, so that no disk is measured. */
const MAX_BYTES = 256 * 1024 * 1024

/** The inference listener of a running server. */
interface InferenceServer {
  readonly url: URL
  /** The token, if there is one. */
  readonly headers: Readonly<Record<string, string>>
}

/** Requests that are sent in turn. */
export interface BenchRequests {
  readonly requests: readonly SendableRequest[]
  readonly isRecorded: boolean
}

/** @throws ConfigError for flags or a file that cannot be used; Error if the model is unknown. */
export async function requestsFor(
  input: CommandInput,
  server: InferenceServer,
  target: Target,
): Promise<BenchRequests> {
  const file = textFlag(input, 'requests')
  const given = await readRequest(input)
  if (file !== undefined) {
    if (given !== undefined)
      throw new ConfigError('Use either --requests or a request with --input or --data.')
    return { requests: await recordedFor(file, target, input.signal), isRecorded: true }
  }
  const { name, version } = target
  const { body, type } = given ?? (await zerosFor(server, name, version))
  const route = [name, version].filter((part) => part !== undefined).map(encodeURIComponent)
  const path = `/predictions/${route.join('/')}`
  return {
    requests: [{ method: 'POST', path, headers: { 'content-type': type }, body }],
    isRecorded: false,
  }
}

/** The newest requests of a recording, as many as fit into memory, in their order. */
async function recordedFor(
  file: string,
  target: Target,
  signal: AbortSignal,
): Promise<SendableRequest[]> {
  const recording = await Recording.open(file)
  try {
    const options = { model: undefined, preferred: target.name, limit: Infinity, signal }
    const { requests } = await selectRequests(recording, file, options)
    const newestFirst: SendableRequest[] = []
    let bytes = 0
    for (const { place } of requests.toReversed()) {
      const recorded = await recording.read(place)
      const request = recorded === undefined ? 'it is gone' : rewrite(recorded, target)
      if (typeof request === 'string') continue
      bytes += request.body.length
      if (bytes > MAX_BYTES && newestFirst.length > 0) break
      newestFirst.push(request)
    }
    if (newestFirst.length === 0) throw new ConfigError(`No request of ${file} can be sent.`)
    return newestFirst.toReversed()
  } finally {
    await recording.close()
  }
}

/** @throws Error if the model is unknown or its inputs are not. */
async function zerosFor(
  server: InferenceServer,
  name: string,
  version: string | undefined,
): Promise<RequestData> {
  const suffix = version === undefined ? '' : `/versions/${encodeURIComponent(version)}`
  const metadata = await getJson(server, `/v2/models/${encodeURIComponent(name)}${suffix}`)
  const inputs = inputsOf(metadata.body)
  if (metadata.status === 404) {
    const index = await getJson(server, '/v2/repository/index')
    const names = Array.isArray(index.body)
      ? index.body.map((one) => String(memberOf(one, 'name')))
      : []
    const hint = didYouMean(name, names) || ' Run "onnxd list" to list the models.'
    throw new Error(
      `The server at ${server.url.origin} has no model ${JSON.stringify(name)}.${hint}`,
    )
  }
  if (metadata.status === 401 || metadata.status === 403) {
    const hint = 'Set ONNXD_INFERENCE_TOKEN to a token that may use the model.'
    throw new Error(`${server.url.origin} refused the token or requires one. ${hint}`)
  }
  if (inputs.length === 0)
    throw new Error(`The inputs of ${name} are not known. Give a request with -i or -d.`)
  const zeros = zerosOf(inputs)
  return 'json' in zeros
    ? { body: Buffer.from(zeros.json), type: 'application/json' }
    : { body: Buffer.alloc(zeros.bytes), type: 'application/octet-stream' }
}

/** Not with `fetch`, which refuses some ports on which servers run. */
async function getJson(
  { url, headers }: InferenceServer,
  route: string,
): Promise<{ status: number; body: unknown }> {
  const sender = new Sender(url, headers, 1)
  try {
    const request = { method: 'GET', path: route, headers: {}, body: Buffer.alloc(0) }
    const { status, body } = await sender.send(request)
    return { status, body: jsonOf(body) }
  } catch (error) {
    throw connectionError(error, url)
  } finally {
    sender.close()
  }
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
