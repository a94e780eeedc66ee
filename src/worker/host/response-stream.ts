import { largeBuffers } from '../../buffer-pool.ts'
import { ServerError } from '../../errors.ts'

/** Receives a streamed response. `onEnd` is called once, after the last chunk. */
export interface StreamReader {
  /** The memory of the chunk belongs to the reader, who gives it back to `largeBuffers`. */
  readonly onChunk: (chunk: Buffer) => void
  /** @param error Why the response is not complete; `undefined` if it is. */
  readonly onEnd: (error: Error | undefined) => void
}

/** How a stream ended: whole, by an error, or because its client left. */
export type StreamOutcome = 'complete' | 'failed' | 'cancelled'

/** What a stream tells its worker. */
export interface StreamFlow {
  /** The reader cannot take more, or can again. */
  readonly onPause: () => void
  readonly onResume: () => void
  /** Nobody reads the response any more. */
  readonly onCancel: () => void
}

/** The response to one request that comes in chunks. */
export class ResponseStream {
  /** Resolves when the last chunk has come, or the client has left. Never rejects. */
  readonly outcome: Promise<StreamOutcome>
  readonly #flow: StreamFlow
  /** Chunks that came before there was a reader. */
  readonly #early: Buffer[] = []
  #reader: StreamReader | undefined
  #end: { readonly error: Error | undefined } | undefined
  #isCancelled = false
  /** Whether the reader knows the end. */
  #isTold = false
  #bytes = 0
  #settle: (outcome: StreamOutcome) => void = () => {}

  constructor(flow: StreamFlow) {
    this.#flow = flow
    this.outcome = new Promise((resolve) => (this.#settle = resolve))
  }

  /** Bytes of all chunks so far. */
  get bytes(): number {
    return this.#bytes
  }

  get isCancelled(): boolean {
    return this.#isCancelled
  }

  /** Starts to read. A stream has one reader. */
  read(reader: StreamReader): void {
    this.#reader = reader
    for (const chunk of this.#early.splice(0)) reader.onChunk(chunk)
    if (this.#end !== undefined) setImmediate(() => this.#tellEnd())
  }

  /** The reader cannot take more for now. A few chunks may still come. */
  pause(): void {
    if (this.#end === undefined && !this.#isCancelled) this.#flow.onPause()
  }

  resume(): void {
    if (this.#end === undefined && !this.#isCancelled) this.#flow.onResume()
  }

  /** Nobody reads the response any more: its other chunks are dropped. Safe to call again. */
  cancel(): void {
    if (this.#end !== undefined || this.#isCancelled) return
    this.#isCancelled = true
    for (const chunk of this.#early.splice(0)) largeBuffers.give(chunk)
    this.#settle('cancelled')
    this.#flow.onCancel()
  }

  /** The worker has sent a chunk. */
  push(chunk: Buffer): void {
    if (this.#isCancelled) return largeBuffers.give(chunk)
    this.#bytes += chunk.length
    if (this.#reader === undefined) this.#early.push(chunk)
    else this.#reader.onChunk(chunk)
  }

  /** The worker has sent everything, or failed. */
  end(error?: Error): void {
    if (this.#end !== undefined) return
    this.#end = { error }
    if (this.#isCancelled) return
    this.#settle(error === undefined ? 'complete' : 'failed')
    // When the reader is told, the times of the batch are already recorded.
    setImmediate(() => this.#tellEnd())
  }

  #tellEnd(): void {
    if (this.#isTold || this.#end === undefined || this.#reader === undefined) return
    this.#isTold = true
    this.#reader.onEnd(this.#end.error)
  }
}

/**
 * Reads a whole response.
 * @param onChunk Gets the size of each chunk; an error that it throws ends the reading.
 * @throws ServerError of the worker; 507 if the response is too large; 499 if it is cancelled.
 */
export function collect(
  stream: ResponseStream,
  maxBytes: number,
  onChunk: (bytes: number) => void = () => {},
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    void stream.outcome.then((outcome) => {
      if (outcome === 'cancelled') reject(left())
    })
    stream.read({
      onChunk: (chunk) => {
        chunks.push(chunk)
        try {
          onChunk(chunk.length)
          if (stream.bytes > maxBytes) throw tooLarge(maxBytes)
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
          stream.cancel()
        }
      },
      onEnd: (error) => {
        if (error === undefined) resolve(Buffer.concat(chunks))
        else reject(error)
      },
    })
  })
}

function left(): ServerError {
  return new ServerError('ClientClosedRequestException', 'The client closed the connection.')
}

function tooLarge(maxBytes: number): ServerError {
  const text = `The response has more bytes than the limit of ${maxBytes} (maxResponseBytes).`
  return new ServerError('InsufficientMemoryException', text)
}
