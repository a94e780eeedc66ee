/** `npm run soak`: random bodies through an echoing model, see benchmarks/soak.ts. */
import { spawn } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { ensure } from './ensure.mjs'

ensure('build')
const program = path.join('build', 'benchmarks', 'soak.js')
const run = spawn(process.execPath, ['--enable-source-maps', program, ...process.argv.slice(2)], {
  stdio: 'inherit',
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => run.kill(signal))
run.on('exit', (status) => (process.exitCode = status ?? 1))
