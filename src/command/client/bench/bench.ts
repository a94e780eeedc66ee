/** `onnxd bench MODEL`: throughput and latency of a running server. */
import { Agent, request as httpRequest } from 'node:http'
import type { RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { didYouMean } from '../../../closest-name.ts'
import { ConfigError } from '../../../errors.ts'
import { inputsOf, zerosOf } from '../../example-inputs.ts'
import { memberOf } from '../../json.ts'
import { textFlag } from '../../program/outcome.ts'
import type { CommandInput, Outcome } from '../../program/outcome.ts'
import { readRequest } from '../../program/request-data.ts'
import type { RequestData } from '../../program/request-data.ts'
import { parseReference } from '../model-list.ts'
import { connectionError, parseUrl } from '../server-client.ts'
import { benchText } from './bench-text.ts'
import { runLoad } from './load-loop.ts'
import type { LoadPlan, SendRequest } from './load-loop.ts'
import { summarize } from './measurement.ts'

const DEFAULT_URL = 'http://127.0.0.1:8080'
const DEFAULT_CLIENTS = 4
const DEFAULT_SECONDS = 10
const MAX_CLIENTS = 1000

/** The inference listener of a running server. */
interface InferenceServer {
  readonly base: string
  readonly url: URL
  /** The token, if there is one. */
  readonly headers: Readonly<Record<string, string>>
}

/** @throws ConfigError for flags; Error if the server or the model does not respond. */
export async function benchModel(input: CommandInput): Promise<Outcome> {
  const [model = ''] = input.args
  const url = parseUrl(
    textFlag(input, 'url') ?? input.environment.ONNXD_INFERENCE_URL ?? DEFAULT_URL,
  )
  const plan = planOf(input)
  const { name, version } = parseReference(model)
  const base = url.href.replace(/\/$/, '')
  const token = input.environment.ONNXD_INFERENCE_TOKEN?.trim()
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const given = await readRequest(input)
  const data = given ?? (await zerosFor({ base, url, headers }, name, version))
  const route = [name, version].filter((part) => part !== undefined).map(encodeURIComponent)
  const target = new URL(`${base}/predictions/${route.join('/')}`)
  const sender = senderTo(target, headers, data, plan)
  try {
    await sender.check()
    const { warmUpMs } = plan
    if (warmUpMs > 0) await runLoad({ ...plan, ms: warmUpMs }, sender.send, input.signal)
    const startedAt = performance.now()
    const timer = setInterval(() => {
      const seconds = (performance.now() - startedAt) / 1000
      input.progress(`measuring ${model}, ${seconds.toFixed(0)} of ${plan.ms / 1000} s`)
    }, 500)
    const results = await runLoad(plan, sender.send, input.signal).finally(() =>
      clearInterval(timer),
    )
    const summary = summarize(results)
    const result = {
      model,
      url: base,
      ...describePlan(plan),
      requestBytes: data.body.length,
      ...summary,
    }
    return {
      data: result,
      text: benchText(result, input.terminal),
      code: summary.requests > summary.errors ? 0 : 1,
    }
  } finally {
    sender.close()
  }
}

function planOf(input: CommandInput): LoadPlan & { warmUpMs: number } {
  const rate = numberFlag(input, 'rate', undefined, 0.1, 1_000_000)
  const isBoth = rate !== undefined && textFlag(input, 'clients') !== undefined
  if (isBoth) throw new ConfigError('Use either --clients (closed loop) or --rate (open loop).')
  const seconds = numberFlag(input, 'seconds', DEFAULT_SECONDS, 0.1, 86_400) ?? DEFAULT_SECONDS
  const clients = numberFlag(input, 'clients', DEFAULT_CLIENTS, 1, MAX_CLIENTS) ?? DEFAULT_CLIENTS
  const warmUpMs = (numberFlag(input, 'warm-up', 1, 0, 3600) ?? 1) * 1000
  const ms = seconds * 1000
  return rate === undefined
    ? { kind: 'closed', clients: Math.floor(clients), ms, warmUpMs }
    : { kind: 'open', rate, ms, warmUpMs }
}

function describePlan(plan: LoadPlan): Record<string, unknown> {
  const seconds = plan.ms / 1000
  return plan.kind === 'closed'
    ? { loop: 'closed', clients: plan.clients, seconds }
    : { loop: 'open', rate: plan.rate, seconds }
}

function numberFlag(
  input: CommandInput,
  name: string,
  usual: number | undefined,
  least: number,
  most: number,
): number | undefined {
  const text = textFlag(input, name)
  if (text === undefined) return usual
  const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (value >= least && value <= most) return value
  const range = `from ${least} to ${most}`
  throw new ConfigError(`--${name} must be a number ${range}, not ${JSON.stringify(text)}.`)
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

async function getJson(
  { base, url, headers }: InferenceServer,
  route: string,
): Promise<{ status: number; body: unknown }> {
  try {
    const { status, content } = await exchange(new URL(base + route), { headers })
    return { status, body: jsonOf(content) }
  } catch (error) {
    throw connectionError(error, url)
  }
}

/** Sends one request and reads the response. `fetch` refuses some ports on which servers run. */
function exchange(
  url: URL,
  options: RequestOptions,
  body?: Buffer,
): Promise<{ status: number; content: Buffer }> {
  return new Promise((resolve, reject) => {
    const start = url.protocol === 'https:' ? httpsRequest : httpRequest
    const request = start(url, options)
    request.once('error', reject)
    request.once('response', (response) => {
      buffer(response).then(
        (content) => resolve({ status: response.statusCode ?? 0, content }),
        reject,
      )
    })
    request.end(body)
  })
}

function jsonOf(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'))
  } catch {
    return undefined
  }
}

interface Sender {
  readonly send: SendRequest
  /** Sends one request, so that a wrong one ends the command before the measurement. */
  check(): Promise<void>
  close(): void
}

function senderTo(
  url: URL,
  more: Readonly<Record<string, string>>,
  { body, type }: RequestData,
  plan: LoadPlan,
): Sender {
  const isSecure = url.protocol === 'https:'
  const maxSockets = plan.kind === 'closed' ? plan.clients : MAX_CLIENTS
  const agent = isSecure ? undefined : new Agent({ keepAlive: true, maxSockets })
  const headers = { ...more, 'content-type': type, 'content-length': body.length }
  const options = { method: 'POST', headers, ...(agent !== undefined && { agent }) }
  const post = (): Promise<{ status: number; content: Buffer }> => exchange(url, options, body)
  return {
    send: async () => {
      const { status } = await post()
      return status
    },
    check: async () => {
      let first
      try {
        first = await post()
      } catch (error) {
        throw connectionError(error, url)
      }
      if (first.status < 400 || first.status === 429 || first.status === 503) return
      const content = jsonOf(first.content)
      const text = first.content.toString('utf8').slice(0, 200)
      const message = content === undefined ? text : String(memberOf(content, 'message'))
      throw new Error(`The request was refused with ${first.status}: ${message}`)
    },
    close: () => agent?.destroy(),
  }
}
