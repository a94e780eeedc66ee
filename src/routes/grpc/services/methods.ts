/** The methods of the gRPC listener by their paths. */
import type { RouteContext } from '../../route-context.ts'
import type { Call } from '../transport/call.ts'
import { HEALTH_SERVICE, checkHealth, watchHealth } from './health.ts'
import { inferOne, inferStream } from './infer.ts'
import { metadataMethods } from './metadata.ts'
import type { Answer } from './metadata.ts'
import { REFLECTION_SERVICES, reflect } from './reflection.ts'
import { repositoryMethods } from './repository.ts'

/** One method. */
export interface GrpcMethod {
  /** Whether its calls have traces; those of health checks and metadata would hide predictions. */
  readonly isTraced: boolean
  /** @throws ServerError that ends the call. */
  readonly start: (call: Call) => void
}

const INFERENCE_SERVICE = 'inference.GRPCInferenceService'

/** Returns all methods. */
export async function grpcMethods(context: RouteContext): Promise<Map<string, GrpcMethod>> {
  const methods = new Map<string, GrpcMethod>()
  const add = (service: string, name: string, start: GrpcMethod['start'], isTraced = false) =>
    methods.set(`/${service}/${name}`, { isTraced, start })
  const addAnswers = (service: string, answers: Readonly<Record<string, Answer>>): void => {
    for (const [name, answer] of Object.entries(answers)) {
      add(service, name, (call) =>
        readOne(call, async (message) => call.respond(await answer(message, call))),
      )
    }
  }
  add(
    INFERENCE_SERVICE,
    'ModelInfer',
    (call) => readOne(call, (message) => inferOne(call, message, context)),
    true,
  )
  add(INFERENCE_SERVICE, 'ModelStreamInfer', (call) => inferStream(call, context), true)
  addAnswers(INFERENCE_SERVICE, await metadataMethods(context))
  addAnswers(INFERENCE_SERVICE, repositoryMethods(context))
  addAnswers(HEALTH_SERVICE, { Check: (message, call) => checkHealth(message, context, call) })
  add(HEALTH_SERVICE, 'Watch', (call) =>
    readOne(call, (message) => watchHealth(call, message, context)),
  )
  for (const service of REFLECTION_SERVICES) add(service, 'ServerReflectionInfo', reflect)
  return methods
}

/** Reads the only message of a call. The call fails with what `handle` throws. */
function readOne(call: Call, handle: (message: Buffer) => void | Promise<void>): void {
  call.readOne((message) => {
    try {
      handle(message)?.catch((error: unknown) => call.fail(error))
    } catch (error) {
      call.fail(error)
    }
  })
}
