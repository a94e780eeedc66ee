/** Result of one check. */
export interface Examined {
  readonly name: string
  /** `warning`: the server works, but not as well as it could. */
  readonly state: 'ok' | 'warning' | 'problem'
  readonly text: string
  readonly remedy?: string
}
