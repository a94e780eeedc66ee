/** The methods of the gRPC listener by their paths. */
import type { RouteContext } from '../../route-context.ts'
import type { Call } from '../transport/call.ts'
import { inferOne, inferStream } from './infer.ts'

/** One method. */
export interface GrpcMethod {
  /** Whether its calls have traces; those of health checks and metadata would hide predictions. */
  readonly isTraced: boolean
  /** @throws ServerError that ends the call. */
  readonly start: (call: Call) => void
}

const INFERENCE = '/inference.GRPCInferenceService'

/** Returns all methods. */
export async function grpcMethods(context: RouteContext): Promise<Map<string, GrpcMethod>> {
  const methods = new Map<string, GrpcMethod>()
  methods.set(`${INFERENCE}/ModelInfer`, {
    isTraced: true,
    start: (call) => readOne(call, (message) => inferOne(call, message, context)),
  })
  methods.set(`${INFERENCE}/ModelStreamInfer`, {
    isTraced: true,
    start: (call) => inferStream(call, context),
  })
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
