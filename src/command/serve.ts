/**
 * `onnxd serve`: reads the settings, starts the server, prints the ready message, and stops on a
 * signal.
 */
import process from 'node:process'
import closeWithGrace from 'close-with-grace'
import { pino } from 'pino'
import { processesOf } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { describeImport } from '../config/import/properties.ts'
import { parseConfig } from '../config/parse.ts'
import { linesBeyond } from '../errors.ts'
import { RecentLog } from '../routes/management/recent-log.ts'
import { startServer } from '../server.ts'
import type { RunningServer } from '../server.ts'
import { ignoreSignalsThatDoNotStop } from '../system/signals.ts'
import { cpuBudget, overdrawnText } from './cpu-budget.ts'
import { LoadDisplay } from './load-display.ts'
import { droppedLine, isPretty, pinoOptions, prettyLine } from './log-format.ts'
import { Output } from './output.ts'
import { readyText } from './ready-message.ts'
import { ServiceManager } from './service-manager.ts'
import { watchStopSignals } from './stop-signals.ts'
import { terminalOf } from './terminal/terminal.ts'

const STDOUT = 1
const STDERR = 2
/** A stop that takes longer is explained to a person. */
const SILENT_STOP_MS = 1000

/**
 * The kernel makes PID 1 the parent of orphans, and Node cannot wait for a process that it did not
 * start.
 */
const NO_INIT =
  'onnxd runs as PID 1 and cannot reap orphaned processes of workers and handlers, so they stay as zombies. Start it with an init process: docker run --init, init: true (Compose) or shareProcessNamespace: true (Kubernetes)'

/**
 * Runs until a signal ends the process. Exits with `failureCode` if no model could be served.
 * @throws ConfigError; Error of `listen`.
 */
export async function serveModels(argv: readonly string[], failureCode: number): Promise<void> {
  // A write beyond the file size limit fails with EFBIG and raises SIGXFSZ. Node ignores that
  // signal only until a library that writes files has listened to it; after that the signal would
  // end the process. Hence this listener.
  process.on('SIGXFSZ', () => {})
  const { config, origins, models, imports, ignored } = parseConfig(argv, process.env)
  const output = new Output(STDOUT, () => '')
  const terminal = terminalOf(process.stderr)
  const isPrettyLog = isPretty(config.logFormat, terminal)
  const form = isPrettyLog ? (line: string) => prettyLine(line, terminal) : oneLine
  const errors = new Output(STDERR, (lines, cause) => form(droppedLine(lines, cause, config)))
  const display = new LoadDisplay(errors, terminal)
  process.on('exit', () => {
    output.flushSync()
    errors.flushSync()
  })
  for (const line of ignored) errors.print(`onnxd: ${line}\n`)
  for (const foreign of imports) errors.print(`${describeImport(foreign)}\n`)
  const recentLog = new RecentLog()
  const writeLine = (line: string): void => {
    recentLog.add(line)
    display.write(form(line))
  }
  const log = pino(
    { level: config.logLevel, base: null, ...pinoOptions(config.logFormat) },
    { write: writeLine },
  )
  if (process.pid === 1) log.warn(NO_INIT)
  const manager = new ServiceManager(process.env, log, process.pid)
  manager.notify('STATUS=Loading models')
  const stop = new AbortController()
  const { signal } = stop
  const starting = startServer({
    config,
    origins,
    models,
    environment: process.env,
    log,
    recentLog,
    writeLog: (lines) => {
      for (const line of lines.match(/[^\n]*\n/g) ?? []) writeLine(line)
    },
    droppedLogLines: () => errors.dropped,
    signal,
    onProgress: (work) => display.watch(work),
  })
  let stopSignal: string | undefined
  const ending = closeWithGrace(
    {
      delay: (config.stopDelay + config.drainTimeout + lastSeconds(config)) * 1000,
      logger: false,
      skip: ['SIGINT', 'SIGTERM', ...ignoreSignalsThatDoNotStop()],
    },
    async (reason) => {
      // The state of the server is unknown, so it ends at once. The thrown value may be
      // `undefined`.
      if ('err' in reason) {
        const { err = new Error('undefined was thrown') } = reason
        log.fatal({ err }, 'unexpected error')
        await errors.flush()
        return process.exit(1)
      }
      const { loading } = display
      const ended = loading.length > 0 ? { loading } : {}
      log.info({ signal: reason.signal ?? stopSignal, ...ended }, 'stopping')
      manager.notify('STOPPING=1', 'STATUS=Finishing accepted requests')
      display.close()
      if (loading.length > 0 && process.stderr.isTTY) {
        errors.print(`onnxd: stopped while loading ${loading.join(', ')}\n`)
      }
      stop.abort()
      const server = await unlessStopped(starting, signal)
      const notice = setTimeout(() => {
        if (terminal.isTerminal) errors.print(waitingText(config))
      }, SILENT_STOP_MS)
      await server?.close()
      clearTimeout(notice)
      await manager.close()
      await errors.flush()
    },
  )
  watchStopSignals(
    (name) => {
      stopSignal = name
      ending.close()
    },
    () => process.exit(1),
  )
  const server = await unlessStopped(starting, signal)
  // A signal came before all models were loaded, so the process ends without a ready message.
  if (server === undefined) return
  display.erase()
  // A person has just read the same in the log.
  const isTold = isPrettyLog && log.isLevelEnabled('error')
  for (const { url, reason, log: lines } of isTold ? [] : server.failed) {
    const more = linesBeyond(reason, lines)
    errors.print(`${[`onnxd: cannot serve ${url}: ${reason}`, ...more].join('\n  ')}\n`)
  }
  if (server.loaded.length === 0 && server.failed.length > 0) {
    await server.close()
    process.exit(failureCode)
  }
  const budget = cpuBudget(server.loaded, undefined, processesOf(config))
  log.info(budget, 'cpu budget')
  const overdrawn = overdrawnText(budget)
  if (overdrawn !== undefined) log.warn(overdrawn)
  const text = await readyText(server, config)
  if (signal.aborted) return
  manager.notify('READY=1', `STATUS=${statusText(server)}`)
  display.erase()
  // On a terminal, the lines of the log stand in the order in which they were written.
  errors.print('')
  output.print(text)
}

/** Time to end workers and processes after the drain timeout. */
function lastSeconds(config: Config): number {
  return processesOf(config) > 1 ? 5 : 1
}

/** What a person reads while accepted requests end. */
function waitingText({ stopDelay, drainTimeout }: Config): string {
  const seconds = stopDelay + drainTimeout
  return `onnxd: accepted requests may run for up to ${seconds} s. Press Ctrl-C again to stop at once.\n`
}

/** One line for `systemctl status`. */
function statusText({ loaded, failed, inferenceUrl }: RunningServer): string {
  const failures = failed.length === 0 ? '' : `, ${failed.length} failed to load`
  return `Serving at ${inferenceUrl}: ${loaded.length} models loaded at the start${failures}`
}

/**
 * Escapes the control characters and line ends that JSON allows in a string. Some programs that
 * read logs split lines at them, and some terminals obey them.
 */
function oneLine(line: string): string {
  return line.replaceAll(
    /[\u007F-\u009F\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Returns the server; `undefined` if a signal ended its start. */
async function unlessStopped(
  starting: Promise<RunningServer>,
  signal: AbortSignal,
): Promise<RunningServer | undefined> {
  try {
    return await starting
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  }
}
