#!/usr/bin/env node
/**
 * The command `onnxd-worker`, which MMS's own front-end can use in place of Python. MMS calls it
 * like Python: `onnxd-worker …/model_service_worker.py --sock-type …`. It does what that script
 * does: it listens for one model and starts a process for each connection.
 */
import path from 'node:path'
import { ignoreUserSignals } from '../../system/signals.ts'
import { launchWorkers } from './launch-workers.ts'
import { installOutput } from './output/output.ts'
import { runWorker } from './start/run-worker.ts'
import { readSettings } from './start/settings.ts'

const SCRIPT = 'model_service_worker.py'
const [first = '', ...rest] = process.argv.slice(2)

if (first.endsWith('.py') && path.basename(first) !== SCRIPT) {
  // MMS also runs a Python script that collects metrics of the machine. onnxd-worker does not run
  // it; MMS continues without these metrics.
  process.exit(0)
}
ignoreUserSignals()
const output = installOutput()
const args = first.endsWith('.py') ? rest : process.argv.slice(2)
// A preloaded model exists once: all connections share it, and so they share this process.
const settings = readSettings(args, process.env)
if (settings.preload) await runWorker(args, output)
else await launchWorkers(args, settings)
