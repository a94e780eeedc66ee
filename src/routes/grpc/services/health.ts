/** The health checks of gRPC (`grpc.health.v1`), for the server and for each model. */
import { ServerError } from '../../../errors.ts'
import { MessageReader } from '../../../formats/proto-message.ts'
import { mayUse } from '../../http/access/caller.ts'
import { isProcessReady } from '../../kserve/health.ts'
import { readinessOf } from '../../kserve/v2-models.ts'
import { isReadyElsewhere } from '../../other-processes.ts'
import type { RouteContext } from '../../route-context.ts'
import { encodeMessage } from '../messages/encode.ts'
import { HEALTH } from '../messages/schemas.ts'
import type { HEALTH_STATES } from '../messages/schemas.ts'
import type { Call } from '../transport/call.ts'

type Sender = Pick<Call, 'caller'>
type State = (typeof HEALTH_STATES)[number]

export const HEALTH_SERVICE = 'grpc.health.v1.Health'
/** Names of the whole server. */
const SERVER_NAMES: ReadonlySet<string> = new Set([
  '',
  'inference.GRPCInferenceService',
  HEALTH_SERVICE,
])
const SERVICE = 1
/** How often the state of a watched service is compared. */
const WATCH_MS = 500

/** Handles `Check`. */
export async function checkHealth(
  message: Buffer,
  context: RouteContext,
  sender: Sender,
): Promise<Uint8Array> {
  const state = await stateOf(serviceIn(message), context, sender)
  if (state !== 'SERVICE_UNKNOWN') return encodeMessage(HEALTH, { status: state })
  throw new ServerError(
    'ModelNotFoundException',
    'The server has no service or model of this name.',
  )
}

/** Handles `Watch`: sends the state now, and again after each change. */
export function watchHealth(call: Call, message: Buffer, context: RouteContext): void {
  const service = serviceIn(message)
  let last: State | undefined
  let hasEnded = false
  const send = (state: State): void => {
    if (state === last) return
    last = state
    call.send(encodeMessage(HEALTH, { status: state }))
  }
  let isAsking = false
  const compare = async (): Promise<void> => {
    if (isAsking) return
    isAsking = true
    const state = await stateOf(service, context, call)
    isAsking = false
    if (!hasEnded) send(state)
  }
  const timer = setInterval(() => void compare(), WATCH_MS).unref()
  const end = (): void => {
    hasEnded = true
    clearInterval(timer)
  }
  call.onLeave = end
  call.onDrain = () => {
    end()
    send(ownStateOf(service, context, call))
    call.fail(new ServerError('ServiceUnavailableException', 'The server is stopping.'))
  }
  void compare()
}

/** The state in all HTTP processes. */
async function stateOf(service: string, context: RouteContext, sender: Sender): Promise<State> {
  const own = ownStateOf(service, context, sender)
  if (own !== 'SERVING') return own
  const place = SERVER_NAMES.has(service) ? undefined : { name: service }
  return (await isReadyElsewhere(context, place)) ? 'SERVING' : 'NOT_SERVING'
}

/** The state in this HTTP process. A model that the sender may not use is unknown to it. */
function ownStateOf(service: string, context: RouteContext, sender: Sender): State {
  if (SERVER_NAMES.has(service)) return isProcessReady(context) ? 'SERVING' : 'NOT_SERVING'
  if (!mayUse(sender, service)) return 'SERVICE_UNKNOWN'
  try {
    return readinessOf(context, service).ready ? 'SERVING' : 'NOT_SERVING'
  } catch {
    return 'SERVICE_UNKNOWN'
  }
}

function serviceIn(bytes: Buffer): string {
  const message = new MessageReader(bytes)
  let service = ''
  while (message.next()) if (message.number === SERVICE) service = message.text()
  return service
}
