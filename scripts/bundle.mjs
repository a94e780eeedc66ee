/**
 * Writes the program to a folder, the libraries in the same few files: the server starts in half the time when it does not have
 * to find and read nine hundred of them. Types are checked by the compiler, before.
 *
 * Beside it comes `licenses.txt`, the licences of what was copied.
 *
 *     node scripts/bundle.mjs dist
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const SOURCES = path.join(ROOT, 'src')

/** What is started as a process of its own. */
const PROGRAMS = [
  'cli',
  'worker/process/main',
  'worker/process/launcher',
  'worker/process/connection-main',
]

/** Stay in `node_modules`: native code, files that are no code, and what few starts load, or none. */
const OUTSIDE = [
  /^onnxruntime-node/,
  'sharp',
  '@fastify/swagger-ui',
  '@fastify/ajv-compiler',
  '@fastify/fast-json-stringify-compiler',
  'light-my-request',
  'write-file-atomic',
  'yaml',
]

const bundle = await rolldown({
  cwd: ROOT,
  platform: 'node',
  tsconfig: false,
  input: Object.fromEntries(PROGRAMS.map((name) => [name, path.join(SOURCES, `${name}.ts`)])),
  external: OUTSIDE,
  onLog: (level, log, report) => report(level === 'warn' ? 'error' : level, log),
})
const folder = path.resolve(process.argv[2])
const { output } = await bundle.write({
  dir: folder,
  cleanDir: true,
  sourcemap: true,
  entryFileNames: '[name].js',
  // Beside the folder of the worker, as its sources' neighbours are: `../process/main.js` is right from both.
  chunkFileNames: 'worker/shared/[name].js',
})
await bundle.close()
const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []))
writeFileSync(path.join(folder, 'licenses.txt'), licensesOf(modules))

/** The licences of the packages that modules are from, each once. */
function licensesOf(modulePaths) {
  const folders = modulePaths.map(
    (module) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(module)?.[0],
  )
  const packages = [...new Set(folders)].filter((found) => found !== undefined)
  packages.sort((one, other) => (one < other ? -1 : 1))
  return packages.map((found) => `${licenseOf(found)}\n`).join(`\n${'-'.repeat(80)}\n\n`)
}

function licenseOf(packageFolder) {
  const { name, version, license } = JSON.parse(
    readFileSync(path.join(packageFolder, 'package.json'), 'utf8'),
  )
  const texts = readdirSync(packageFolder)
    .filter((file) => /^(?:licen[cs]e|copying|notice)/i.test(file))
    .map((file) => readFileSync(path.join(packageFolder, file), 'utf8').trim())
  return [`${name} ${version} (${license})`, ...texts].join('\n\n')
}
