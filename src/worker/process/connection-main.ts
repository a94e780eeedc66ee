/** Entry of a process for one connection, which comes from the launcher. The output comes first, as in `main.ts`. */
import { Socket } from 'node:net'
import { ignoreUserSignals } from '../../signals.ts'
import { installOutput } from './output/output.ts'
import { killGroupMembers } from './start/process-group.ts'
import { prepareProcess, serveConnection } from './start/run-worker.ts'
import { readSettings } from './start/settings.ts'

ignoreUserSignals()
const output = installOutput()
const settings = readSettings(process.argv.slice(2), process.env)
const files = prepareProcess()
// What a model has started goes with its connection.
process.on('exit', killGroupMembers)

/** The launcher ended before it had sent the connection. */
const end = (): never => process.exit(0)
process.once('disconnect', end)

process.once('message', (_message, socket) => {
  // From here on this process ends with its connection, not with the launcher.
  process.off('disconnect', end)
  // Not at once: Node is still at the message.
  setImmediate(() => process.disconnect())
  if (!(socket instanceof Socket)) process.exit(1)
  socket.allowHalfOpen = true
  const service = serveConnection(socket, settings, { output, files })
  void service.ended.then((isClean) => process.exit(isClean ? 0 : 1))
  socket.resume()
})
