/**
 * Dialects of inference that the front-end relays unread: it tells the worker by a request header which one a
 * body is in. Requests without it came by the original's own routes.
 */

/** Request header that names the dialect. What a client sends under this name never reaches a worker. */
export const DIALECT_HEADER = 'Onnxd-Dialect'

/** `v2`: Open Inference Protocol, `/v2/models/{model}/infer`; `v1`: KServe's `/v1/models/{model}:predict`. */
export type Dialect = 'v1' | 'v2'

/**
 * Answer header by which the worker says how many rows a request of these dialects had, where they were more
 * than one: Triton's statistics count rows, and the front-end sees none. It goes no further.
 */
export const ROWS_HEADER = 'Onnxd-Rows'
