import type { Socket } from 'node:net'

/**
 * Node's internal handle of a socket. The two methods are undocumented, but have existed since
 * Node's first versions.
 */
interface Handle {
  readonly fd: number
  /** Whether Node believes that the handle is reading. */
  reading: boolean
  readStop(): number
  setBlocking(blocks: boolean): number
}

/**
 * Takes a socket out of the event loop and makes its descriptor blocking. The socket still owns the
 * descriptor: destroy the socket when done. Returns `undefined`, and changes nothing, where this is
 * not possible or when the socket has unread or unsent data.
 */
export function takeDescriptor(socket: Socket): number | undefined {
  const handle: unknown = Reflect.get(socket, '_handle')
  if (!isHandle(handle) || handle.fd < 0) return undefined
  if (socket.readableLength > 0 || socket.writableLength > 0) return undefined
  socket.pause()
  handle.readStop()
  handle.reading = false
  if (handle.setBlocking(true) === 0) return handle.fd
  socket.resume()
  return undefined
}

function isHandle(value: unknown): value is Handle {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof Reflect.get(value, 'fd') === 'number' &&
    typeof Reflect.get(value, 'readStop') === 'function' &&
    typeof Reflect.get(value, 'setBlocking') === 'function'
  )
}
