/** Lines on a worker's standard output that the front-end reads; for both processes. */

/** The worker writes it before the run on zeros, which may take long or never end. */
export const WARM_UP_LINE = 'The warm-up run begins.'

/** The worker listens. */
export const READY_LINE = 'MMS worker started.'

/** Start of the line that the worker writes when it has accepted a connection. */
export const ACCEPTED_PREFIX = 'Connection accepted: '

/** Begins the line on stdout of a worker that could not use the files of the weight cache. */
export const WEIGHTS_UNUSED = 'The weight cache is not used: '
