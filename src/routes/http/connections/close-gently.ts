/**
 * Closes a connection so that the client receives the whole last response, even if it is still
 * sending.
 */
import type { Socket } from 'node:net'

/** A client that sends nothing for this time after the last response is disconnected. */
const SILENCE_MS = 2000
/** A client that keeps sending is disconnected after this time, or after this many bytes. */
const MAX_MS = 30_000
const MAX_BYTES = 1024 ** 3

/** Connections that are being closed. */
const ending = new WeakSet<Socket>()

/** Whether the last response of a connection was sent. Data that still arrives on it is dropped. */
export function isEnding(socket: Socket): boolean {
  return ending.has(socket)
}

/**
 * Closes the sending side after all data is sent. Then it reads and drops what the client sends,
 * until the client closes its side or a limit is reached.
 * Closing a socket with unread bytes resets the connection, and the client may lose a response that
 * it has not read. The dropped data is not parsed: a request in it would run, but its response
 * could not be sent.
 * @param silenceMs Milliseconds without data from the client after which it is disconnected.
 */
export function closeGently(socket: Socket, silenceMs: number = SILENCE_MS): void {
  if (socket.destroyed || ending.has(socket)) return
  ending.add(socket)
  const destroy = (): void => {
    socket.destroy()
  }
  // A client that has closed its sending side may still read a long response.
  socket.once('end', () => {
    if (socket.writableFinished) destroy()
    else socket.once('finish', destroy)
  })
  // There is no time limit for the response here: `connections.ts` disconnects clients that do not
  // read it.
  socket.once('finish', () => {
    socket.setTimeout(silenceMs, destroy)
    const timer = setTimeout(destroy, MAX_MS)
    socket.once('close', () => clearTimeout(timer))
  })
  socket.end()
  if (socket.isPaused()) {
    // Node's HTTP server must resume reading before its reader is replaced.
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
