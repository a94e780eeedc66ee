import process from 'node:process'

/** A signal would end the process without its exit handlers, which end the servers it has started. */
export function endWhenAsked(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => process.exit(1))
  }
}
