#!/usr/bin/env node
/** The command: `onnxd serve [MODEL…]`. */
import closeWithGrace from 'close-with-grace'
import { pino } from 'pino'
import { readyText } from './banner.ts'
import { parseConfig } from './config-parse.ts'
import { ConfigError, ConfigSchema, flagName } from './config.ts'
import { cpuBudget, overdrawnText } from './cpu-budget.ts'
import { messageOf } from './errors.ts'
import { readPackageVersion } from './package-version.ts'
import { describeImport } from './properties.ts'
import { startServer } from './server.ts'

const USAGE = `Usage: onnxd serve [MODEL…] [flags]

MODEL is a .onnx file, a model folder, an archive (.mar, .zip, .tar.gz), or name=path.

  onnxd serve model.onnx                  serve one model at http://127.0.0.1:8080/predictions/model
  onnxd serve --model-store models        serve every model of a folder
  onnxd help serve                        all flags
  onnxd version
`

/** Exit codes: the command line is wrong, or nothing could be served. */
const EXIT_USAGE = 2
const EXIT_FAILED = 1
/**
 * Standard error, written in blocks, for a write of its own for each request's line hands over to another thread
 * and back. The last lines come a quarter of a second late, and at once when the process ends.
 */
const LOG_OUTPUT = { fd: 2, sync: false, minLength: 4096, periodicFlush: 250 }

/** What comes within this time of its like is the same Ctrl-C. */
const REPEAT_MS = 500

async function main([command, ...rest]: readonly string[]): Promise<void> {
  switch (command) {
    case 'serve':
      if (rest.includes('--help') || rest.includes('-h')) process.stdout.write(flagHelp())
      else await serve(rest)
      return
    case 'version':
    case '--version':
    case '-v':
      process.stdout.write(`${await readPackageVersion()}\n`)
      return
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(rest[0] === 'serve' ? flagHelp() : USAGE)
      return
    default:
      process.stderr.write(
        command === undefined
          ? USAGE
          : `onnxd: unknown command ${JSON.stringify(command)}.\n\n${USAGE}`,
      )
      process.exitCode = EXIT_USAGE
  }
}

async function serve(argv: readonly string[]): Promise<void> {
  dropRepeatedSignals()
  const { config, origins, models, imports } = parseConfig(argv, process.env)
  for (const foreign of imports) process.stderr.write(`${describeImport(foreign)}\n`)
  const log = pino({ level: config.logLevel, base: null }, pino.destination(LOG_OUTPUT))
  const starting = startServer({ config, origins, models, environment: process.env, log })
  closeWithGrace(
    { delay: (config.drainTimeout + 1) * 1000, logger: false },
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
    process.exit(EXIT_FAILED)
  }
  const budget = cpuBudget(server.loaded)
  log.info(budget, 'cpu budget')
  const overdrawn = overdrawnText(budget)
  if (overdrawn !== undefined) log.warn(overdrawn)
  process.stdout.write(await readyText(server))
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

function flagHelp(): string {
  const lines = Object.entries(ConfigSchema.properties).map(([key, schema]) => {
    const flag = `--${flagName(key)}${schema.type === 'boolean' ? '' : ` ${schema.type === 'integer' ? 'N' : 'TEXT'}`}`
    const shown = JSON.stringify(schema.default)
    return `  ${flag.padEnd(30)} ${schema.description ?? ''}${shown === '""' || shown === '[]' ? '' : ` Default ${shown}.`}`
  })
  return `Usage: onnxd serve [MODEL…] [flags]\n\n  ${'--config FILE'.padEnd(30)} JSON or YAML file with any of these settings, named as in docs/configuration.md, or a config.properties of MMS or TorchServe.\n${lines.join('\n')}\n`
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`onnxd: ${messageOf(error)}\n`)
  process.exit(error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED)
})
