/** Responses to `CONNECT`, for which Node has none. */
import { ServerResponse } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { closeGently } from './close-gently.ts'

/** A response on the bare socket that Node hands over: `CONNECT` is rejected as other methods are. */
export function responseOn(socket: Socket, request: IncomingMessage): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  // Node has taken its own listeners away. An error is followed by 'close'.
  socket.on('error', () => {})
  response.once('finish', () => {
    response.detachSocket(socket)
    response.emit('close')
    closeGently(socket)
  })
  return response
}
