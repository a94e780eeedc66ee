/** Runs a compiled program of `benchmarks/` with the arguments and signals of this process. */
import { spawn } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { ensure } from './ensure.mjs'

/** @param {string} name File name of the program, without its extension. */
export function runBenchmark(name) {
  ensure('dist', 'build')
  const program = path.join('build', 'benchmarks', `${name}.js`)
  const run = spawn(process.execPath, ['--enable-source-maps', program, ...process.argv.slice(2)], {
    stdio: 'inherit',
  })
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => run.kill(signal))
  run.on('exit', (status) => (process.exitCode = status ?? 1))
}
