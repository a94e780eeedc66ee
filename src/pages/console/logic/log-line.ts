/** How the page reads lines of the log. */
import type { LogEntry } from './live.ts'

export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export type Level = (typeof LEVELS)[number]

/** Shown in columns of their own, or the same in each line. */
const SHOWN_APART = new Set(['level', 'time', 'msg', 'model', 'pid', 'hostname', 'stderr', 'err'])
const NUMBER_OF_TRACE = 10
const MOST_WORKER_LINES = 12
const STACK_FRAME = /^\s+at /

/** A line, ready to be shown. */
export interface ShownLine {
  readonly time: string | number
  readonly level: Level
  readonly text: string
  readonly model: string
  /** The other values: `name=value`. */
  readonly details: string
  /** Lines of a worker, or the stack of an error. */
  readonly more: readonly string[]
}

/** The values of a finished request that are worth a place. */
const REQUEST_DETAILS = new Set(['ms', 'version', 'batch', 'requestId'])

export function shownLine(entry: LogEntry): ShownLine {
  const { time, model, stderr, err } = entry
  const isShown = (name: string): boolean =>
    isRequest(entry) ? REQUEST_DETAILS.has(name) : !SHOWN_APART.has(name)
  const details = Object.entries(entry)
    .filter(([name]) => isShown(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return {
    time: typeof time === 'number' || typeof time === 'string' ? time : 0,
    level: levelOf(entry),
    text: textOf(entry),
    model: typeof model === 'string' ? model : '',
    details: details.join('  '),
    more: [...linesOf(stderr), ...linesOf(stackOf(err))],
  }
}

/** pino writes levels as numbers, 10 for `trace` to 60 for `fatal`, or as names. */
export function levelOf({ level }: LogEntry): Level {
  const byName = LEVELS.find((name) => name === level)
  return byName ?? LEVELS[Math.round(Number(level) / NUMBER_OF_TRACE) - 1] ?? 'info'
}

/** Whether a line has at least a level. */
export function isAtLeast(entry: LogEntry, level: Level): boolean {
  return LEVELS.indexOf(levelOf(entry)) >= LEVELS.indexOf(level)
}

/** Whether a line reports a problem: a warning, an error, or a response with a status of 500. */
export function isProblem(entry: LogEntry): boolean {
  return isAtLeast(entry, 'warn') || (isRequest(entry) && Number(entry['status']) >= 500)
}

/**
 * The last lines that the workers of a model wrote to stderr, without stack frames. A worker that
 * cannot start is tried again and writes the same lines, so each is shown once.
 */
export function workerErrors(log: readonly LogEntry[], model: string): string[] {
  const lines = log
    .filter((entry) => entry['model'] === model && entry['stream'] === 'stderr')
    .flatMap(({ line }) => (typeof line === 'string' && !STACK_FRAME.test(line) ? [line] : []))
  const newestFirst = [...new Set(lines.toReversed())]
  return newestFirst.slice(0, MOST_WORKER_LINES).toReversed()
}

function isRequest({ msg }: LogEntry): boolean {
  return msg === 'request'
}

function textOf(entry: LogEntry): string {
  const { msg, method, route, status, type } = entry
  if (!isRequest(entry)) return typeof msg === 'string' ? msg : ''
  const parts = [method, route, status, type].filter((part) => part !== undefined)
  return parts.map(String).join(' ')
}

function stackOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'stack' in error ? error.stack : undefined
}

function linesOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.map(String)
  return typeof value === 'string' && value !== '' ? value.split('\n') : []
}
