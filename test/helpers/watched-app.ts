/**
 * The parts that the server adds to each app before its routes: limits of connections and of bytes.
 */
import { pino } from 'pino'
import { StatusCounts } from '../../src/models/metrics/counts.ts'
import { ByteBudget } from '../../src/routes/http/byte-budget.ts'
import { Connections } from '../../src/routes/http/connections/connections.ts'
import { watchRequests } from '../../src/routes/http/open-requests.ts'
import type { App } from '../../src/routes/route-context.ts'

/** Limits that no test reaches. */
export const LIMITS = {
  maxConnections: 1000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  bodyTimeoutMs: 10_000,
  writeTimeoutMs: 30_000,
  keepAliveTimeoutMs: 72_000,
}

/** Tracks the requests of an app as the server does. */
export function watch(
  app: App,
  connections = new Connections(LIMITS, pino({ level: 'silent' })),
): void {
  const budget = new ByteBudget(Number.POSITIVE_INFINITY)
  watchRequests(app, {
    connections,
    budget,
    counts: new StatusCounts(),
    log: undefined,
    logSample: 1,
    serverTiming: true,
    maxResponseBytes: 1024 * 1024,
    tracing: undefined,
    recorder: undefined,
  })
}
