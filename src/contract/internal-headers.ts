/**
 * What the front-end and its own workers tell each other in headers, where the protocol between them has no field
 * for it. Dialects of inference are relayed unread: a request header says which one a body is in. Requests without
 * it came by the original's own routes.
 */

/** Request header that names the dialect. What a client sends under this name never reaches a worker. */
export const DIALECT_HEADER = 'Onnxd-Dialect'

/**
 * Request header that says where a body lies that travels beside the socket: `offset+length` in the worker's body
 * file. What a client sends under this name never reaches a worker.
 */
export const BODY_HEADER = 'Onnxd-Body-At'

/** Whether a header is one of those that a client cannot set. */
export function isInternalHeader(name: string): boolean {
  // Both have 13 characters, which spares most headers the rest.
  return name.length === DIALECT_HEADER.length && INTERNAL_NAMES.has(name.toLowerCase())
}

const INTERNAL_NAMES: ReadonlySet<string> = new Set([
  DIALECT_HEADER.toLowerCase(),
  BODY_HEADER.toLowerCase(),
])

/** `v2`: Open Inference Protocol, `/v2/models/{model}/infer`; `v1`: KServe's `/v1/models/{model}:predict`. */
export type Dialect = 'v1' | 'v2'

/**
 * Answer header by which the worker says how many rows a request of these dialects had, where they were more
 * than one: Triton's statistics count rows, and the front-end sees none. It goes no further.
 */
export const ROWS_HEADER = 'Onnxd-Rows'
