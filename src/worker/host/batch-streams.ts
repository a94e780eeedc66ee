import { ProtocolError } from '../../errors.ts'
import { encodeCancel } from '../wire/encode.ts'
import { STREAM_HEADER } from '../wire/messages.ts'
import type { WirePrediction, WorkerReply } from '../wire/messages.ts'
import { CallChannel } from './calls/call-channel.ts'
import type { ServedRequest } from './calls/call-channel.ts'
import type { Connection } from './connection.ts'
import { replyError } from './outcomes.ts'
import type { Progress } from './progress.ts'
import { ResponseStream } from './response-stream.ts'
import type { WorkerSpec } from './worker-spec.ts'

/** The first part of the response to one request of a batch. */
export interface FirstPart {
  /** Position of the request in the batch. */
  readonly index: number
  /** The reply that has it; a code other than 200 is an error. */
  readonly reply: WorkerReply
  readonly prediction: WirePrediction
  /** The chunks, also the first one; absent if the prediction is the whole response. */
  readonly stream: ResponseStream | undefined
}

/** Receives the first part of each response of a batch that is streamed. */
export type OnFirst = (part: FirstPart) => void

/** Is told why a batch has no reply. */
export type OnFailure = (error: Error) => void

/** The worker that has the batch. */
export interface StreamingWorker {
  readonly connection: Pick<Connection, 'pause' | 'resume' | 'post'>
  readonly progress: Pick<Progress, 'noteStream' | 'extend' | 'suspend' | 'resume'>
  /** Whether it ends a streamed response if it is told to. */
  readonly canCancel: boolean
  /** Absent if its model cannot call others. */
  readonly calls: Pick<CallChannel, 'begin' | 'finish'> | undefined
}

/** Returns `undefined` for a worker that sends one reply to each request. */
export function streamingWorker(
  { streams, calls: answers, process: { channel } }: WorkerSpec,
  connection: Connection,
  progress: Progress,
): StreamingWorker | undefined {
  if (streams === undefined) return undefined
  const hasCalls = channel !== undefined && answers !== undefined
  const calls = hasCalls ? new CallChannel(channel, answers) : undefined
  return { connection, progress, ...streams, calls }
}

/** A request without its whole response. */
interface OpenResponse {
  readonly index: number
  stream: ResponseStream | undefined
}

const NO_BYTES = Buffer.alloc(0)

/**
 * A batch at a worker that runs code of a model. If a response is streamed, the worker sends
 * several replies to one predict request, each with parts of some responses. Reading from the
 * worker stops while one of the clients cannot take more.
 */
export class BatchStreams {
  readonly #requests: readonly ServedRequest[]
  readonly #onFirst: OnFirst
  readonly #worker: StreamingWorker
  /** By request id; absent until a response is streamed. */
  #open: Map<string, OpenResponse> | undefined
  readonly #paused = new Set<OpenResponse>()

  constructor(requests: readonly ServedRequest[], onFirst: OnFirst, worker: StreamingWorker) {
    this.#requests = requests
    this.#onFirst = onFirst
    this.#worker = worker
    worker.calls?.begin(requests)
  }

  /** Whether a response of the batch is streamed. */
  get hasBegun(): boolean {
    return this.#open !== undefined
  }

  /**
   * Takes a reply of the worker. Returns whether more replies to the same batch follow.
   * @throws ProtocolError when a prediction belongs to no request that waits for one.
   */
  take(reply: WorkerReply): boolean {
    const goesOn = this.#take(reply)
    if (!goesOn) this.#worker.calls?.finish(this.#requests)
    return goesOn
  }

  /** The worker sends nothing more, for example because it has died. */
  readonly fail: OnFailure = (error) => {
    for (const { stream } of this.#open?.values() ?? []) stream?.end(error)
    this.#open?.clear()
    for (const response of this.#paused) this.#resume(response)
  }

  #take(reply: WorkerReply): boolean {
    if (this.#open === undefined) {
      if (reply.code !== 200 || !reply.predictions.some(hasNext)) return false
      this.#worker.progress.noteStream()
      const entries = this.#requests.map(({ id }, index) => [id, { index, stream: undefined }])
      this.#open = new Map(entries as [string, OpenResponse][])
    }
    const open = this.#open
    for (const prediction of reply.predictions) this.#takeOne(open, prediction, reply)
    // Without a prediction, an error applies to the whole batch.
    if (reply.code !== 200 && reply.predictions.length === 0) this.fail(replyError(reply))
    if (open.size === 0) return false
    if ([...open.values()].some(({ stream }) => stream?.isCancelled !== true))
      this.#worker.progress.extend()
    return true
  }

  #takeOne(open: Map<string, OpenResponse>, prediction: WirePrediction, reply: WorkerReply): void {
    const response = open.get(prediction.id)
    if (response === undefined)
      throw new ProtocolError(
        'a streamed reply with a prediction for a request that waits for none',
      )
    const isLast = reply.code !== 200 || !hasNext(prediction)
    const { index, stream } = response
    if (isLast) open.delete(prediction.id)
    if (stream !== undefined) {
      if (reply.code === 200) stream.push(prediction.body)
      if (!isLast) return
      this.#resume(response)
      stream.end(reply.code === 200 ? undefined : replyError(reply))
    } else if (isLast) {
      this.#onFirst({ index, reply, prediction, stream })
    } else {
      response.stream = new ResponseStream({
        onPause: () => this.#pause(response),
        onResume: () => this.#resume(response),
        onCancel: () => {
          const { connection, canCancel } = this.#worker
          if (canCancel) connection.post(encodeCancel(prediction.id))
          this.#resume(response)
        },
      })
      response.stream.push(prediction.body)
      const headers = prediction.headers.filter(([name]) => name !== STREAM_HEADER)
      const head = { ...prediction, headers, body: NO_BYTES }
      this.#onFirst({ index, reply, prediction: head, stream: response.stream })
    }
  }

  #pause(response: OpenResponse): void {
    if (this.#paused.size === 0) {
      this.#worker.connection.pause()
      this.#worker.progress.suspend()
    }
    this.#paused.add(response)
  }

  #resume(response: OpenResponse): void {
    if (!this.#paused.delete(response) || this.#paused.size > 0) return
    this.#worker.connection.resume()
    this.#worker.progress.resume()
  }
}

function hasNext({ headers }: WirePrediction): boolean {
  return headers.some(([name, value]) => name === STREAM_HEADER && value === 'true')
}
