/**
 * Ends a connection so that the client gets the whole last response, whatever it is still sending.
 */
import type { Socket } from 'node:net'

/** A client that sends nothing for so long after the last response is cut off. */
const SILENCE_MS = 2000
/** A client that goes on sending is cut off after this time, or after this many bytes. */
const MAX_MS = 30_000
const MAX_BYTES = 1024 ** 3

/** Connections that are being ended. */
const ending = new WeakSet<Socket>()

/** Whether the last response of a connection was sent: what still arrives on it is dropped. */
export function isEnding(socket: Socket): boolean {
  return ending.has(socket)
}

/**
 * Closes the sending side once everything is sent, then reads and drops what the client still
 * sends, until it closes its side or a limit is reached. A socket that is closed with unread bytes
 * resets the connection, and a reset throws away a response that the client has not read yet.
 * Nothing that arrives is parsed any more: a request behind the last response would be run although
 * nobody gets its response.
 * @param silenceMs How long the client may be silent after the response before the connection is cut off.
 */
export function closeGently(socket: Socket, silenceMs: number = SILENCE_MS): void {
  if (socket.destroyed || ending.has(socket)) return
  ending.add(socket)
  const destroy = (): void => {
    socket.destroy()
  }
  // A client that has nothing more to say may still read a long response.
  socket.once('end', () => {
    if (socket.writableFinished) destroy()
    else socket.once('finish', destroy)
  })
  // A client may take its time for a long response; `connections.ts` cuts off one that takes nothing.
  socket.once('finish', () => {
    socket.setTimeout(silenceMs, destroy)
    const timer = setTimeout(destroy, MAX_MS)
    socket.once('close', () => clearTimeout(timer))
  })
  socket.end()
  if (socket.isPaused()) {
    // Node's HTTP server has to start reading again before it is replaced as the reader.
    socket.once('resume', () => dropData(socket))
    socket.resume()
  } else {
    dropData(socket)
  }
}

/** Replaces the HTTP parser. */
function dropData(socket: Socket): void {
  let bytes = 0
  socket.removeAllListeners('data')
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_BYTES) socket.destroy()
  })
}
