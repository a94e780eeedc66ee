/** What a rule throws: why an operator is not proved to keep requests apart, as the rest of a sentence. */
export class NotProved extends Error {}

/** The same of an operator that is never the same in two runs, whatever it gets. */
export class NeverProved extends NotProved {}
