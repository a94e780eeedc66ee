/** The number of HTTP processes of the servers in a run of tests. */
import process from 'node:process'

/** HTTP processes of each server that sets no number; `npm test -- --http-processes=2`. */
export const httpProcesses = Number(process.env['TEST_HTTP_PROCESSES'] ?? 1)

/** The number of workers of a model with this setting: each HTTP process has at least one. */
export function workersFor(setting: number): number {
  return setting === 0 ? 0 : Math.max(setting, httpProcesses)
}

/**
 * For the option `skip` of a test that looks at one HTTP process: its workers by number, its queue,
 * its memory. It is skipped if the servers have several.
 */
export function oneProcess(subject: string): string | false {
  return httpProcesses > 1 && `is about one HTTP process: ${subject}`
}
