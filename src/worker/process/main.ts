/** Entry of the worker process. The output comes first: it must be in place before anything prints. */
import { ignoreUserSignals } from '../../signals.ts'
import { installOutput } from './output/output.ts'
import { runWorker } from './start/run-worker.ts'

ignoreUserSignals()
await runWorker(process.argv.slice(2), installOutput())
