import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { messageOf } from '../../../errors.ts'
import { RequestDecoder } from '../../wire/decode.ts'
import { encodeReply } from '../../wire/encode.ts'
import type {
  LoadRequest,
  PredictRequest,
  WireRequest,
  WorkerReply,
  WorkerRequest,
} from '../../wire/messages.ts'
import type { FurtherReplies, LoadedModel } from '../handler.ts'
import type { IoFifos } from '../output/fifos.ts'
import { reportError } from '../report-error.ts'
import { BlockingLoop } from './blocking-loop.ts'
import { END_SIGNALS } from './end-signals.ts'
import { mayWait, predict } from './predict.ts'
import { loadFailedReply, loadedReply } from './replies.ts'
import { takeDescriptor } from './take-descriptor.ts'

/** What a connection needs from its process. */
export interface ServiceSettings {
  readonly loadModel: (request: LoadRequest) => Promise<LoadedModel>
  readonly createFifos: (descriptor: string) => Promise<IoFifos>
  /**
   * Whether the process serves only this connection, so it may block when its model does not need
   * the event loop.
   */
  readonly mayBlock: boolean
}

/** Maximum number of decoded requests that wait. Above it, reading from the socket stops. */
const MAX_WAITING = 8

/**
 * Serves one connection of a front-end with its own model: `L` loads the model, `I` predicts. Each
 * request gets one reply, in order; if a response is streamed, `I` gets several, and `C` ends them.
 */
export class Service {
  /**
   * Resolves when the connection is closed: true if it ended as the protocol allows. Never rejects.
   */
  readonly ended: Promise<boolean>
  readonly #socket: Socket
  readonly #settings: ServiceSettings
  readonly #decoder = new RequestDecoder()
  readonly #waiting: (LoadRequest | PredictRequest)[] = []
  /** Number of replies that are held back. */
  #held = 0
  #isWorking = false
  #isInputOver = false
  #isClosing = false
  #isBroken = false
  #model: LoadedModel | undefined
  #fifos: IoFifos | undefined
  /** The replies that are being streamed. */
  #stream: FurtherReplies | undefined

  constructor(socket: Socket, settings: ServiceSettings) {
    this.#socket = socket
    this.#settings = settings
    this.ended = new Promise((resolve) => {
      socket.once('close', () => {
        this.#waiting.length = 0
        this.#stream?.cancel()
        this.#release()
        resolve(!this.#isBroken)
      })
    })
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('end', () => this.#endInput())
    // An error only means that the peer is gone; 'close' follows.
    socket.on('error', () => socket.destroy())
  }

  #receive(chunk: Buffer): void {
    if (this.#isClosing) return
    try {
      for (const request of this.#decoder.push(chunk)) this.#accept(request)
      if (this.#waiting.length === 0) return
    } catch (error) {
      this.#abandon(error)
      return
    }
    if (!this.#isWorking) void this.#work()
    if (this.#waiting.length > MAX_WAITING) this.#socket.pause()
  }

  #accept(request: WorkerRequest): void {
    if (request.command === 'cancel') this.#stream?.cancel(request.id)
    else this.#waiting.push(request)
  }

  #endInput(): void {
    this.#isInputOver = true
    try {
      this.#decoder.end()
    } catch (error) {
      this.#abandon(error)
      return
    }
    if (!this.#isWorking) this.#socket.end()
  }

  async #work(): Promise<void> {
    this.#isWorking = true
    try {
      for (let request = this.#waiting.shift(); request; request = this.#waiting.shift()) {
        if (request.command === 'load') await this.#load(request)
        else await this.#run(request.requests)
      }
    } catch (error) {
      this.#abandon(error)
    }
    this.#isWorking = false
    if (this.#socket.destroyed) this.#release()
    else if (this.#isInputOver) this.#socket.end()
    else if (this.#socket.isPaused()) this.#socket.resume()
  }

  /**
   * The order of an MMS worker: create the FIFOs, load the model, reply, and only then switch the
   * output to the FIFOs.
   */
  async #load(request: LoadRequest): Promise<void> {
    const { loadModel, createFifos } = this.#settings
    const fifos = request.ioDescriptor === '' ? undefined : await createFifos(request.ioDescriptor)
    if (this.#socket.destroyed) {
      fifos?.close()
      return
    }
    this.#release()
    this.#fifos = fifos
    try {
      this.#model = await loadModel(request)
    } catch (error) {
      reportError(`Model ${JSON.stringify(request.modelName)} cannot be loaded`, error)
      this.#isClosing = true
      this.#waiting.length = 0
      await this.#answer(loadFailedReply(error))
      this.#socket.destroySoon()
      return
    }
    const reply = loadedReply(request.modelName)
    if (fifos === undefined && (await this.#block(this.#model, reply))) return
    await this.#answer(reply)
    if (!this.#socket.destroyed) fifos?.attach()
  }

  /**
   * Serves with blocking calls until the connection ends. Returns false, and does nothing, where
   * that is not possible.
   */
  async #block(model: LoadedModel, reply: WorkerReply): Promise<boolean> {
    if (!this.#settings.mayBlock || model.needsEventLoop) return false
    if (this.#waiting.length > 0 || !this.#decoder.isIdle || this.#isInputOver) return false
    const fd = takeDescriptor(this.#socket)
    if (fd === undefined) return false
    // Signal handlers would have to wait for the event loop. Without them a signal ends the process
    // directly.
    for (const signal of END_SIGNALS) process.removeAllListeners(signal)
    this.#isClosing = true
    await new BlockingLoop(fd, model).run(reply)
    this.#socket.destroy()
    return true
  }

  async #run(requests: readonly WireRequest[]): Promise<void> {
    const startedAt = performance.now()
    const reply = await predict(this.#model, requests, startedAt)
    if (reply.more !== undefined) return this.#sendStream(reply, reply.more)
    const runMs = performance.now() - startedAt
    if (mayWait(runMs, this.#held, requests, this.#waiting[0])) this.#hold(reply)
    else await this.#answer(reply)
  }

  /** The next chunk is read when the front-end has taken the one before. */
  async #sendStream(first: WorkerReply, more: FurtherReplies): Promise<void> {
    this.#stream = more
    let reply: WorkerReply | undefined = first
    for (; reply !== undefined; reply = await more.next()) {
      await this.#answer(reply)
      if (this.#socket.destroyed) more.cancel()
      // A generator that never waits would keep requests to cancel it from being read.
      await nextTurn()
    }
    this.#stream = undefined
  }

  /** Holds a reply back until the next one is sent. */
  #hold(reply: WorkerReply): void {
    const socket = this.#socket
    if (socket.destroyed) return
    if (this.#held === 0) socket.cork()
    this.#held += 1
    for (const part of encodeReply(reply)) socket.write(part)
  }

  /**
   * Sends a reply and the replies that are held back in one `writev`, because MMS's front-end fails
   * on a reply that is split at the wrong place. Then waits until the peer has taken them;
   * otherwise the next run would delay the sending.
   */
  async #answer(reply: WorkerReply): Promise<void> {
    const socket = this.#socket
    if (socket.destroyed) return
    this.#hold(reply)
    this.#held = 0
    socket.uncork()
    if (!socket.writableNeedDrain) return
    await new Promise<void>((resolve) => {
      socket.once('close', resolve)
      socket.once('drain', () => {
        socket.off('close', resolve)
        resolve()
      })
    })
  }

  /** Closes a connection that broke the protocol, without a reply, as an MMS worker does. */
  #abandon(error: unknown): void {
    this.#isBroken = true
    this.#isClosing = true
    this.#waiting.length = 0
    console.error(`Connection closed: ${messageOf(error)}`)
    this.#socket.destroy()
  }

  /** Closes the FIFOs and the model. A model that is running is closed after its run. */
  #release(): void {
    this.#fifos?.close()
    this.#fifos = undefined
    if (this.#isWorking && this.#socket.destroyed) return
    const model = this.#model
    this.#model = undefined
    void closeModel(model)
  }
}

async function closeModel(model: LoadedModel | undefined): Promise<void> {
  try {
    await model?.close()
  } catch (error) {
    reportError('The model cannot be closed', error)
  }
}
