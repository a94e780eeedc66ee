/** Sends the calls of handlers to other models, through the queues of these models. */
import type { Config } from '../../config/config.ts'
import { maxCallBytes } from '../../contract/body-limits.ts'
import { DIALECT_HEADER, isInternalHeader } from '../../contract/internal-headers.ts'
import { ServerError } from '../../errors.ts'
import type {
  AnswerCall,
  CallAnswers,
  CallResponse,
  ModelCall,
} from '../../worker/host/calls/call-channel.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import { PipelineMetadata } from '../pipelines/pipeline-metadata.ts'
import type { Registry } from '../registry.ts'
import type { PredictOptions } from '../scheduling/predict-options.ts'
import { collect } from '../scheduling/prediction.ts'
import type { Header } from '../scheduling/queue/job.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { CallGraph } from './call-graph.ts'

/** Models that may call one another for one request. */
const MAX_MODELS = 8
/** Protocols with JSON bodies that a call may have. */
const PROTOCOLS: ReadonlySet<string> = new Set(['v1', 'v2'])
/** Headers that a call has from the request that is served. */
const INHERITED: ReadonlySet<string> = new Set(['traceparent', 'tracestate', 'x-request-id'])

/** Returns a function that creates what answers the calls of a worker. */
export function answerCalls(
  registry: Registry,
  config: Config,
): (model: PreparedModel, settings: EffectiveSettings) => CallAnswers {
  const answer = callAnswer(registry, config.maxResponseBytes)
  const maxBytes = maxCallBytes(config)
  return (model, { responseTimeoutMs }) => {
    const pipeline = PipelineMetadata.of(model, registry)
    const timeoutMs = pipeline && responseTimeoutMs
    return { answer, describe: (known) => describe(pipeline, known), maxBytes, timeoutMs }
  }
}

async function describe(
  pipeline: PipelineMetadata | undefined,
  known: string,
): Promise<CallResponse> {
  await pipeline?.learnAll()
  const revision = pipeline?.revision ?? known
  const body = revision === known ? '' : JSON.stringify({ revision, metadata: pipeline?.metadata })
  const prediction = { status: 200, reason: '', contentType: 'application/json', headers: [] }
  return { prediction: { ...prediction, body: Buffer.from(body) }, release: () => {} }
}

/** @param maxBytes Maximum size of a streamed response, which a call gets as a whole. */
function callAnswer(registry: Registry, maxBytes: number): AnswerCall {
  const graph = new CallGraph((name) => (registry.has(name) ? registry.get(name) : undefined))
  return async (call, signal) => {
    const { model: name, parameters, origin } = call
    checkChain(origin.chain, name)
    const version = call.version || registry.routing.choose(name, () => undefined)
    const model = registry.get(name, version)
    graph.add(origin.chain.at(-1) ?? '', name)
    const options: PredictOptions = { timeoutMs: timeLeft(origin.deadline), chain: origin.chain }
    let cancel = (): void => {}
    const onAbort = (): void => cancel()
    signal.addEventListener('abort', onAbort)
    try {
      const prediction = await model.predict(headersOf(call), parameters, options, (how) => {
        cancel = how
        if (signal.aborted) cancel()
      })
      const { stream, status, reason, contentType, headers } = prediction
      if (stream !== undefined) cancel = () => stream.cancel()
      if (signal.aborted) cancel()
      const body = stream === undefined ? prediction.body : await collect(stream, maxBytes)
      return {
        prediction: { status, reason, contentType, headers, body },
        release: () => prediction.release(),
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}

/**
 * Rejects a call that would wait for itself.
 * @throws ServerError that names the models.
 */
function checkChain(chain: readonly string[], name: string): void {
  const path = [...chain, name].join(' → ')
  if (chain.includes(name)) throw refusal(`Models call one another in a circle: ${path}.`)
  if (chain.length >= MAX_MODELS)
    throw refusal(`More than ${MAX_MODELS} models call one another: ${path}.`)
}

function refusal(text: string): ServerError {
  return new ServerError('InternalServerException', text)
}

/** Milliseconds until a deadline. @throws ServerError if it has passed. */
function timeLeft(deadline: number | undefined): number | undefined {
  if (deadline === undefined) return undefined
  const leftMs = deadline - performance.now()
  if (leftMs > 0) return leftMs
  const text = 'The deadline of the request that the handler serves has passed.'
  throw new ServerError('ServiceUnavailableException', text)
}

/** @throws ServerError for a protocol that does not exist. */
function headersOf({ headers, serves, protocol }: ModelCall): Header[] {
  const inherited = serves.headers.filter(([name]) => INHERITED.has(name.toLowerCase()))
  const own = headers.filter(([name]) => !isInternalHeader(name))
  if (protocol === '') return [...inherited, ...own]
  if (!PROTOCOLS.has(protocol))
    throw new ServerError('BadRequestException', 'The protocol of a call is v1 or v2.')
  return [...inherited, ...own, [DIALECT_HEADER, protocol]]
}
