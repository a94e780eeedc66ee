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

/** The work for one HTTP request: the request to the worker, and a promise of the response. */
export class Job {
  readonly request: WireRequest
  /** Size of the parameter values in bytes. */
  readonly bytes: number
  /** Resolves with the worker's response, or rejects with a ServerError. */
  readonly result: Promise<WirePrediction>
  /** Workers that died while they ran this job. */
  deaths = 0
  /**
   * Priority level; 1 is the highest. It is set before the job is submitted, as the deadline is.
   */
  level = 1
  /**
   * Latest time at which a worker may take the job, on the clock of `performance.now()`;
   * `undefined` if only the server's limit applies.
   */
  deadline: number | undefined
  /**
   * The queue owns these fields: whether the job waits, since when, its order, and its neighbours.
   */
  isQueued = false
  waitingSince = 0
  turn = 0
  before: Job | undefined
  after: Job | undefined
  /** Neighbours in the order of expiry. */
  sooner: Job | undefined
  later: Job | undefined
  #resolve: (prediction: WirePrediction) => void = ignore
  #reject: (error: Error) => void = ignore
  #isSettled = false
  readonly #statuses: StatusCounts | undefined

  /** @param statuses Counts the outcome; absent for a job that no client sent. */
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

  /** True when the job has a response or an error, or its client has disconnected. */
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
