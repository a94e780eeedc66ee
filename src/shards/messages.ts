/** What process 0 and the other HTTP processes tell each other over their IPC channel. */
import type { Config, ConfigOrigins } from '../config/config.ts'
import type { Share } from '../share.ts'
import type { DesiredState } from './desired-state.ts'

/** The first message: everything that a process needs to start. */
export interface Begin {
  readonly type: 'begin'
  /** With the limits of this process. */
  readonly config: Config
  readonly origins: ConfigOrigins
  readonly share: Share
}

/** A question and its answer have the same id. */
export type Question =
  | { readonly about: 'metrics'; readonly names: readonly string[] }
  | { readonly about: 'live' }
  | { readonly about: 'alive' }
  | { readonly about: 'version'; readonly name: string; readonly version: string }

/** From process 0. */
export type ToShard =
  | Begin
  | { readonly type: 'state'; readonly state: DesiredState }
  /** With the listening socket of process 0 if the processes cannot listen on the same port. */
  | {
      readonly type: 'listen'
      readonly port: number
      readonly managementUrl: string
      readonly isHandle: boolean
    }
  | { readonly type: 'ask'; readonly id: number; readonly question: Question }
  | { readonly type: 'stop' }

/** To process 0. */
export type FromShard =
  /** A step of a change was made. */
  | { readonly type: 'progress' }
  | { readonly type: 'applied'; readonly revision: number }
  /** The models cannot be brought into the desired state. The process ends. */
  | { readonly type: 'failed'; readonly reason: string; readonly stderr: readonly string[] }
  | { readonly type: 'listening' }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
