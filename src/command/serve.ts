/** `onnxd serve`: reads the settings, starts the server, says that it is ready, ends it by a signal. */
import process from 'node:process'
import closeWithGrace from 'close-with-grace'
import { pino } from 'pino'
import { describeImport } from '../config/import/properties.ts'
import { parseConfig } from '../config/parse.ts'
import { startServer } from '../server.ts'
import type { RunningServer } from '../server.ts'
import { ignoreSignalsThatDoNotStop } from '../signals.ts'
import { cpuBudget, overdrawnText } from './cpu-budget.ts'
import { Output } from './output.ts'
import { readyText } from './ready-message.ts'
import { watchStopSignals } from './stop-signals.ts'

const STDOUT = 1
const STDERR = 2
/** pino's number for a warning. */
const WARN_LEVEL = 40

/** The kernel hands orphans to PID 1, and Node has no call to wait for a process that it did not start. */
const NO_INIT =
  'onnxd is PID 1 and cannot reap processes that workers and handlers leave behind: they stay as zombies. Run it under an init: docker run --init, init: true, or shareProcessNamespace: true'

/**
 * Runs until a signal ends the process, or ends it with `failureCode` when nothing could be served.
 * @throws ConfigError; whatever `listen` throws.
 */
export async function serveModels(argv: readonly string[], failureCode: number): Promise<void> {
  // A write beyond the limit of file sizes fails with EFBIG. Node ignores the signal that comes with it only until
  // a library that writes files has listened to it; from then on it would end the process.
  process.on('SIGXFSZ', () => {})
  const { config, origins, models, imports, ignored } = parseConfig(argv, process.env)
  const output = new Output(STDOUT, () => '')
  const errors = new Output(STDERR, droppedLine)
  process.on('exit', () => {
    output.flushSync()
    errors.flushSync()
  })
  for (const line of ignored) errors.print(`onnxd: ${line}\n`)
  for (const foreign of imports) errors.print(`${describeImport(foreign)}\n`)
  const log = pino({ level: config.logLevel, base: null }, { write: (line) => errors.write(line) })
  if (process.pid === 1) log.warn(NO_INIT)
  const stop = new AbortController()
  const { signal } = stop
  const starting = startServer({
    config,
    origins,
    models,
    environment: process.env,
    log,
    droppedLogLines: () => errors.dropped,
    signal,
  })
  let stopSignal: string | undefined
  const ending = closeWithGrace(
    {
      delay: (config.stopDelay + config.drainTimeout + 1) * 1000,
      logger: false,
      skip: ['SIGINT', 'SIGTERM', ...ignoreSignalsThatDoNotStop()],
    },
    async (reason) => {
      // Nobody knows what state the server is in: it ends at once. What was thrown may be `undefined`.
      if ('err' in reason) {
        const { err = new Error('undefined was thrown') } = reason
        log.fatal({ err }, 'unexpected error')
        await errors.flush()
        return process.exit(1)
      }
      log.info({ signal: reason.signal ?? stopSignal }, 'stopping')
      stop.abort()
      const server = await unlessStopped(starting, signal)
      await server?.close()
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
  // A signal came before all was loaded: the process ends without having been ready.
  if (server === undefined) return
  for (const { url, reason, log: lines } of server.failed) {
    errors.print(`${[`onnxd: cannot serve ${url}: ${reason}`, ...lines].join('\n  ')}\n`)
  }
  if (server.loaded.length === 0 && server.failed.length > 0) {
    await server.close()
    process.exit(failureCode)
  }
  const budget = cpuBudget(server.loaded)
  log.info(budget, 'cpu budget')
  const overdrawn = overdrawnText(budget)
  if (overdrawn !== undefined) log.warn(overdrawn)
  const text = await readyText(server, config)
  if (signal.aborted) return
  output.print(text)
}

/** A line of the log as pino writes it. */
function droppedLine(dropped: number, cause: string): string {
  const msg = 'log lines were dropped because standard error did not take them'
  return `${JSON.stringify({ level: WARN_LEVEL, time: Date.now(), dropped, cause, msg })}\n`
}

/** The server, or nothing when a signal ended its start. */
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
