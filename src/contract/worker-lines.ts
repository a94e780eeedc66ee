/** Lines on a worker's standard output that the front-end understands; both processes read this file. */

/** The worker begins the run on zeros, which may take long or never end. */
export const WARM_UP_LINE = 'The warm-up run begins.'
