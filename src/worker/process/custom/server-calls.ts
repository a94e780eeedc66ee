/** Calls of a handler to other models of the server. See `docs/worker-protocol.md`. */
import { Socket } from 'node:net'
import type { CallOptions } from '../../../../types/handler.d.ts'
import { maxCallBytes } from '../../../contract/body-limits.ts'
import { messageOf } from '../../../errors.ts'
import { ReplyDecoder } from '../../wire/decode.ts'
import { encodePredict } from '../../wire/encode.ts'
import type { WireHeader, WireParameter, WirePrediction } from '../../wire/messages.ts'
import type { ModelCalls, WorkerOptions } from '../handler.ts'
import { PredictionException } from './prediction-exception.ts'

interface Waiter {
  readonly resolve: (prediction: WirePrediction) => void
  readonly reject: (error: Error) => void
}

/** A call of a model. */
export interface SentCall {
  /** Id of the request that is served. */
  readonly served: string
  readonly model: string
  readonly version?: string | undefined
  /** `v1` or `v2` for a body of that protocol, `metadata` for that of the pipeline itself. */
  readonly protocol?: string | undefined
  readonly headers?: readonly WireHeader[]
  readonly parameters: readonly WireParameter[]
}

/** The worker's end of the channel. */
export class ServerCalls implements ModelCalls {
  readonly #socket: Socket
  readonly #decoder = new ReplyDecoder()
  readonly #waiting = new Map<string, Waiter>()
  readonly #maxBytes: number
  #next = 1

  /** `calls` is the descriptor of the channel, which this process has inherited. */
  constructor({
    calls: descriptor,
    ...limits
  }: Pick<WorkerOptions, 'calls' | 'maxBodyBytes' | 'maxResponseBytes'>) {
    this.#maxBytes = maxCallBytes(limits)
    const socket = new Socket({ fd: descriptor, readable: true, writable: true })
    this.#socket = socket
    // The connection of the front-end decides how long this process lives.
    socket.unref()
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', () => socket.destroy())
    socket.once('close', () => {
      for (const { reject } of this.#waiting.values()) reject(closed())
      this.#waiting.clear()
    })
  }

  async predict(
    served: string,
    model: string,
    data: unknown,
    options: CallOptions = {},
  ): Promise<unknown> {
    const { version, protocol, headers = {}, contentType } = options
    const parameters = [toParameter(data, contentType)]
    const list = Object.entries(headers).map(([name, value]): WireHeader => [name, value])
    const call = { served, model, version, protocol, headers: list, parameters }
    return valueOf(await this.send(call))
  }

  /**
   * Sends a request to a model and resolves with its response, which may be an error.
   * @throws PredictionException if the channel is closed, or the body too large.
   */
  send({
    served,
    model,
    version = '',
    protocol = '',
    headers = [],
    parameters,
  }: SentCall): Promise<WirePrediction> {
    const bytes = parameters.reduce((sum, { value }) => Math.max(sum, value.length), 0)
    if (bytes > this.#maxBytes) {
      // The front-end would close the channel.
      const text = `The request to model ${model} has ${bytes} bytes, more than the limit of ${this.#maxBytes}.`
      return Promise.reject(new PredictionException(text, 413))
    }
    const own: WireHeader[] = [
      ['for', served],
      ['model', model],
      ['version', version],
      ['protocol', protocol],
    ]
    const id = String(this.#next++)
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(closed())
      this.#waiting.set(id, { resolve, reject })
      const frame = encodePredict([{ id, headers: [...own, ...headers], parameters }])
      this.#socket.write(Buffer.concat(frame))
    })
  }

  #receive(chunk: Buffer): void {
    try {
      for (const { predictions } of this.#decoder.push(chunk)) {
        for (const prediction of predictions) {
          this.#waiting.get(prediction.id)?.resolve(prediction)
          this.#waiting.delete(prediction.id)
        }
      }
    } catch (error) {
      console.error(`The channel for calls of models is closed: ${messageOf(error)}`)
      this.#socket.destroy()
    }
  }
}

function closed(): Error {
  return new PredictionException('The server cannot be called any more.', 503)
}

function toParameter(data: unknown, contentType: string | undefined): WireParameter {
  if (data instanceof Uint8Array) {
    const value = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    return { name: 'body', contentType: contentType ?? 'application/octet-stream', value }
  }
  if (typeof data === 'string')
    return { name: 'body', contentType: contentType ?? 'text/plain', value: Buffer.from(data) }
  const json: string | undefined = JSON.stringify(data)
  if (json === undefined) throw new TypeError('A value without JSON cannot be sent to a model.')
  return { name: 'body', contentType: contentType ?? 'application/json', value: Buffer.from(json) }
}

/**
 * The value of a response for the handler that called.
 * @throws PredictionException for an error.
 */
export function valueOf({
  status,
  contentType,
  body,
}: Pick<WirePrediction, 'status' | 'contentType' | 'body'>): unknown {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (status >= 400) throw new PredictionException(errorText(body), status)
  if (type === 'application/json') return JSON.parse(body.toString())
  return type.startsWith('text/') ? body.toString() : body
}

/** The message of an error body, which may be JSON. */
export function errorText(body: Buffer): string {
  const text = body.toString()
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) {
      if ('message' in value) return String(value.message)
      if ('error' in value) return String(value.error)
    }
  } catch {
    // The handler of the model chose another form.
  }
  return text.slice(0, 4096)
}
