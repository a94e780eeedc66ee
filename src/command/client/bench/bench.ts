/** `onnxd bench MODEL`: throughput and latency of a running server. */
import { ConfigError } from '../../../errors.ts'
import { memberOf } from '../../json.ts'
import { textFlag } from '../../program/outcome.ts'
import type { CommandInput, Outcome } from '../../program/outcome.ts'
import { parseReference } from '../model-list.ts'
import type { SendableRequest } from '../recorded/rewrite.ts'
import { Sender } from '../recorded/sender.ts'
import { connectionError, parseUrl } from '../server-client.ts'
import { benchText } from './bench-text.ts'
import { runLoad } from './load-loop.ts'
import type { LoadPlan } from './load-loop.ts'
import { summarize } from './measurement.ts'
import { requestsFor } from './requests.ts'

const DEFAULT_URL = 'http://127.0.0.1:8080'
const DEFAULT_CLIENTS = 4
const DEFAULT_SECONDS = 10
const MAX_CLIENTS = 1000

/** @throws ConfigError for flags; Error if the server or the model does not respond. */
export async function benchModel(input: CommandInput): Promise<Outcome> {
  const [model = ''] = input.args
  const url = parseUrl(
    textFlag(input, 'url') ?? input.environment.ONNXD_INFERENCE_URL ?? DEFAULT_URL,
  )
  const plan = planOf(input)
  const target = parseReference(model)
  const token = input.environment.ONNXD_INFERENCE_TOKEN?.trim()
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const { requests, isRecorded } = await requestsFor(input, { url, headers }, target)
  const sender = new Sender(url, headers, plan.kind === 'closed' ? plan.clients : MAX_CLIENTS)
  let next = 0
  const send = async (): Promise<number> => {
    const request = requests[next++ % requests.length]
    return request === undefined ? 0 : (await sender.send(request)).status
  }
  try {
    if (isRecorded) await sender.check()
    else for (const request of requests) await check(sender, url, request)
    const { warmUpMs } = plan
    if (warmUpMs > 0) await runLoad({ ...plan, ms: warmUpMs }, send, input.signal)
    const startedAt = performance.now()
    const timer = setInterval(() => {
      const seconds = (performance.now() - startedAt) / 1000
      input.progress(`measuring ${model}, ${seconds.toFixed(0)} of ${plan.ms / 1000} s`)
    }, 500)
    const results = await runLoad(plan, send, input.signal).finally(() => clearInterval(timer))
    const summary = summarize(results)
    const result = {
      model,
      url: url.href.replace(/\/$/, ''),
      ...describePlan(plan),
      requestBytes: meanBytes(requests),
      ...(isRecorded && { recordedRequests: requests.length }),
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

/** Sends one request, so that a wrong one ends the command before the measurement. */
async function check(sender: Sender, url: URL, request: SendableRequest): Promise<void> {
  let first
  try {
    first = await sender.send(request)
  } catch (error) {
    throw connectionError(error, url)
  }
  if (first.status < 400 || first.status === 429 || first.status === 503) return
  const text = first.body.toString('utf8')
  let message: unknown
  try {
    message = memberOf(JSON.parse(text), 'message')
  } catch {
    message = text.slice(0, 200)
  }
  throw new Error(`The request was refused with ${first.status}: ${String(message)}`)
}

function meanBytes(requests: readonly SendableRequest[]): number {
  const bytes = requests.reduce((sum, { body }) => sum + body.length, 0)
  return Math.round(bytes / Math.max(1, requests.length))
}
