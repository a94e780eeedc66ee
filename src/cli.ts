#!/usr/bin/env node
/**
 * The command `onnxd`. Each subcommand imports only the code that it needs, because the server's
 * code takes half a second to load.
 */
import { printableLines } from './command/terminal/terminal.ts'
import { ConfigError, messageOf } from './errors.ts'
import { ignoreUserSignals } from './system/signals.ts'

/** Exit codes: 2 if the command line or the settings are wrong, 1 if no model could be served. */
const EXIT_USAGE = 2
const EXIT_FAILED = 1

async function main([command, ...rest]: readonly string[]): Promise<void> {
  switch (command) {
    case 'serve':
      await serve(rest)
      return
    case 'cache':
      await cache(rest)
      return
    case 'version':
    case '--version':
    case '-v':
      await printVersion(rest.includes('--json'))
      return
    case undefined:
      await printHelp(process.stderr, undefined)
      process.exitCode = EXIT_USAGE
      return
    case 'help':
    case '--help':
    case '-h':
      await printHelp(
        process.stdout,
        rest.find((name) => !name.startsWith('-')),
      )
      return
    default: {
      const { isServe, runCommand } = await import('./command/program/run-command.ts')
      if (isServe(command)) await serve([command, ...rest])
      else {
        await runCommand(command, rest, process.env)
        // A server of the command may leave an open handle, which must not keep the process.
        process.exit()
      }
    }
  }
}

async function serve(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help') || argv.includes('-h')) return printHelp(process.stdout, 'serve')
  const { serveModels } = await import('./command/serve.ts')
  await serveModels(argv, EXIT_FAILED)
}

async function cache(argv: readonly string[]): Promise<void> {
  const { runCache, CACHE_USAGE } = await import('./command/cache.ts')
  const isHelp = argv.includes('--help') || argv.includes('-h')
  print(process.stdout, isHelp ? CACHE_USAGE : await runCache(argv))
}

async function printVersion(isJson: boolean): Promise<void> {
  const { readPackageVersion } = await import('./package-files.ts')
  const version = await readPackageVersion()
  print(process.stdout, `${isJson ? JSON.stringify({ version }) : version}\n`)
}

async function printHelp(stream: NodeJS.WriteStream, command: string | undefined): Promise<void> {
  if (command === 'serve') {
    const { flagHelp } = await import('./config/flag-help.ts')
    print(stream, flagHelp(stream.columns))
  } else if (command === 'cache') {
    const { CACHE_USAGE } = await import('./command/cache.ts')
    print(stream, CACHE_USAGE)
  } else {
    const { helpText } = await import('./command/program/run-command.ts')
    print(stream, helpText(command))
  }
}

/** Writes without crashing on a full disk or a closed pipe, as in `onnxd help | head -1`. */
function print(stream: NodeJS.WriteStream, text: string): void {
  stream.on('error', () => {})
  stream.write(text)
}

ignoreUserSignals()
main(process.argv.slice(2)).catch((error: unknown) => {
  print(process.stderr, `onnxd: ${printableLines(messageOf(error))}\n`)
  process.exit(error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED)
})
