/** Entry of the worker process. The output is installed first, before any code prints. */
import { ignoreUserSignals } from '../../system/signals.ts'
import { installOutput } from './output/output.ts'
import { runWorker } from './start/run-worker.ts'

ignoreUserSignals()
await runWorker(process.argv.slice(2), installOutput())
