/** How many connections a listener holds, and for how long. */
import type { Config } from '../../../config/config.ts'
import { descriptorLimit } from '../../../system/process-identity.ts'

/** Limits of a listener. Times are in milliseconds. */
export interface ConnectionLimits {
  readonly maxConnections: number
  /** For the headers of a request, counted from the connection or the last response. */
  readonly headersTimeoutMs: number
  /** For a whole request. */
  readonly requestTimeoutMs: number
  /** Between two pieces of a body. */
  readonly bodyTimeoutMs: number
  /** For a response that the client does not read. */
  readonly writeTimeoutMs: number
  /** For an idle connection. */
  readonly keepAliveTimeoutMs: number
}

/** The share of the process's open files that one listener may use for connections. */
const DESCRIPTOR_SHARE = 0.25
const MIN_CONNECTIONS = 16
const MAX_CONNECTIONS = 10_000

/** The limits from the settings. */
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
 * Maximum number of connections of one listener for a limit of open files. The rest is for workers,
 * models and the other listener.
 */
export function connectionsFor(descriptors: number): number {
  const share = Math.floor(descriptors * DESCRIPTOR_SHARE)
  return Math.min(Math.max(share, MIN_CONNECTIONS), MAX_CONNECTIONS)
}
