/**
 * `npm run test:faults`: runs the tests of the fault plan at full size and the heavy tests. The
 * files run one after the other, because they measure memory and time. Prints the measured values
 * and their goals.
 *
 *     npm run test:faults                              all, see docs/testing.md for how long
 *     npm run test:faults -- --http-processes=2 swap   servers with two HTTP processes
 *     npm run test:faults -- uploads                   the files whose path contains one of these
 *     ONNXD_FAULT_CYCLES=5 npm run test:faults -- unload    a smaller size
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { ensure } from './ensure.mjs'
import { findTests, readArguments, runTests } from './test-runner.mjs'

/** Time limit for a file. Each test has its own shorter limit. */
const TIMEOUT_MS = 3_600_000

const args = process.argv.slice(2)
const { options, filters } = readArguments(args, ['--http-processes='])
const processes = args.find((arg) => arg.startsWith('--http-processes='))?.split('=')[1]
ensure('dist', 'build')
const files = findTests(path.join('build', 'test'), '.js', filters).filter(
  (file) => file.endsWith('.faults.js') || /[\\/](?:faults|fuzz)[\\/][^\\/]+\.test\.js$/.test(file),
)
const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-figures-'))
const figuresFile = path.join(folder, 'figures.jsonl')
const environment = {
  ONNXD_FAULTS: 'full',
  ONNXD_FIGURES: figuresFile,
  ...(processes !== undefined && { TEST_HTTP_PROCESSES: processes }),
}
runTests(files, options, { timeoutMs: TIMEOUT_MS, isAlone: true, environment }, () => {
  if (existsSync(figuresFile)) printFigures(readFileSync(figuresFile, 'utf8'))
  rmSync(folder, { recursive: true })
})

/** Prints the values as a Markdown table, in the form of docs/reliability.md. */
function printFigures(lines) {
  const [cpu, ...others] = cpus()
  const gib = Math.round(totalmem() / 2 ** 30)
  console.log(
    `\nNode ${process.version}, Linux ${release()}, ${others.length + 1} x ${cpu?.model.trim()}, ${gib} GiB\n`,
  )
  console.log('| what | goal | seen | met |\n| --- | --- | --- | --- |')
  for (const line of lines.trim().split('\n')) {
    const { what, goal, seen, isMet } = JSON.parse(line)
    console.log(`| ${what} | ${goal} | ${seen} | ${isMet ? 'yes' : '**no**'} |`)
  }
}
