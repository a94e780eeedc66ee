/**
 * Entry of the process that finds, checks or builds one entry of the weight cache. It does one
 * {@link WeightsJob}, prints the result as one line, and ends.
 */
import { RESULT_MARK } from '../../contract/shared-weights.ts'
import type { WeightsJob } from '../../contract/shared-weights.ts'
import { ignoreUserSignals } from '../../system/signals.ts'
import { installOutput } from './output/output.ts'
import { watchParent } from './start/parent-watch.ts'
import { doJob } from './weights/job.ts'

ignoreUserSignals()
installOutput()
void watchParent(Number(process.env['ONNXD_PARENT_PID']))
const job = JSON.parse(process.env['ONNXD_WEIGHTS_JOB'] ?? '') as WeightsJob
console.log(RESULT_MARK + JSON.stringify(await doJob(job)))
process.exit(0)
