/**
 * `GET /console/events`: the state of the server once a second, as server-sent events. The first
 * event of a stream has all parts, the following ones have the parts that changed.
 */
import type { ServerResponse } from 'node:http'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'
import { answerHeaderList } from '../http/response-headers.ts'
import type { RouteContext } from '../route-context.ts'
import type { Parts } from './snapshot.ts'

const INTERVAL_MS = 1000
/** Each tab of the console has a stream. */
const MAX_STREAMS = 16
/** A client that reads nothing for so many events is disconnected. */
const MAX_SKIPPED = 10
/** Log lines in one event; the newest are kept. */
const MAX_LINES = 200
const RETRY_AFTER_SECONDS = 5

/** One client. */
interface Stream {
  readonly response: ServerResponse
  /** Whether the next event must have all parts, because an event was left out. */
  needsAll: boolean
  /** Events in a row that were left out, because the client has not read the one before. */
  skipped: number
}

/** The open streams of one server. The state is read once for all, and only if there is one. */
export class EventStreams {
  readonly #read: () => Promise<Parts>
  readonly #context: Pick<RouteContext, 'recentLog' | 'isStopping'>
  readonly #streams = new Set<Stream>()
  #timer: NodeJS.Timeout | undefined
  #isReading = false
  #parts: Parts = new Map()
  #lastLine = 0

  readonly #log: FastifyBaseLogger

  /** @param read Reads the state now. */
  constructor(
    read: () => Promise<Parts>,
    context: Pick<RouteContext, 'recentLog' | 'isStopping' | 'stopping'>,
    log: FastifyBaseLogger,
  ) {
    this.#read = read
    this.#context = context
    this.#log = log
    context.stopping.addEventListener('abort', () => this.#end(), { once: true })
  }

  /**
   * Answers a request with a stream.
   * @throws ServerError `ServiceUnavailableException` if too many are open, or the server stops.
   */
  open(request: FastifyRequest, reply: FastifyReply): void {
    if (this.#context.isStopping()) throw refusal('The server is stopping.')
    if (this.#streams.size >= MAX_STREAMS)
      throw refusal(`${String(MAX_STREAMS)} pages of the console are open; close one of them.`)
    reply.hijack()
    const { raw: response } = reply
    response.writeHead(200, [
      ...answerHeaderList(request.id),
      'content-type',
      'text/event-stream; charset=utf-8',
      // nginx would collect events before it passes them on.
      'x-accel-buffering',
      'no',
    ])
    const stream = { response, needsAll: true, skipped: 0 }
    this.#streams.add(stream)
    response.once('close', () => this.#remove(stream))
    const send = (): void => {
      this.#send().catch((error: unknown) => {
        this.#log.error({ err: error }, 'the console has no data')
        this.#end()
      })
    }
    this.#timer ??= setInterval(send, INTERVAL_MS)
    send()
  }

  #remove(stream: Stream): void {
    this.#streams.delete(stream)
    if (this.#streams.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#parts = new Map()
  }

  #end(): void {
    for (const { response } of this.#streams) response.end()
  }

  async #send(): Promise<void> {
    if (this.#isReading) return
    this.#isReading = true
    const before = this.#parts
    const parts = await this.#read().finally(() => (this.#isReading = false))
    this.#parts = parts
    const { recentLog } = this.#context
    const changes = eventOf(before, parts, recentLog.notableAfter(this.#lastLine))
    this.#lastLine = recentLog.last
    let all: string | undefined
    for (const stream of this.#streams) {
      const { response } = stream
      if (response.writableEnded) continue
      if (response.writableNeedDrain) {
        stream.needsAll = true
        stream.skipped += 1
        if (stream.skipped >= MAX_SKIPPED) response.destroy()
        continue
      }
      if (stream.needsAll) all ??= eventOf(undefined, parts, recentLog.notableAfter(0))
      response.write((stream.needsAll ? all : undefined) ?? changes)
      stream.needsAll = false
      stream.skipped = 0
    }
  }
}

/** An event with the parts that are new or changed, the names of those that are gone, and lines. */
function eventOf(before: Parts | undefined, parts: Parts, lines: readonly string[]): string {
  const changed = [...parts].filter(([name, text]) => before?.get(name) !== text)
  const gone = [...(before?.keys() ?? [])].filter((name) => !parts.has(name))
  const set = changed.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')
  const log = lines
    .slice(-MAX_LINES)
    .map((line) => line.trimEnd())
    .join(',')
  const isAll = String(before === undefined)
  const time = String(Date.now())
  return `data: {"time":${time},"isAll":${isAll},"set":{${set}},"gone":${JSON.stringify(gone)},"log":[${log}]}\n\n`
}

function refusal(text: string): ServerError {
  const retryAfterSeconds = RETRY_AFTER_SECONDS
  return new ServerError('ServiceUnavailableException', text, { retryAfterSeconds })
}
