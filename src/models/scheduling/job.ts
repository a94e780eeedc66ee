import { randomUUID } from 'node:crypto'
import { ServerError } from '../../errors.ts'
import type {
  WireHeader,
  WireParameter,
  WirePrediction,
  WireRequest,
} from '../../worker/wire/messages.ts'
import type { StatusCounts } from '../metrics/counts.ts'

export type { WireHeader as Header, WireParameter as Parameter, WirePrediction as Prediction }

const ignore = (): void => {}

/** One HTTP request's work: what the worker is sent, and a promise of what it answers. */
export class Job {
  readonly request: WireRequest
  /** Size of the parameter values, bytes. */
  readonly bytes: number
  /** Resolves with the worker's answer, rejects with a ServerError. */
  readonly result: Promise<WirePrediction>
  /** Workers that died with this job in their hands. */
  deaths = 0
  /** Priority, 1 for the highest. Like the deadline it is set before the job is submitted. */
  level = 1
  /** When it is too late for a worker to take it, on the clock of `performance.now()`; `undefined` where only the server's limit counts. */
  deadline: number | undefined
  /** The rest is the queue's: whether the job waits in it, since when, at which place, between whom. */
  isQueued = false
  waitingSince = 0
  turn = 0
  before: Job | undefined
  after: Job | undefined
  /** Between whom in the order in which jobs expire. */
  sooner: Job | undefined
  later: Job | undefined
  #resolve: (prediction: WirePrediction) => void = ignore
  #reject: (error: Error) => void = ignore
  #isSettled = false
  readonly #statuses: StatusCounts | undefined

  /** @param statuses Where the outcome is counted; nowhere for what no client asked for. */
  constructor(
    headers: readonly WireHeader[],
    parameters: readonly WireParameter[],
    statuses?: StatusCounts,
  ) {
    this.#statuses = statuses
    this.request = { id: randomUUID(), headers, parameters }
    this.bytes = parameters.reduce((sum, parameter) => sum + parameter.value.length, 0)
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** True once there is an answer, an error, or nobody left to tell. */
  get isSettled(): boolean {
    return this.#isSettled
  }

  /** True for a client's request. */
  get isCounted(): boolean {
    return this.#statuses !== undefined
  }

  resolve(prediction: WirePrediction): void {
    this.#isSettled = true
    this.#statuses?.count(prediction.status)
    this.#resolve(prediction)
  }

  reject(error: Error): void {
    this.#isSettled = true
    this.#statuses?.count(error instanceof ServerError ? error.statusCode : 500)
    this.#reject(error)
  }
}
