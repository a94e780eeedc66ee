/**
 * `npm run test:matrix`: runs the tests on other versions of Node.
 *
 *     npm run test:matrix                   on Node 22 and 24
 *     npm run test:matrix -- 22             on Node 22
 *     npm run test:matrix -- --divide       each file of DIVIDED on one of the versions only, and
 *                                           those of OWN_RULES on none
 *
 * npm fetches them as the packages `node-<platform>-<arch>`. The package `node` is not used: it
 * gets its program in an install script, which is disabled here, so the current Node would be
 * tested without a warning. For this reason each run also checks its version.
 *
 * The versions run in parallel, and the output of each is printed as one piece at its end.
 */
import { spawn, spawnSync } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { ensure } from './ensure.mjs'
import { findTests } from './test-runner.mjs'

const VERSIONS = ['22', '24']
/**
 * Files whose results do not depend on the version of Node: fuzzing of the same code, checks of
 * documents, and computations. They are run once, by `npm test`.
 */
const ONCE = [
  'comparison/',
  'fuzz/',
  'openapi/',
  'project/docs',
  'project/layers',
  'project/bundle',
  'command/captures',
  'config/',
  'model-folder/',
  'onnx/batching/',
  'onnx/conformance',
  'onnx/graph/',
  'onnx/image/',
  'onnx/json/',
  'onnx/oip/',
  'onnx/predictions/',
  'onnx/tables/',
  'onnx/tensors/',
  'onnx/vision/',
  'process/tasks/',
  'models/metrics/',
  'models/residency/',
  'models/rollout/',
  'models/routing/',
  'models/scheduling/',
  'models/shadow/',
  'models/triton/',
  'e2e/classifiers',
  'e2e/compatibility',
  'e2e/documented-curls',
  'e2e/oip-replay',
  'e2e/peer-api',
  'e2e/pipeline-results',
  'e2e/pipeline-types',
  'e2e/rollout',
  'e2e/shadow',
  'e2e/table',
  'e2e/text-',
  'e2e/tei',
  'e2e/triton-config',
  'e2e/vision',
  'e2e/wrong-inputs',
]
/**
 * With `--divide`, these files run on neither version: they test rules of onnxd, such as names,
 * parameters, settings, schedules and the choice of a model. `npm test` runs them on the version
 * that runs this script.
 */
const OWN_RULES = [
  'client/commands',
  'client/logs',
  'client/profile',
  'client/replay/',
  'offline/check-deep',
  'offline/models',
  'offline/pipelines',
  'e2e/access-tokens',
  'e2e/batching',
  'e2e/empty-inputs',
  'e2e/images',
  'e2e/load-failures',
  'e2e/management',
  'e2e/memory',
  'e2e/metrics',
  'e2e/migration',
  'e2e/model',
  'e2e/on-demand',
  'e2e/overload',
  'e2e/parameters',
  'e2e/pipeline',
  'e2e/priorities',
  'e2e/refusals',
  'e2e/registration',
  'e2e/routing',
  'e2e/sagemaker',
  'e2e/settings',
  'e2e/store-entries',
  'e2e/tensors',
  'e2e/versions',
  'e2e/weight-cache',
  'faults/archives',
  'faults/hostile-models',
  'faults/logs-and-metrics',
  'faults/management-races',
  'faults/registrations',
  'faults/store-names',
  'faults/tensors-and-json',
  'faults/worker-figures',
  'faults/worker-load',
  'models/deep-check/',
  'management/parameters',
]
/**
 * With `--divide`, each of these files runs on one of the versions. Most of them test behaviour
 * that depends on onnxd more than on Node. The worker side of processes, sockets and streams is
 * tested on every version.
 */
const DIVIDED = ['command/', 'e2e/', 'faults/', 'models/', 'pages/', 'project/', 'routes/']
const IS_WINDOWS = process.platform === 'win32'
const PLATFORM = IS_WINDOWS ? 'win' : process.platform

const given = process.argv.slice(2)
const wanted = given.filter((arg) => arg !== '--divide')
const divides = given.includes('--divide')
if (isRegistryReachable()) {
  // Once, so that parallel runs do not do it at the same time.
  ensure('dist', 'build')
  const versions = wanted.length > 0 ? wanted : VERSIONS
  const statuses = await Promise.all(
    versions.map((version, index) => runTests(version, filesFor(index, versions.length))),
  )
  process.exitCode = statuses.find((status) => status !== 0) ?? 0
} else {
  console.log('onnxd: skipped the tests on other Node versions: the npm registry does not answer.')
}

/** The test files for the version at an index. */
function filesFor(index, count) {
  const has = (file, parts) => parts.some((part) => file.split(path.sep).join('/').includes(part))
  const files = findTests(path.join('build', 'test'), '.test.js', []).filter(
    (file) => !has(file, ONCE),
  )
  if (!divides) return files
  const others = files.filter((file) => !has(file, OWN_RULES))
  const divided = others.filter((file) => has(file, DIVIDED))
  return others.filter((file) => {
    const place = divided.indexOf(file)
    return place === -1 || place % count === index
  })
}

/** Returns the exit status. */
async function runTests(version, files) {
  console.log(`onnxd: fetching Node ${version}, then the tests on it`)
  const fetched = `${nodePackage()}@${version}`
  // Fewer files in parallel, because the versions run in parallel too.
  const command = `npm test -- --node=${version} --files=3 --repeat-failed ${files.join(' ')}`
  const child = spawn('npx', quoted(['-y', '-p', fetched, '-c', command]), {
    stdio: ['ignore', 'pipe', 'pipe'],
    // On Windows npm and npx are batch files and need a shell.
    shell: IS_WINDOWS,
  })
  const output = []
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => output.push(chunk))
  const status = await new Promise((resolve) => {
    child.once('error', () => resolve(1))
    child.once('close', (code) => resolve(code ?? 1))
  })
  process.stdout.write(Buffer.concat(output))
  console.log(`onnxd: the tests on Node ${version} ended with ${status}`)
  return status
}

function isRegistryReachable() {
  const options = ['--fetch-retries=0', '--fetch-timeout=20000', '--loglevel=silent']
  const args = ['view', nodePackage(), 'name', ...options]
  return spawnSync('npm', quoted(args), { stdio: 'ignore', shell: IS_WINDOWS }).status === 0
}

function nodePackage() {
  return `node-${PLATFORM}-${process.arch}`
}

function quoted(args) {
  return IS_WINDOWS ? args.map((arg) => (arg.includes(' ') ? `"${arg}"` : arg)) : args
}
