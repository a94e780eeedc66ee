/** The forms of a log line. */
import { pino } from 'pino'
import type { LoggerOptions } from 'pino'
import { linesBeyond } from '../errors.ts'
import { paint, printable, printableJson, printableLines } from './terminal/terminal.ts'
import type { StyleName, Terminal } from './terminal/terminal.ts'
import { durationText } from './terminal/units.ts'

/** The values of the setting `logFormat`. */
export type LogFormat = 'auto' | 'json' | 'json-iso' | 'pretty'

const LEVELS = new Map<unknown, string>(
  Object.entries(pino.levels.labels).map(([number, name]) => [Number(number), name]),
)
const STYLES: Readonly<Record<string, StyleName>> = {
  trace: 'dim',
  debug: 'dim',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
}
const LEVEL_WIDTH = 5
/** A text that can stand without quotes. */
const WORD = /^[^\s"=]+$/

/** Whether log lines are written for a person. */
export function isPretty(format: LogFormat, terminal: Terminal): boolean {
  return format === 'pretty' || (format === 'auto' && terminal.isTerminal)
}

/** Returns how pino writes level and time in a format. */
export function pinoOptions(format: LogFormat): LoggerOptions {
  if (format !== 'json-iso') return {}
  return { timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: levelByName } }
}

/** Returns the line that reports lines that could not be written. */
export function droppedLine(
  dropped: number,
  cause: string,
  { logFormat }: { readonly logFormat: LogFormat },
): string {
  const isIso = logFormat === 'json-iso'
  const level = isIso ? 'warn' : pino.levels.values['warn']
  const time = isIso ? new Date().toISOString() : Date.now()
  const msg = 'log lines were dropped because standard error could not be written'
  return `${JSON.stringify({ level, time, dropped, cause, msg })}\n`
}

/**
 * Returns a line of pino as one for a person: local time, level, message, then the other fields as
 * `name=value`. Lines of a stack follow, indented. A terminal obeys nothing that the line contains.
 * @param line JSON with a line feed; any other text is returned as it is.
 */
export function prettyLine(line: string, terminal: Terminal): string {
  const entry = entryOf(line)
  if (entry === undefined) return printableLines(line)
  const { level, time, msg, ...others } = entry
  const { err, ...rest } = others
  const fields = withoutRepeats(isError(err) ? rest : others)
  const name = LEVELS.get(level) ?? String(level)
  const parts = [
    paint(terminal, 'dim', clockTime(time)),
    paint(terminal, STYLES[name] ?? 'dim', name.toUpperCase().padEnd(LEVEL_WIDTH)),
    ...messageOf(msg, fields, terminal),
  ]
  return `${parts.join(' ')}\n${isError(err) ? stackText(err) : ''}`
}

/** Leaves out what the worker of a failed load wrote, if the reason says the same. */
function withoutRepeats(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { reason, stderr, ...rest } = fields
  if (typeof reason !== 'string' || !Array.isArray(stderr)) return { ...fields }
  const more = linesBeyond(reason, stderr.map(String))
  return { ...rest, reason, ...(more.length > 0 && { stderr: more }) }
}

/**
 * A request is shown by its method, route, status and time, because every request has the same
 * message.
 */
function messageOf(
  msg: unknown,
  fields: Readonly<Record<string, unknown>>,
  terminal: Terminal,
): string[] {
  const { method, route, status, ms, requestId, ip, ...rest } = fields
  if (msg !== 'request' || typeof status !== 'number') {
    return [printable(String(msg)), ...fieldsText(fields, terminal)]
  }
  const style = status >= 500 ? 'red' : status >= 400 ? 'yellow' : 'green'
  return [
    printable(`${String(method)} ${String(route)}`),
    paint(terminal, style, String(status)),
    durationText(Number(ms)),
    ...fieldsText({ ...rest, ip, requestId }, terminal),
  ]
}

function fieldsText(fields: Readonly<Record<string, unknown>>, terminal: Terminal): string[] {
  const texts = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${printable(name)}=${valueText(value)}`)
  return texts.length === 0 ? [] : [paint(terminal, 'dim', texts.join(' '))]
}

function valueText(value: unknown): string {
  if (typeof value === 'string' && WORD.test(value)) return printable(value)
  return printableJson(JSON.stringify(value))
}

/** Whether a value is an error as pino writes it. */
function isError(err: unknown): err is { readonly stack: string } {
  return typeof err === 'object' && err !== null && 'stack' in err && typeof err.stack === 'string'
}

/** The stack begins with the message. */
function stackText({ stack }: { readonly stack: string }): string {
  return `${printableLines(stack).replaceAll(/^/gm, '    ')}\n`
}

function entryOf(line: string): Record<string, unknown> | undefined {
  try {
    const entry: unknown = JSON.parse(line)
    return typeof entry === 'object' && entry !== null ? { ...entry } : undefined
  } catch {
    return undefined
  }
}

/** Local time of day with milliseconds: a person looks at the lines of today. */
function clockTime(time: unknown): string {
  const date = new Date(typeof time === 'number' ? time : String(time))
  if (Number.isNaN(date.getTime())) return String(time)
  const pad = (value: number, digits = 2) => String(value).padStart(digits, '0')
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map((one) => pad(one))
  return `${clock.join(':')}.${pad(date.getMilliseconds(), 3)}`
}

function levelByName(level: string): { level: string } {
  return { level }
}
