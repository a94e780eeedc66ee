import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { Config, ConfigOrigins } from '../config/config.ts'
import type { ObservedMemory, ServerMetrics } from '../models/metrics/page.ts'
import type { WeightCacheList } from '../models/model-service.ts'
import type { Recorder } from '../models/recorder/recorder.ts'
import type { Registry } from '../models/registry.ts'
import type { SourceOptions } from '../models/sources/prepare.ts'
import type { Deliveries } from '../models/transfers/model-files.ts'
import type { ModelRepository } from '../models/triton/repository.ts'
import type { ServerAccess } from './http/access/server-access.ts'
import type { ByteBudget } from './http/byte-budget.ts'
import type { RecentLog } from './management/recent-log.ts'
import type { HealthElsewhere, OtherProcesses } from './other-processes.ts'
import type { Tracing } from './tracing/tracing.ts'

/** A Fastify instance whose schemas are TypeBox. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** The parts of the server that routes need. */
export interface RouteContext {
  readonly config: Config
  /** The settings of the whole server; absent if they are those of this HTTP process. */
  readonly serverConfig?: Config | undefined
  /** The origin of each setting that does not have its default. */
  readonly configOrigins: ConfigOrigins
  readonly registry: Registry
  readonly repository: ModelRepository
  readonly metrics: ServerMetrics
  /** The memory of models that load on demand. */
  readonly modelMemory: ObservedMemory
  /** Lists the entries of the weight cache; `undefined` if the cache is off. */
  readonly listWeightCache: () => Promise<WeightCacheList | undefined>
  /** Shared by both listeners. */
  readonly budget: ByteBudget
  readonly sources: SourceOptions
  readonly deliveries: Deliveries
  readonly recentLog: RecentLog
  /** Who may send requests. */
  readonly access: ServerAccess
  /** Absent if requests are not traced. */
  readonly tracing: Tracing | undefined
  /** Absent if requests are not recorded. */
  readonly recorder: Recorder | undefined
  /** URL of the management listener; `undefined` until it listens. */
  readonly managementUrl: () => string | undefined
  /**
   * Removes a model that could not be restored from the saved state. Absent if no state is saved.
   */
  readonly forget?: ((name: string) => Promise<boolean>) | undefined
  /** The other HTTP processes; absent if there are none, and in them. */
  readonly others?: OtherProcesses | undefined
  /** Absent if there is only one HTTP process. */
  readonly healthElsewhere?: HealthElsewhere | undefined
  /** False while the models of the start are being loaded, and after the stop signal. */
  readonly isAccepting: () => boolean
  /**
   * True after the stop signal: health routes report models as not ready, but requests are still
   * served.
   */
  readonly isStopping: () => boolean
  /** Aborted by the stop signal. */
  readonly stopping: AbortSignal
}
