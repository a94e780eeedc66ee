/** Entry of the worker process. The output comes first: it must be in place before anything prints. */
import { installOutput } from './output.ts'
import { runWorker } from './run-worker.ts'

await runWorker(process.argv.slice(2), installOutput())
