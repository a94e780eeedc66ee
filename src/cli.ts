#!/usr/bin/env node
/**
 * The command `onnxd serve [MODEL…]`. Each subcommand imports only the code that it needs,
 * because the server's code takes half a second to load.
 */
import { ConfigError, messageOf } from './errors.ts'
import { ignoreUserSignals } from './signals.ts'

const USAGE = `Usage: onnxd serve [MODEL…] [flags]

MODEL is a .onnx file, a model folder, an archive (.mar, .zip, .tar.gz), or name=path.

  onnxd serve model.onnx                  serve one model at http://127.0.0.1:8080/predictions/model
  onnxd serve --model-store models        serve every model of a folder
  onnxd help serve                        all flags
  onnxd cache list|clear                  show or remove cached weights
  onnxd version
`

/** Exit codes: 2 if the command line or the settings are wrong, 1 if no model could be served. */
const EXIT_USAGE = 2
const EXIT_FAILED = 1

async function main([command, ...rest]: readonly string[]): Promise<void> {
  switch (command) {
    case 'serve':
      if (rest.includes('--help') || rest.includes('-h')) await printFlags()
      else await serve(rest)
      return
    case 'cache':
      await cache(rest)
      return
    case 'version':
    case '--version':
    case '-v':
      await printVersion()
      return
    case 'help':
    case '--help':
    case '-h':
      if (rest[0] === 'serve') await printFlags()
      else print(process.stdout, USAGE)
      return
    default:
      print(
        process.stderr,
        command === undefined
          ? USAGE
          : `onnxd: unknown command ${JSON.stringify(command)}.\n\n${USAGE}`,
      )
      process.exitCode = EXIT_USAGE
  }
}

async function serve(argv: readonly string[]): Promise<void> {
  const { serveModels } = await import('./command/serve.ts')
  await serveModels(argv, EXIT_FAILED)
}

async function cache(argv: readonly string[]): Promise<void> {
  const { runCache, CACHE_USAGE } = await import('./command/cache.ts')
  const isHelp = argv.includes('--help') || argv.includes('-h')
  print(process.stdout, isHelp ? CACHE_USAGE : await runCache(argv))
}

async function printVersion(): Promise<void> {
  const { readPackageVersion } = await import('./package-files.ts')
  print(process.stdout, `${await readPackageVersion()}\n`)
}

async function printFlags(): Promise<void> {
  const { flagHelp } = await import('./config/flag-help.ts')
  print(process.stdout, flagHelp())
}

/** Writes without crashing on a full disk or a closed pipe, as in `onnxd help | head -1`. */
function print(stream: NodeJS.WriteStream, text: string): void {
  stream.on('error', () => {})
  stream.write(text)
}

ignoreUserSignals()
main(process.argv.slice(2)).catch((error: unknown) => {
  print(process.stderr, `onnxd: ${messageOf(error)}\n`)
  process.exit(error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED)
})
