import { ACCEPTED_PREFIX } from '../../../contract/worker-lines.ts'
import type { WireLimits } from '../../wire/messages.ts'
import type { BodyFile } from '../body-file.ts'
import type { Connection } from '../connection.ts'
import type { ExitCause } from './child.ts'
import type { OnLine, StartedProcess, WorkerProcess } from './worker-process.ts'

/**
 * Milliseconds that a spare process may take to accept the connection. One that works takes about a
 * millisecond.
 */
const ACCEPT_MS = 500

/**
 * A spare process that a worker gets. If it does not accept the connection in time, it is killed,
 * and another process is started in its place; the worker only sees that its pid changes.
 */
export class HandedOverProcess implements WorkerProcess {
  onLine: OnLine = () => {}
  /** Resolves when the process that the worker keeps has ended. */
  readonly exited: Promise<ExitCause>
  /** Resolves when it is certain which process the worker keeps: whether it is the spare one. */
  readonly isSpareKept: Promise<boolean>
  #current: StartedProcess
  readonly #startInstead: () => StartedProcess
  readonly #acceptMs: number
  #isEnding = false
  #hasSettled = false
  #settle: (isSpareKept: boolean) => void = () => {}

  constructor(spare: StartedProcess, startInstead: () => StartedProcess, acceptMs = ACCEPT_MS) {
    this.#current = spare
    this.#startInstead = startInstead
    this.#acceptMs = acceptMs
    this.isSpareKept = new Promise((resolve) => {
      this.#settle = (isSpareKept) => {
        this.#hasSettled = true
        resolve(isSpareKept)
      }
    })
    this.exited = this.isSpareKept.then(() => this.#current.exited)
  }

  get pid(): number | undefined {
    return this.#current.pid
  }

  get folder(): string {
    return this.#current.folder
  }

  /** Before it is certain which process is kept, the end of the spare one does not count. */
  get hasExited(): boolean {
    return this.#hasSettled && this.#current.hasExited
  }

  get lastErrors(): readonly string[] {
    return this.#current.lastErrors
  }

  get bodies(): BodyFile | undefined {
    return this.#current.bodies
  }

  async connect(limits: WireLimits, capacity: number): Promise<Connection> {
    const spare = this.#current
    const connection = await this.#connectToSpare(spare, limits, capacity)
    if (connection !== undefined || this.#isEnding) {
      this.#settle(true)
      return connection ?? spare.connect(limits, capacity)
    }
    spare.kill()
    this.#current = this.#startInstead()
    this.#current.onLine = (line, stream) => this.onLine(line, stream)
    this.#settle(false)
    return this.#current.connect(limits, capacity)
  }

  terminate(): void {
    this.#end()
    this.#current.terminate()
  }

  kill(): void {
    this.#end()
    this.#current.kill()
  }

  /** No process is started any more in place of the spare one. */
  #end(): void {
    this.#isEnding = true
    this.#settle(true)
  }

  /** Returns `undefined` when the process does not accept the connection in time. */
  async #connectToSpare(
    spare: StartedProcess,
    limits: WireLimits,
    capacity: number,
  ): Promise<Connection | undefined> {
    const connecting = spare.connect(limits, capacity)
    const { onLine } = spare
    let timer: NodeJS.Timeout | undefined
    const isAccepted = await new Promise<boolean>((resolve) => {
      spare.onLine = (line, stream) => {
        if (stream === 'stdout' && line.startsWith(ACCEPTED_PREFIX)) resolve(true)
        this.onLine(line, stream)
      }
      connecting.catch(() => resolve(false))
      void spare.exited.then(() => resolve(false))
      // If this process was busy, the line is already there and is read before the next turn.
      timer = setTimeout(() => setImmediate(resolve, false), this.#acceptMs)
    })
    clearTimeout(timer)
    if (isAccepted) return connecting
    spare.onLine = onLine
    connecting.then(
      (connection) => connection.destroy(),
      () => {},
    )
    return undefined
  }
}
