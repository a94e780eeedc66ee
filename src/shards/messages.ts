/** What process 0 and the other HTTP processes tell each other over their IPC channel. */
import type { Config, ConfigOrigins } from '../config/config.ts'
import type { VersionReport } from '../models/rollout/reporter.ts'
import type { CopyReport } from '../models/shadow/reporter.ts'
import type { ModelPlace } from '../routes/process-health.ts'
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
  /** It closes its listening sockets, and answers then. */
  | { readonly about: 'listeners' }
  /** Whether a client is connected, or was within this time. */
  | { readonly about: 'clients'; readonly withinMs: number }
  | { readonly about: 'version'; readonly name: string; readonly version: string }
  | HealthQuestion

/** Whether it can serve all models, or one. The processes ask each other through process 0. */
export interface HealthQuestion {
  readonly about: 'health'
  /** Absent for all models. */
  readonly place?: ModelPlace | undefined
}

/** From process 0. */
export type ToShard =
  | Begin
  | { readonly type: 'state'; readonly state: DesiredState }
  /** With the listening socket of process 0 if the processes cannot listen on the same port. */
  | {
      readonly type: 'listener'
      readonly protocol: 'http' | 'grpc'
      readonly port: number
      readonly isHandle: boolean
    }
  /** Comes after the listeners. */
  | { readonly type: 'listen'; readonly managementUrl: string }
  | { readonly type: 'ask'; readonly id: number; readonly question: Question }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
  /** Lines of the model index that another process has learned. */
  | { readonly type: 'learned'; readonly lines: readonly string[] }
  /** It is not ready any more. */
  | { readonly type: 'stop' }
  /** It finishes accepted requests and ends. */
  | { readonly type: 'drain' }

/** What a process tells process 0 without a question. */
export type Report =
  /** Results of the requests to versions that are part of a rollout. */
  | { readonly type: 'judged'; readonly reports: readonly VersionReport[] }
  /** Results of the copies of requests that shadow versions got. */
  | { readonly type: 'copied'; readonly reports: readonly CopyReport[] }
  /** Lines of its model index: inputs and outputs of models that load on demand. */
  | { readonly type: 'learned'; readonly lines: readonly string[] }

/** To process 0. */
export type FromShard =
  /** A step of a change was made. */
  | { readonly type: 'progress' }
  /** It knows which models process 0 serves and loads. */
  | { readonly type: 'informed'; readonly revision: number }
  | { readonly type: 'applied'; readonly revision: number }
  /** The models cannot be brought into the desired state. The process ends. */
  | { readonly type: 'failed'; readonly reason: string; readonly stderr: readonly string[] }
  | { readonly type: 'listening' }
  | Report
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
  /** What the other processes say, for an answer of this one. */
  | { readonly type: 'ask'; readonly id: number; readonly question: HealthQuestion }
