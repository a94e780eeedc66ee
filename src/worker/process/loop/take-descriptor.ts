import type { Socket } from 'node:net'

/** What Node keeps under a socket; the two calls are there, undocumented, since its first versions. */
interface Handle {
  readonly fd: number
  /** Whether Node believes that it reads. */
  reading: boolean
  readStop(): number
  setBlocking(blocks: boolean): number
}

/**
 * Takes a socket out of the event loop and makes its descriptor block. The socket still owns it: destroy it when
 * done. `undefined`, and nothing has changed, where that cannot be had, or where something is read that nobody has
 * looked at.
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
