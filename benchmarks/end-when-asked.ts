import process from 'node:process'

/**
 * Exits on signals so that the exit handlers run. They stop the servers that this process has
 * started.
 */
export function endWhenAsked(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => process.exit(1))
  }
}
