/**
 * Entry of the process that serves one connection, which the launcher sends to it. The output is
 * installed first, as in `main.ts`.
 */
import { Socket } from 'node:net'
import { ignoreUserSignals } from '../../system/signals.ts'
import { installOutput } from './output/output.ts'
import { killGroupMembers } from './start/process-group.ts'
import { prepareProcess, serveConnection } from './start/run-worker.ts'
import { readSettings } from './start/settings.ts'

ignoreUserSignals()
const output = installOutput()
const settings = readSettings(process.argv.slice(2), process.env)
const files = prepareProcess()
// Processes that the model has started end with its connection.
process.on('exit', killGroupMembers)

/** Ends the process when the launcher ends before it has sent the connection. */
const end = (): never => process.exit(0)
process.once('disconnect', end)

process.once('message', (_message, socket) => {
  // From here on this process ends with its connection, not with the launcher.
  process.off('disconnect', end)
  // On the next turn, because Node is still handling the message.
  setImmediate(() => process.disconnect())
  if (!(socket instanceof Socket)) process.exit(1)
  socket.allowHalfOpen = true
  const service = serveConnection(socket, settings, { output, files })
  void service.ended.then((isClean) => process.exit(isClean ? 0 : 1))
  socket.resume()
})
