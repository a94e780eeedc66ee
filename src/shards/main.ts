/**
 * Program of a further HTTP process of a server (`--http-processes`). Process 0 starts it, tells it
 * what to serve, and stops it. It never outlives process 0.
 */
import process from 'node:process'
import { pino } from 'pino'
import { pinoOptions } from '../command/log-format.ts'
import { Output } from '../command/output.ts'
import { ignoreUserSignals } from '../system/signals.ts'
import { onMessage } from './channel.ts'
import { ShardServer } from './shard-server.ts'

const STDOUT = 1

let server: ShardServer | undefined

ignoreUserSignals()
// A terminal and a service manager send these to all processes. Process 0 decides when this one
// stops.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const)
  process.on(signal, () => {})
// See `command/serve.ts`.
process.on('SIGXFSZ', () => {})
process.on('disconnect', () => process.exit(1))
if (!process.connected) process.exit(1)

// Process 0 writes the lines to the log, so that no lines of two processes mix.
const output = new Output(STDOUT, (dropped, cause) => `${droppedText(dropped, cause)}\n`)
process.on('exit', () => output.flushSync())

onMessage((message, handle) => {
  if (message.type !== 'begin') return server?.take(message, handle)
  const { config, share } = message
  const log = pino(
    { level: config.logLevel, base: { shard: share.index }, ...pinoOptions(config.logFormat) },
    { write: (line) => output.write(line) },
  )
  const end = async (code: number): Promise<void> => {
    await output.flush()
    process.exit(code)
  }
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (err: unknown) => {
      // The state of the process is unknown, so it ends at once. Process 0 starts another one.
      log.fatal({ err: err ?? new Error('undefined was thrown') }, 'unexpected error')
      void end(1)
    })
  }
  server = new ShardServer(message, { log, droppedLogLines: () => output.dropped, end })
})

function droppedText(dropped: number, cause: string): string {
  const msg = 'log lines of an HTTP process were dropped because process 0 did not take them'
  return JSON.stringify({ level: 40, time: Date.now(), dropped, cause, msg })
}
