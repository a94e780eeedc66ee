/**
 * Writes the program and its libraries to a few files in a folder. The server starts in half the
 * time, because Node does not have to find and read about 900 files. The compiler checks the types
 * before.
 *
 * The folder also gets the pages for browsers, the files of Swagger UI, and `licenses.txt` with the
 * licences of everything in it.
 *
 *     node scripts/bundle.mjs dist
 *
 * It fails if a library would not work in a bundle, see `bundle-check.mjs`.
 */
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { markFreeVariables, problemsOf } from './bundle-check.mjs'
import { writePages } from './bundle-pages.mjs'

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const SOURCES = path.join(ROOT, 'src')

/** Programs that run as separate processes. */
const PROGRAMS = [
  'cli',
  'shards/main',
  'worker/process/main',
  'worker/process/launcher',
  'worker/process/connection-main',
  'worker/process/weights-main',
  // A thread of Node's module loader.
  'worker/process/custom/modules/hooks-thread',
  // Modules that handlers and their tests import.
  'handler/handler',
  'testing/testing',
]

/** Packages that stay in `node_modules`. */
const OUTSIDE = [
  // Native code.
  /^onnxruntime-node/,
  'sharp',
  // WebAssembly.
  '@swc/wasm-typescript',
  // Packages that read files in their own folder.
  'pino',
  'write-file-atomic',
  // Packages that are rarely needed.
  '@fastify/ajv-compiler',
  '@fastify/fast-json-stringify-compiler',
  'fflate',
  'light-my-request',
  'yaml',
]

/** Sources that may use `import.meta`, because they also work in the bundle. */
const MAY_USE_META = new Set([
  // Finds the package from any depth.
  'package-files.ts',
  // Starts programs by a path that is valid in the sources and in a chunk, see `chunkFileNames`.
  'worker/host/own-worker.ts',
  'worker/process/launch-workers.ts',
  // Loads packages that stay outside.
  'config/layers.ts',
  'routes/http/schema-compilers.ts',
])

/** Uses in libraries that would be rejected but cause no problem. */
const HARMLESS = new Set([
  // Looks for the file of an unnamed plugin, to name it in messages.
  'node_modules/fastify/lib/plugin-utils.js uses require as a value',
])

const SWAGGER_UI = path.join(ROOT, 'node_modules', 'swagger-ui-dist')
const SWAGGER_UI_FILES = [
  'swagger-ui.css',
  'swagger-ui-bundle.js',
  // The licences of the libraries in it; the first line of the script names this file.
  'swagger-ui-bundle.js.LICENSE.txt',
]

const bundle = await rolldown({
  cwd: ROOT,
  platform: 'node',
  tsconfig: false,
  input: Object.fromEntries(PROGRAMS.map((name) => [name, path.join(SOURCES, `${name}.ts`)])),
  external: OUTSIDE,
  transform: markFreeVariables,
  onLog: (level, log, report) => report(level === 'warn' ? 'error' : level, log),
})
const folder = path.resolve(process.argv[2])
const written = {
  dir: folder,
  cleanDir: true,
  sourcemap: true,
  entryFileNames: '[name].js',
  // In a folder next to the worker's other folders, so that `../process/main.js` is valid from the
  // sources and from a chunk.
  chunkFileNames: 'worker/shared/[name].js',
}
// Existing files stay if the check fails.
const { output } = await bundle.generate(written)
stopAtProblems(output)
const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []))
const assets = SWAGGER_UI_FILES.map((name) => path.join(SWAGGER_UI, name))

await bundle.write(written)
await bundle.close()
const licenses = licensesOf([...modules, ...assets, ...(await writePages(folder))])
mkdirSync(path.join(folder, 'swagger-ui'))
for (const asset of assets)
  copyFileSync(asset, path.join(folder, 'swagger-ui', path.basename(asset)))
writeFileSync(path.join(folder, 'licenses.txt'), licenses)

/** Exits if a module would not work in the bundle. */
function stopAtProblems(generated) {
  const problems = problemsOf(generated, {
    root: ROOT,
    isOutside: (name) => OUTSIDE.includes(name),
    mayUseMeta: (file) => MAY_USE_META.has(path.posix.relative('src', file)),
  }).filter((problem) => !HARMLESS.has(problem))
  if (problems.length === 0) return
  for (const problem of problems)
    console.error(`onnxd: ${problem}, which is not the same in the bundle.`)
  console.error('onnxd: replace the module, or leave its package outside: OUTSIDE in bundle.mjs.')
  process.exit(1)
}

/** The licences of the packages of the files, each once. */
function licensesOf(files) {
  const folders = files.map((file) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0])
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
