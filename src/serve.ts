/** `onnxd serve`: reads the settings, starts the server, says that it is ready, ends it by a signal. */
import process from 'node:process'
import closeWithGrace from 'close-with-grace'
import { pino } from 'pino'
import { readyText } from './banner.ts'
import { parseConfig } from './config-parse.ts'
import { cpuBudget, overdrawnText } from './cpu-budget.ts'
import { describeImport } from './properties.ts'
import { startServer } from './server.ts'

/**
 * Standard error, written in blocks, for a write of its own for each request's line hands over to another thread
 * and back. The last lines come a quarter of a second late, and at once when the process ends.
 */
const LOG_OUTPUT = { fd: 2, sync: false, minLength: 4096, periodicFlush: 250 }

/** What comes within this time of its like is the same Ctrl-C. */
const REPEAT_MS = 500

/**
 * Runs until a signal ends the process, or ends it with `failureCode` when nothing could be served.
 * @throws ConfigError; whatever `listen` throws.
 */
export async function serveModels(argv: readonly string[], failureCode: number): Promise<void> {
  dropRepeatedSignals()
  const { config, origins, models, imports, ignored } = parseConfig(argv, process.env)
  for (const line of ignored) process.stderr.write(`onnxd: ${line}\n`)
  for (const foreign of imports) process.stderr.write(`${describeImport(foreign)}\n`)
  const log = pino({ level: config.logLevel, base: null }, pino.destination(LOG_OUTPUT))
  const starting = startServer({ config, origins, models, environment: process.env, log })
  closeWithGrace(
    { delay: (config.stopDelay + config.drainTimeout + 1) * 1000, logger: false },
    async ({ err, signal }) => {
      if (err) log.fatal({ err }, 'unexpected error')
      else log.info({ signal }, 'stopping')
      await (await starting).close()
    },
  )
  const server = await starting
  for (const { url, reason, log: lines } of server.failed) {
    process.stderr.write(`${[`onnxd: cannot serve ${url}: ${reason}`, ...lines].join('\n  ')}\n`)
  }
  if (server.loaded.length === 0 && server.failed.length > 0) {
    await server.close()
    process.exit(failureCode)
  }
  const budget = cpuBudget(server.loaded)
  log.info(budget, 'cpu budget')
  const overdrawn = overdrawnText(budget)
  if (overdrawn !== undefined) log.warn(overdrawn)
  process.stdout.write(await readyText(server, config))
}

/**
 * A Ctrl-C comes twice, from the terminal and from npm or npx, which hand it on. The second would end
 * the server at once, with all requests it has accepted.
 */
function dropRepeatedSignals(): void {
  const emit = process.emit.bind(process)
  const lastAt = new Map<string | symbol, number>()
  const emitOnce = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === 'SIGINT' || event === 'SIGTERM') {
      const now = performance.now()
      const isRepeat = now - (lastAt.get(event) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS
      lastAt.set(event, now)
      if (isRepeat) return true
    }
    return Reflect.apply(emit, process, [event, ...args]) === true
  }
  Object.defineProperty(process, 'emit', { value: emitOnce, configurable: true, writable: true })
  // While a signal has no listener it kills. The server's own are replaced when the first one comes.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
}
