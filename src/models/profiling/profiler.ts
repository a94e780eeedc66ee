/** Measures the operators of a model with copies of its live requests, in a worker of its own. */
import { randomUUID } from 'node:crypto'
import { PROFILE_HEADER } from '../../contract/internal-headers.ts'
import type { ProfileSummary } from '../../contract/profile.ts'
import { ServerError, messageOf } from '../../errors.ts'
import { codeText } from '../../model-folder/pipeline.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import { PrintedMetrics } from '../metrics/handler-metrics.ts'
import type { PoolStatus, PoolWorker } from '../scheduling/pool.ts'
import type { Header, Parameter } from '../scheduling/queue/job.ts'
import { changedFiles } from '../sources/file-check.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import type { WorkerFactory } from '../workers/worker-factory.ts'
import { RequestCopies } from './request-copies.ts'

/** What to measure. */
export interface ProfileOptions {
  /** Runs to measure. */
  readonly requests: number
  /** How long to wait for new requests. After that, the ones that came are run again. */
  readonly seconds: number
}

/** The result for one version of a model. */
export interface Profile extends ProfileSummary {
  /** Live requests that were copied. */
  readonly requests: number
  /** Requests to which the worker responded with an error. */
  readonly failed: number
}

/** Begin of the name of the file, in the folder of the worker. */
const FILE_PREFIX = 'profile'
/** Number of the worker in the log. The workers that serve begin with 1. */
const WORKER_NUMBER = 0
const HTTP_ERROR = 400

/** The profiles of one version. At most one runs at a time. */
export class Profiler {
  readonly #model: PreparedModel
  readonly #settings: EffectiveSettings
  readonly #factory: WorkerFactory
  #copies: RequestCopies | undefined
  #worker: PoolWorker | undefined

  constructor(model: PreparedModel, settings: EffectiveSettings, factory: WorkerFactory) {
    this.#model = model
    this.#settings = settings
    this.#factory = factory
  }

  /** Takes a copy of a live request while a profile runs. */
  offer(headers: readonly Header[], parameters: readonly Parameter[]): void {
    this.#copies?.offer(headers, parameters)
  }

  /**
   * Runs copies of live requests in a worker of its own. The workers that serve do not notice.
   * @param signal Ends it.
   * @throws ServerError 409 if a profile runs or the files have changed, 400 for a model with code,
   * 503 if the model is not loaded or no request came; the error of the worker if it cannot load
   * the model.
   */
  async profile(
    options: ProfileOptions,
    { readyWorkers }: Pick<PoolStatus, 'readyWorkers'>,
    signal: AbortSignal,
  ): Promise<Profile> {
    const { name, hasCode, files, runtime } = this.#model
    if (hasCode || runtime !== 'node') {
      throw new ServerError(
        'BadRequestException',
        `Model ${name} ${codeText(this.#model)}. Only the operators of models without code can be measured.`,
      )
    }
    if (readyWorkers === 0) {
      const problem = `Model ${name} has no worker that is ready.`
      throw new ServerError('ServiceUnavailableException', problem)
    }
    if (this.#copies !== undefined)
      throw new ServerError('ConflictStatusException', `A profile of model ${name} runs already.`)
    this.#copies = new RequestCopies()
    const stop = (): void => this.#worker?.kill('was told to stop')
    signal.addEventListener('abort', stop, { once: true })
    try {
      const change = await files?.findChange()
      if (change !== undefined) throw changedFiles(name, change)
      signal.throwIfAborted()
      return await this.#measure(this.#copies, options, signal)
    } catch (cause) {
      if (cause instanceof ServerError) throw cause
      const problem = `The worker that measured model ${name} ended: ${messageOf(cause, 200)}`
      throw new ServerError('InternalServerException', problem, { cause })
    } finally {
      signal.removeEventListener('abort', stop)
      this.#copies = undefined
      await this.#worker?.stop()
      this.#worker = undefined
    }
  }

  /** Ends a running profile. */
  close(): void {
    this.#worker?.kill('was told to stop')
  }

  async #measure(
    copies: RequestCopies,
    { requests, seconds }: ProfileOptions,
    signal: AbortSignal,
  ): Promise<Profile> {
    const { name } = this.#model
    const worker = this.#factory.start(
      this.#model,
      this.#settings,
      WORKER_NUMBER,
      new PrintedMetrics(),
      { profile: FILE_PREFIX },
    )
    this.#worker = worker
    await worker.ready
    const waiting = AbortSignal.any([signal, AbortSignal.timeout(seconds * 1000)])
    let failed = 0
    // The summary leaves out one run, see `summarize`.
    for (let run = 0; run <= requests; run += 1) {
      const request = (await copies.nextNew(waiting)) ?? copies.again()
      if (request === undefined) {
        throw new ServerError(
          'ServiceUnavailableException',
          `Model ${name} got no request within ${seconds} s. Send requests meanwhile, for example with onnxd bench ${name}.`,
        )
      }
      const { predictions } = await worker.predict([{ ...request, id: randomUUID() }])
      if (predictions.some(({ status }) => status >= HTTP_ERROR)) failed += 1
    }
    return { requests: copies.count, failed, ...(await summaryOf(worker)) }
  }
}

async function summaryOf(worker: PoolWorker): Promise<ProfileSummary> {
  const id = randomUUID()
  const headers: Header[] = [[PROFILE_HEADER, 'end']]
  const { predictions } = await worker.predict([{ id, headers, parameters: [] }])
  const [prediction] = predictions
  const text = prediction?.body.toString() ?? ''
  if (prediction?.status !== 200)
    throw new ServerError('InternalServerException', `The profile failed: ${messageOf(text, 200)}`)
  return JSON.parse(text) as ProfileSummary
}
