/** How many connections a listener holds, and for how long. */
import { readFileSync } from 'node:fs'
import type { Config } from '../../../config/config.ts'

/** Limits of a listener; times in milliseconds. */
export interface ConnectionLimits {
  readonly maxConnections: number
  /** For the head of a request, from the connection or the last response on. */
  readonly headersTimeoutMs: number
  /** For a whole request. */
  readonly requestTimeoutMs: number
  /** Between two pieces of a body. */
  readonly bodyTimeoutMs: number
  /** For a response of which the client takes nothing. */
  readonly writeTimeoutMs: number
  /** For an idle connection. */
  readonly keepAliveTimeoutMs: number
}

/** Of the files that the process may open, so many can be connections of one listener. */
const DESCRIPTOR_SHARE = 0.25
const MIN_CONNECTIONS = 16
const MAX_CONNECTIONS = 10_000

/** The limits that the settings name. */
export function connectionLimits(
  config: Config,
  listener: 'inference' | 'management',
): ConnectionLimits {
  // An upload of a model may take as long as a download.
  const requestTimeout =
    listener === 'management'
      ? Math.max(config.requestTimeout, config.downloadTimeout)
      : config.requestTimeout
  return {
    maxConnections: config.maxConnections || connectionsFor(descriptorLimit()),
    headersTimeoutMs: config.headersTimeout * 1000,
    requestTimeoutMs: requestTimeout * 1000,
    bodyTimeoutMs: config.bodyTimeout * 1000,
    writeTimeoutMs: config.writeTimeout * 1000,
    keepAliveTimeoutMs: config.keepAliveTimeout * 1000,
  }
}

/**
 * Connections of one listener for a limit of open files: the rest is for workers, models and the
 * other listener.
 */
export function connectionsFor(descriptors: number): number {
  const share = Math.floor(descriptors * DESCRIPTOR_SHARE)
  return Math.min(Math.max(share, MIN_CONNECTIONS), MAX_CONNECTIONS)
}

/** Files that this process may open. Node raises its limit to the highest that it may have. */
function descriptorLimit(): number {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))
    return found === null ? Number.POSITIVE_INFINITY : Number(found[1])
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
