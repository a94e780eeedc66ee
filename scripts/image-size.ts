/**
 * `npm run image:size`: lists and sums the files that `deploy/Dockerfile` adds to its base image,
 * without a container engine. Needs the npm registry. `-- FOLDER` keeps the files there.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { buildImage, filesOf } from './dockerfile.ts'

const MB = 1e6
const LISTED = 12

const [given] = process.argv.slice(2)
if (given !== undefined && existsSync(given) && readdirSync(given).length > 0) {
  console.error(`onnxd: the folder ${given} is not empty.`)
  process.exit(2)
}
const folder = path.resolve(given ?? mkdtempSync(path.join(os.tmpdir(), 'onnxd-image-')))
try {
  const { root, skipped } = buildImage(path.join('deploy', 'Dockerfile'), {
    context: '.',
    folder,
    say: (step) => console.error(`onnxd: ${step}`),
  })
  const files = filesOf(root)
  for (const { path: name, size } of files.slice(0, LISTED)) console.log(`${inMb(size)}  ${name}`)
  const others = files.slice(LISTED)
  console.log(`${inMb(sum(others))}  ${others.length} other files`)
  console.log(`${inMb(sum(files))}  all ${files.length} files of onnxd`)
  console.log(`${inMb(statSync(process.execPath).size)}  Node ${process.versions.node}`)
  for (const step of skipped) console.log(`Not included: ${step}`)
} finally {
  if (given === undefined) rmSync(folder, { recursive: true, force: true })
}

function sum(files: readonly { size: number }[]): number {
  return files.reduce((total, { size }) => total + size, 0)
}

function inMb(bytes: number): string {
  return `${(bytes / MB).toFixed(1).padStart(7)} MB`
}
