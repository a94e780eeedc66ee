import { readSync, writeSync, writevSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { ProtocolError } from '../../../errors.ts'
import { RequestDecoder } from '../../wire/decode.ts'
import { encodeReply } from '../../wire/encode.ts'
import type { WorkerReply } from '../../wire/messages.ts'
import type { LoadedModel } from '../handler.ts'
import { mayWait, predict } from './predict.ts'

const READ_BYTES = 256 * 1024
/** The event loop gets a turn after so much time at work, for what Node and native modules leave to it. */
const TURN_EVERY_MS = 50

/**
 * Serves a connection by blocking calls, which spare the event loop's share of a small request. For onnxd's own
 * front-end and models that need nothing of the event loop; a process that computes could not look at it anyway.
 */
export class BlockingLoop {
  readonly #fd: number
  readonly #model: LoadedModel
  readonly #decoder = new RequestDecoder()
  /** Used again for each read: by then all that was in it is answered. */
  #buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  #replies: Buffer[] = []
  #held = 0
  #lastTurn = performance.now()

  /** @param fd A stream socket that blocks. */
  constructor(fd: number, model: LoadedModel) {
    this.#fd = fd
    this.#model = model
  }

  /**
   * Sends the answer to the load request, then serves. Resolves when the front-end has closed its end.
   * @throws ProtocolError when it does not keep to the protocol
   * @throws Error of the system when the connection is lost
   */
  async run(loaded: WorkerReply): Promise<void> {
    this.#replies = encodeReply(loaded)
    this.#send()
    for (let size = this.#read(); size > 0; size = this.#read()) {
      await this.#serve(this.#buffer.subarray(0, size))
      // A message that goes on in the next chunk may have views of this one.
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
      if (message.command === 'load') throw new ProtocolError('A second load request')
      const startedAt = performance.now()
      this.#replies.push(...encodeReply(await predict(this.#model, message.requests, startedAt)))
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
      // A blocking write takes everything, unless there is too much of it for one call.
      for (; written < part.length; written += writeSync(this.#fd, part, written));
      written -= part.length
    }
  }
}
