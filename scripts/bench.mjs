/**
 * `npm run bench`: measures the server against the bare runtime, see docs/performance.md.
 *
 *     npm run bench                      all benchmarks, a quarter of an hour
 *     npm run bench -- B1 B3             some of them
 *     npm run bench -- --quick           one short round each: shows that they run, not how fast
 *     npm run bench -- --json            machine facts and every round, as JSON
 *     npm run bench -- --rounds=5 --seconds=10
 */
import { spawn } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { ensure } from './ensure.mjs'

ensure('build')
const program = path.join('build', 'benchmarks', 'main.js')
const run = spawn(process.execPath, ['--enable-source-maps', program, ...process.argv.slice(2)], {
  stdio: 'inherit',
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => run.kill(signal))
run.on('exit', (status) => (process.exitCode = status ?? 1))
