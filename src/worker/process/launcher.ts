#!/usr/bin/env node
/**
 * The command `onnxd-worker`: what MMS's own front-end may take for Python. It is started as Python is,
 * `onnxd-worker …/model_service_worker.py --sock-type …`, and does what the script does: it listens for the
 * workers of one model, each of them a connection, and gives each a process of its own.
 */
import path from 'node:path'
import { ignoreUserSignals } from '../../signals.ts'
import { launchWorkers } from './launch-workers.ts'
import { installOutput } from './output/output.ts'
import { runWorker } from './start/run-worker.ts'
import { readSettings } from './start/settings.ts'

const SCRIPT = 'model_service_worker.py'
const [first = '', ...rest] = process.argv.slice(2)

if (first.endsWith('.py') && path.basename(first) !== SCRIPT) {
  // The front-end also collects metrics of the machine by a script. That takes Python; it goes on without.
  process.exit(0)
}
ignoreUserSignals()
const output = installOutput()
const args = first.endsWith('.py') ? rest : process.argv.slice(2)
// A preloaded model is there once, for all connections: they share a process.
const settings = readSettings(args, process.env)
if (settings.preload) await runWorker(args, output)
else await launchWorkers(args, settings)
