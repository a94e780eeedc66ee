/** The end of the IPC channel in a further HTTP process. */
import process from 'node:process'
import type { FromShard, ToShard } from './messages.ts'

/** Sends a message to process 0. It is lost if process 0 has ended; then this process ends too. */
export function tell(message: FromShard): void {
  process.send?.(message, undefined, {}, () => {})
}

/** Calls `take` for each message of process 0, with the socket that came with it. */
export function onMessage(take: (message: ToShard, handle: unknown) => void): void {
  process.on('message', (message, handle) => take(message as ToShard, handle))
}
