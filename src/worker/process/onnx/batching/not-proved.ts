/**
 * A rule throws this when an operator is not proved to keep requests apart. The message completes a
 * sentence.
 */
export class NotProved extends Error {}

/** The operator's result differs between two runs even with equal inputs. */
export class NeverProved extends NotProved {}
