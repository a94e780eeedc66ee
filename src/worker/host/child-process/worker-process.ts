import type { Duplex } from 'node:stream'
import type { WireLimits } from '../../wire/messages.ts'
import type { BodyFile } from '../body-file.ts'
import { Connection } from '../connection.ts'
import type { WorkerAddress } from '../connection.ts'
import { Child } from './child.ts'
import type { ChildSpec, ExitCause } from './child.ts'

/** Everything that is needed to start a process that listens for its front-end. */
export interface ProcessSpec {
  readonly child: ChildSpec
  /** The process's own folder, with its socket. */
  readonly folder: string
  readonly address: WorkerAddress
  /** Line on stdout that says that the process listens. */
  readonly readyLine: string
  /**
   * Carries large bodies to workers that support it; the process inherits its descriptor, and the
   * file is closed when the process has ended.
   */
  readonly bodies?: BodyFile | undefined
}

/** Receives each line of a worker's output. */
export type OnLine = (line: string, stream: 'stdout' | 'stderr') => void

/** The process of one worker, as the worker sees it. */
export interface WorkerProcess {
  /** Receives the output; it may be replaced at any time. */
  onLine: OnLine
  readonly pid: number | undefined
  /** The process's own folder. */
  readonly folder: string
  /** Resolves once, when the process has ended or could not be started. Never rejects. */
  readonly exited: Promise<ExitCause>
  readonly hasExited: boolean
  /** Last lines that the process wrote to stderr, oldest first. */
  readonly lastErrors: readonly string[]
  readonly bodies: BodyFile | undefined
  /** Carries the calls of a handler to other models; absent without such a handler. */
  readonly channel?: Duplex | undefined
  /**
   * Connects as soon as the process listens; it waits forever for a process that never does.
   * @param capacity Maximum number of requests in flight.
   */
  connect(limits: WireLimits, capacity: number): Promise<Connection>
  /** Sends SIGTERM. */
  terminate(): void
  /** Kills the whole process group. Safe to call again. */
  kill(): void
}

/** A process that was started for one worker, or before its model is known. */
export class StartedProcess implements WorkerProcess {
  onLine: OnLine = () => {}
  readonly folder: string
  readonly exited: Promise<ExitCause>
  /** Resolves when the process listens; never, if it does not. */
  readonly isListening: Promise<void>
  readonly bodies: BodyFile | undefined
  readonly #child: Child
  readonly #address: WorkerAddress

  constructor({ child, folder, address, readyLine, bodies }: ProcessSpec) {
    this.folder = folder
    this.#address = address
    this.bodies = bodies
    let sayListening = (): void => {}
    this.isListening = new Promise((resolve) => (sayListening = resolve))
    this.#child = new Child({ ...child, descriptor: bodies?.readDescriptor }, (line, stream) => {
      if (stream === 'stdout' && line === readyLine) sayListening()
      this.onLine(line, stream)
    })
    bodies?.handOver()
    this.exited = this.#child.exited.then((cause) => {
      bodies?.close()
      return cause
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get hasExited(): boolean {
    return this.#child.hasExited
  }

  get channel(): Duplex | undefined {
    return this.#child.channel
  }

  get lastErrors(): readonly string[] {
    return this.#child.lastErrors
  }

  async connect(limits: WireLimits, capacity: number): Promise<Connection> {
    await this.isListening
    return Connection.open(this.#address, limits, capacity)
  }

  terminate(): void {
    this.#child.terminate()
  }

  kill(): void {
    this.#child.kill()
  }
}
