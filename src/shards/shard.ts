/** One further HTTP process, as process 0 sees it. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Server } from 'node:net'
import path from 'node:path'
import { packageFolder } from '../package-files.ts'
import type { DesiredState } from './desired-state.ts'
import { Asking } from './exchange/asking.ts'
import { forwardEachLine, forwardLines } from './forward-lines.ts'
import type { Begin, FromShard, HealthQuestion, Question, Report, ToShard } from './messages.ts'

/** A process that has to end gets this much time in addition to the drain timeout. */
const END_MS = 4000

/** Its log is read at most this long after its end. */
const LAST_LINES_MS = 1000

/** Why a process has ended. */
export type EndCause = 'exit' | 'signal' | 'failed' | 'timeout'

/** Called by a {@link Shard}. */
export interface ShardEvents {
  /** Whole lines of its log. */
  readonly onLog: (lines: string) => void
  /** A line that it wrote beside its log, for example a warning of Node. */
  readonly onOutput: (line: string) => void
  /** It has applied a state, listens, or has to be waited for no longer. */
  readonly onChange: (shard: Shard) => void
  readonly onListening: (shard: Shard) => void
  readonly onReport: (shard: Shard, report: Report) => void
  /** It wants to know something about the other processes. */
  readonly onQuestion: (shard: Shard, question: HealthQuestion) => Promise<unknown>
  readonly onFailed: (reason: string, stderr: readonly string[]) => void
  readonly onEnd: (shard: Shard, cause: EndCause, detail: string) => void
}

/** Where process 0 listens. */
export interface SharedListeners {
  readonly managementUrl: string
  /** The socket for HTTP. */
  readonly http: Server
  /** The socket for gRPC, if there is one. */
  readonly grpc: Server | undefined
  /** Whether the kernel divides the connections. Otherwise the processes share the sockets. */
  readonly isPortReused: boolean
}

/** What a {@link Shard} is told at its start. */
export interface ShardOptions {
  readonly begin: Begin
  readonly drainMs: number
  readonly events: ShardEvents
}

/** A process with its own models, workers and listener. */
export class Shard {
  readonly index: number
  /** When it began to listen, on the clock of `performance.now()`; `undefined` until then. */
  listeningSince: number | undefined
  readonly #child: ChildProcess
  readonly #options: ShardOptions
  readonly #asking = new Asking<Question>((id, question) =>
    this.#tell({ type: 'ask', id, question }),
  )
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>
  #sent = 0
  #stepMs = 0
  #informed = 0
  #applied = 0
  #isLeaving = false
  #cause: EndCause | undefined
  #hasEnded = false
  #mayListen = false
  #watch: NodeJS.Timeout | undefined

  constructor(options: ShardOptions) {
    this.#options = options
    this.index = options.begin.share.index
    const program = path.join(packageFolder(), 'dist', 'shards', 'main.js')
    this.#child = fork(program, [], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    this.ended = new Promise((resolve) => {
      this.#child.once('close', resolve)
      this.#child.once('exit', (code, signal) => {
        this.#end(signal === null ? 'exit' : 'signal', signal ?? `code ${code}`)
        // Its last log lines still arrive.
        setTimeout(resolve, LAST_LINES_MS)
      })
      // It could not be started, or a message could not be sent because it has ended.
      this.#child.on('error', (error) => {
        if (this.#child.pid !== undefined) return
        this.#end('exit', error.message)
        resolve()
      })
    })
    this.#child.on('message', (message) => this.#take(message as FromShard))
    forwardLines(this.#child.stdout, options.events.onLog)
    forwardEachLine(this.#child.stderr, options.events.onOutput)
    this.#tell(options.begin)
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Whether it serves this revision of the models. */
  serves(revision: number): boolean {
    return !this.#isLeaving && this.#applied >= revision
  }

  /** Whether no request can find it with an older revision of the models. */
  isSettled(revision: number): boolean {
    return !this.#mayListen || this.#isLeaving || this.#applied >= revision
  }

  /** Whether it knows this revision of the models, although it may not serve it yet. */
  isInformed(revision: number): boolean {
    return !this.#mayListen || this.#isLeaving || this.#informed >= revision
  }

  /** @param stepMs Time for each step towards the state. */
  want(state: DesiredState, stepMs: number): void {
    if (this.#isLeaving) return
    this.#sent = state.revision
    this.#stepMs = stepMs
    this.#tell({ type: 'state', state })
    this.#waitForStep()
  }

  /** Tells it inputs and outputs of models, as lines of the model index. */
  learn(lines: readonly string[]): void {
    if (lines.length > 0) this.#tell({ type: 'learned', lines })
  }

  /** Lets it listen where process 0 listens. */
  listen({ managementUrl, http, grpc, isPortReused }: SharedListeners): void {
    if (this.#mayListen) return
    this.#mayListen = true
    for (const [protocol, server] of Object.entries({ http, grpc })) {
      const address = server?.address()
      if (typeof address !== 'object' || address === null) continue
      const listener = { type: 'listener', port: address.port, isHandle: !isPortReused } as const
      this.#tell(
        { ...listener, protocol: protocol as 'http' | 'grpc' },
        isPortReused ? undefined : server,
      )
    }
    this.#tell({ type: 'listen', managementUrl })
  }

  /** As {@link Asking.ask}. */
  ask(question: Question, ms?: number): Promise<unknown> {
    return this.#asking.ask(question, ms)
  }

  /** Ends it at once, because it hangs. */
  kill(): void {
    this.#cause = 'timeout'
    this.#child.kill('SIGKILL')
  }

  /**
   * Tells it that it is not ready any more.
   * @param delayMs Time until {@link drain}.
   */
  stop(delayMs: number): void {
    this.#isLeaving = true
    this.#tell({ type: 'stop' })
    this.#killAfter(delayMs + this.#options.drainMs + END_MS)
  }

  /** Lets it finish accepted requests, as process 0 does. Resolves when it has ended. */
  drain(): Promise<void> {
    this.#tell({ type: 'drain' })
    return this.ended
  }

  #take(message: FromShard): void {
    const { events } = this.#options
    switch (message.type) {
      case 'progress':
        this.#waitForStep()
        return
      case 'informed':
        this.#informed = message.revision
        events.onChange(this)
        return
      case 'applied':
        this.#applied = message.revision
        this.#waitForStep()
        events.onChange(this)
        return
      case 'listening':
        this.listeningSince = performance.now()
        events.onListening(this)
        events.onChange(this)
        return
      case 'failed':
        this.#isLeaving = true
        this.#cause = 'failed'
        this.#killAfter(this.#options.drainMs + END_MS)
        events.onFailed(message.reason, message.stderr)
        events.onChange(this)
        return
      case 'judged':
      case 'copied':
      case 'learned':
        events.onReport(this, message)
        return
      case 'answer':
        this.#asking.take(message.id, message.value)
        return
      case 'ask':
        void events
          .onQuestion(this, message.question)
          .then((value) => this.#tell({ type: 'answer', id: message.id, value }))
    }
  }

  /** Ends the process if it makes no step in time. */
  #waitForStep(): void {
    clearTimeout(this.#watch)
    if (this.#isLeaving || (this.#sent > 0 && this.#applied >= this.#sent)) return
    this.#watch = setTimeout(() => this.kill(), this.#stepMs)
  }

  #killAfter(ms: number): void {
    clearTimeout(this.#watch)
    this.#watch = setTimeout(() => this.#child.kill('SIGKILL'), ms)
  }

  #end(cause: EndCause, detail: string): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#isLeaving = true
    clearTimeout(this.#watch)
    this.#asking.end()
    this.#options.events.onEnd(this, this.#cause ?? cause, detail)
  }

  #tell(message: ToShard, handle?: Server): void {
    if (!this.#child.connected) return
    // An error means that the process has ended, which is noticed anyway.
    this.#child.send(message, handle, {}, () => {})
  }
}
