import { randomUUID } from 'node:crypto'
import { ServerError } from '../../../errors.ts'
import type { ServedRequest } from '../../../worker/host/calls/call-channel.ts'
import type { ResponseStream } from '../../../worker/host/response-stream.ts'
import type { WireHeader, WireParameter, WirePrediction } from '../../../worker/wire/messages.ts'
import type { StatusCounts } from '../../metrics/counts.ts'

export type { WireHeader as Header, WireParameter as Parameter, WirePrediction as Prediction }

const ignore = (): void => {}

/** Begin of all ids, so that they differ from those of another run of the server. */
const RUN = randomUUID().slice(0, 8)
let lastId = 0

/** When a job runs, and who counts its outcome. */
export interface JobOptions {
  /** Priority level; 1 is the highest, and the default. */
  readonly level?: number
  /**
   * Latest time at which a worker may take the job, on the clock of `performance.now()`;
   * `undefined` if only the server's limit applies.
   */
  readonly deadline?: number | undefined
  /** Where the request comes from; absent if its model cannot call others. */
  readonly chain?: readonly string[] | undefined
  /** Counts the outcome; absent for a job that no client sent. */
  readonly statuses?: StatusCounts | undefined
  /** Whether it is a batch of its own. TorchServe's handlers treat a batch as its first request. */
  readonly isAlone?: boolean
}

/** The work for one HTTP request: the request to the worker, and a promise of the response. */
export class Job {
  readonly request: ServedRequest
  /** Size of the parameter values in bytes. */
  readonly bytes: number
  readonly level: number
  readonly deadline: number | undefined
  /** Whether it must not share a batch. */
  readonly isAlone: boolean
  /** The chunks of the response; absent if it is not streamed. */
  stream: ResponseStream | undefined
  /** Resolves with the worker's response, or rejects with a ServerError. */
  readonly result: Promise<WirePrediction>
  #resolve: (prediction: WirePrediction) => void = ignore
  #reject: (error: Error) => void = ignore
  #isSettled = false
  readonly #statuses: StatusCounts | undefined
  /** Ends the calls of other models; absent if its model cannot call others. */
  readonly #leaving: AbortController | undefined

  constructor(
    headers: readonly WireHeader[],
    parameters: readonly WireParameter[],
    { level = 1, deadline, chain, statuses, isAlone = false }: JobOptions = {},
  ) {
    const request = { id: `${RUN}-${++lastId}`, headers, parameters }
    this.#leaving = chain && new AbortController()
    this.request =
      this.#leaving === undefined || chain === undefined
        ? request
        : { ...request, origin: { chain, deadline, signal: this.#leaving.signal } }
    this.bytes = parameters.reduce((sum, parameter) => sum + parameter.value.length, 0)
    this.level = level
    this.deadline = deadline
    this.isAlone = isAlone
    this.#statuses = statuses
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

  resolve(prediction: WirePrediction, stream?: ResponseStream): void {
    this.#isSettled = true
    this.stream = stream
    this.#statuses?.count(prediction.status)
    this.#resolve(prediction)
  }

  reject(error: Error): void {
    this.#isSettled = true
    this.#statuses?.count(error instanceof ServerError ? error.statusCode : 500)
    this.#leaving?.abort(error)
    this.#reject(error)
  }
}
