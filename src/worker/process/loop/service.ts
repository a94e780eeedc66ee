import type { Socket } from 'node:net'
import { messageOf } from '../../../errors.ts'
import { RequestDecoder } from '../../wire/decode.ts'
import { encodeReply } from '../../wire/encode.ts'
import type { LoadRequest, WireRequest, WorkerReply, WorkerRequest } from '../../wire/messages.ts'
import type { LoadedModel } from '../handler.ts'
import type { IoFifos } from '../output/fifos.ts'
import { reportError } from '../report-error.ts'
import { BlockingLoop } from './blocking-loop.ts'
import { END_SIGNALS } from './end-signals.ts'
import { mayWait, predict } from './predict.ts'
import { loadFailedReply, loadedReply } from './replies.ts'
import { takeDescriptor } from './take-descriptor.ts'

/** What a connection takes from the process around it. */
export interface ServiceSettings {
  readonly loadModel: (request: LoadRequest) => Promise<LoadedModel>
  readonly createFifos: (descriptor: string) => Promise<IoFifos>
  /** Whether the process may wait for this connection alone, once it has a model that needs no event loop. */
  readonly mayBlock: boolean
}

/** Requests that wait in memory; with more, the rest stays in the socket. */
const MAX_WAITING = 8
/**
 * One connection of a front-end, with a model of its own: `L` loads it, `I` predicts, one reply for
 * each request, strictly in order.
 */
export class Service {
  /** Settles when the connection is closed, with whether it ended as the protocol allows. Never rejects. */
  readonly ended: Promise<boolean>
  readonly #socket: Socket
  readonly #settings: ServiceSettings
  readonly #decoder = new RequestDecoder()
  readonly #waiting: WorkerRequest[] = []
  /** Replies that are kept back. */
  #held = 0
  #isWorking = false
  #isInputOver = false
  #isClosing = false
  #isBroken = false
  #model: LoadedModel | undefined
  #fifos: IoFifos | undefined

  constructor(socket: Socket, settings: ServiceSettings) {
    this.#socket = socket
    this.#settings = settings
    this.ended = new Promise((resolve) => {
      socket.once('close', () => {
        this.#waiting.length = 0
        this.#release()
        resolve(!this.#isBroken)
      })
    })
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('end', () => this.#endInput())
    // Only says that the peer is gone; 'close' follows.
    socket.on('error', () => socket.destroy())
  }

  #receive(chunk: Buffer): void {
    if (this.#isClosing) return
    try {
      const requests = this.#decoder.push(chunk)
      if (requests.length === 0) return
      this.#waiting.push(...requests)
    } catch (error) {
      this.#abandon(error)
      return
    }
    if (!this.#isWorking) void this.#work()
    if (this.#waiting.length > MAX_WAITING) this.#socket.pause()
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

  /** MMS worker process, section 1.5: FIFOs, model, reply, and only then the output turns to the FIFOs. */
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

  /** Serves by blocking calls until the connection ends, if that can be. */
  async #block(model: LoadedModel, reply: WorkerReply): Promise<boolean> {
    if (!this.#settings.mayBlock || model.needsEventLoop) return false
    if (this.#waiting.length > 0 || !this.#decoder.isIdle || this.#isInputOver) return false
    const fd = takeDescriptor(this.#socket)
    if (fd === undefined) return false
    // Their handlers would have to wait for the event loop; without them the process simply ends.
    for (const signal of END_SIGNALS) process.removeAllListeners(signal)
    this.#isClosing = true
    await new BlockingLoop(fd, model).run(reply)
    this.#socket.destroy()
    return true
  }

  async #run(requests: readonly WireRequest[]): Promise<void> {
    const startedAt = performance.now()
    const reply = await predict(this.#model, requests, startedAt)
    const runMs = performance.now() - startedAt
    if (mayWait(runMs, this.#held, requests, this.#waiting[0])) this.#hold(reply)
    else await this.#answer(reply)
  }

  /** Keeps a reply back until the next one is sent. */
  #hold(reply: WorkerReply): void {
    const socket = this.#socket
    if (socket.destroyed) return
    if (this.#held === 0) socket.cork()
    this.#held += 1
    for (const part of encodeReply(reply)) socket.write(part)
  }

  /**
   * Sends a reply, and those kept back, in one `writev` (the original's front-end fails on a reply that is cut in
   * the wrong place), and waits while the peer does not take it: the next run would hold it up.
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

  /** The connection cannot be used any more. As the original: no reply, and it is closed. */
  #abandon(error: unknown): void {
    this.#isBroken = true
    this.#isClosing = true
    this.#waiting.length = 0
    console.error(`Connection closed: ${messageOf(error)}`)
    this.#socket.destroy()
  }

  /** Gives up model and FIFOs; a model that is at work, when it is done. */
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
