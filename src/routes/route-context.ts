import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { Config } from '../config/config.ts'
import type { ServerMetrics } from '../models/metrics/page.ts'
import type { Registry } from '../models/registry.ts'
import type { SourceOptions } from '../models/sources/prepare.ts'
import type { Deliveries } from '../models/transfers/model-files.ts'
import type { ModelRepository } from '../models/triton/repository.ts'
import type { ByteBudget } from './http/byte-budget.ts'

/** A Fastify instance whose schemas are TypeBox. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** What routes need of the server. */
export interface RouteContext {
  readonly config: Config
  readonly registry: Registry
  readonly repository: ModelRepository
  readonly metrics: ServerMetrics
  /** One for both listeners. */
  readonly budget: ByteBudget
  readonly sources: SourceOptions
  readonly deliveries: Deliveries
  /** Forgets what could not be restored under a name; absent where nothing is remembered. */
  readonly forget?: ((name: string) => Promise<boolean>) | undefined
  /** False while the models of the start are being loaded, and again once the server stops. */
  readonly isAccepting: () => boolean
  /**
   * True from the stop signal on: no model is ready any more, although requests are still served.
   */
  readonly isStopping: () => boolean
}
