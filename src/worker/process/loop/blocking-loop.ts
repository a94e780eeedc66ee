import { readSync, writeSync, writevSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { ProtocolError } from '../../../errors.ts'
import { RequestDecoder } from '../../wire/decode.ts'
import { encodeReply } from '../../wire/encode.ts'
import type { WorkerReply } from '../../wire/messages.ts'
import type { LoadedModel } from '../handler.ts'
import { mayWait, predict } from './predict.ts'

const READ_BYTES = 256 * 1024
/**
 * Milliseconds of work after which the event loop gets a turn, for tasks of Node and native
 * modules.
 */
const TURN_EVERY_MS = 50

/**
 * Serves a connection with blocking calls, which saves the time of the event loop on small
 * requests. It is used for onnxd's own front-end and models that do not need the event loop. While
 * the model computes, the process could not use the event loop anyway.
 */
export class BlockingLoop {
  readonly #fd: number
  readonly #model: LoadedModel
  readonly #decoder = new RequestDecoder()
  /** Reused for each read: by then all requests in it are answered. */
  #buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  #replies: Buffer[] = []
  #held = 0
  #lastTurn = performance.now()

  /** @param fd A stream socket in blocking mode. */
  constructor(fd: number, model: LoadedModel) {
    this.#fd = fd
    this.#model = model
  }

  /**
   * Sends the reply to the load request, then serves predict requests. Resolves when the front-end
   * has closed its end.
   * @throws ProtocolError when the front-end breaks the protocol
   * @throws Error of the system when the connection is lost
   */
  async run(loaded: WorkerReply): Promise<void> {
    this.#replies = encodeReply(loaded)
    this.#send()
    for (let size = this.#read(); size > 0; size = this.#read()) {
      await this.#serve(this.#buffer.subarray(0, size))
      // An incomplete message may have views of this buffer.
      if (!this.#decoder.isIdle) this.#buffer = Buffer.allocUnsafeSlow(READ_BYTES)
    }
    this.#decoder.end()
  }

  #read(): number {
    return readSync(this.#fd, this.#buffer)
  }

  async #serve(chunk: Buffer): Promise<void> {
    const messages = this.#decoder.push(chunk)
    for (const [index, message] of messages.entries()) {
      if (message.command !== 'predict')
        throw new ProtocolError(`the worker received a second ${message.command} request`)
      const startedAt = performance.now()
      const answer = predict(this.#model, message.requests, startedAt)
      const reply = answer instanceof Promise ? await answer : answer
      this.#replies.push(...encodeReply(reply))
      const now = performance.now()
      if (mayWait(now - startedAt, this.#held, message.requests, messages[index + 1])) {
        this.#held += 1
      } else {
        this.#send()
      }
      if (now - this.#lastTurn < TURN_EVERY_MS) continue
      await turn()
      this.#lastTurn = performance.now()
    }
  }

  #send(): void {
    const parts = this.#replies
    this.#replies = []
    this.#held = 0
    let written = parts.length === 1 ? 0 : writevSync(this.#fd, parts)
    for (const part of parts) {
      // One call may write only a part of a large buffer.
      for (; written < part.length; written += writeSync(this.#fd, part, written));
      written -= part.length
    }
  }
}
