/**
 * `npm run test:matrix [-- 22 24]`: runs every test on other versions of Node, which npm fetches as the
 * packages `node-<platform>-<arch>`. (The package `node` gets its program in an install script, which
 * is off here, and would test the present Node without a word; so each run checks its version, too.)
 */
import { spawnSync } from 'node:child_process'
import process from 'node:process'

const VERSIONS = ['22', '24']
const PLATFORM = process.platform === 'win32' ? 'win' : process.platform

const wanted = process.argv.slice(2)
const reachable = isRegistryReachable()
if (reachable) for (const version of wanted.length > 0 ? wanted : VERSIONS) runTests(version)
else
  console.log('onnxd: skipped the tests on other Node versions: the npm registry does not answer.')

function runTests(version) {
  console.log(`onnxd: fetching Node ${version}, then every test on it`)
  const fetched = `${nodePackage()}@${version}`
  const status = run('npx', ['-y', '-p', fetched, '-c', `npm test -- --node=${version}`])
  if (status !== 0) process.exit(status)
}

function isRegistryReachable() {
  const options = ['--fetch-retries=0', '--fetch-timeout=20000', '--loglevel=silent']
  return run('npm', ['view', nodePackage(), 'name', ...options], 'ignore') === 0
}

function nodePackage() {
  return `node-${PLATFORM}-${process.arch}`
}

function run(command, args, stdio = 'inherit') {
  // On Windows npm and npx are batch files, which only a shell can start.
  const shell = process.platform === 'win32'
  const quoted = shell ? args.map((arg) => (arg.includes(' ') ? `"${arg}"` : arg)) : args
  return spawnSync(command, quoted, { stdio: ['ignore', stdio, 'inherit'], shell }).status ?? 1
}
