/**
 * The manifests of `deploy/kubernetes` and the chart of `deploy/helm` against the schemas of
 * Kubernetes, KServe, KEDA and the Prometheus Operator.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { parseConfig } from '../../src/config/parse.ts'
import { needsRegistry, npm } from '../helpers/npm.ts'
import { temporaryFolder } from '../helpers/server.ts'

const FOLDER = path.join('deploy', 'kubernetes')
const CHART = path.join('deploy', 'helm', 'onnxd')
const KUBERNETES_VERSION = '1.33.0'
const SCHEMAS = ['@kubernetes-models/keda@2.0.0', '@kubernetes-models/prometheus-operator@6.0.0']
/** Values of a chart that render everything. */
const ALL_VALUES = [
  'autoscaling.enabled=true',
  'podMonitor.enabled=true',
  'settings.load=on-demand',
  'settings.batch-size=8',
  'settings.access-log=false',
  'models.subPath=store',
  'stopDelay=20',
  'imagePullSecrets[0].name=registry',
]

const validator = process.env['ONNXD_INTEROP_KUBERNETES']
const kserve = process.env['ONNXD_INTEROP_KSERVE']
const helm = process.env['ONNXD_INTEROP_HELM'] ?? ''
const needsValidator =
  validator === undefined && 'needs the Python package kubernetes-validate; npm run test:interop'
const needsHelm = helm === '' && 'needs helm; npm run test:interop'

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: unknown
}

test('Kubernetes accepts the manifests', { skip: needsValidator }, () => {
  assert.deepEqual(validate([path.join(FOLDER, 'onnxd.yaml'), path.join(FOLDER, 'hpa.yaml')]), [
    'deployment/onnxd',
    'service/onnxd',
    'poddisruptionbudget/onnxd',
    'networkpolicy/onnxd',
    'horizontalpodautoscaler/onnxd',
  ])
})

test('the validator finds a wrong key', { skip: needsValidator }, (t) => {
  const text = readFileSync(path.join(FOLDER, 'onnxd.yaml'), 'utf8')
  const wrong = path.join(temporaryFolder(t), 'wrong.yaml')
  writeFileSync(wrong, text.replace('failureThreshold: 120', 'failures: 120'))
  assert.throws(() => validate([wrong]), /failures/)
})

test(
  'KServe accepts its runtime and the example of a model',
  { skip: kserve === undefined && 'needs the Python package kserve; run npm run test:interop' },
  () => {
    const documents = manifestsOf(readFileSync(path.join(FOLDER, 'kserve.yaml'), 'utf8'))
    assert.deepEqual(
      documents.map(({ kind }) => kind),
      ['ClusterServingRuntime', 'InferenceService'],
    )
    const python = path.join(kserve ?? '', 'bin', 'python')
    const check = (input: unknown): unknown => {
      const { stdout, stderr, status } = spawnSync(python, ['test/interop/kserve_manifest.py'], {
        input: JSON.stringify(input),
        encoding: 'utf8',
      })
      assert.equal(status, 0, stderr)
      return JSON.parse(stdout)
    }
    assert.deepEqual(check(documents), [])
    const [runtime] = documents
    const wrong = { ...runtime, spec: { ...(runtime?.spec as object), protocols: ['v2'] } }
    assert.deepEqual(check([wrong]), ['ClusterServingRuntime.spec has the unknown key protocols'])
  },
)

test('KEDA and the Prometheus Operator accept their manifests', async (t) => {
  const folder = temporaryFolder(t)
  const skip = await needsRegistry(folder, '@kubernetes-models/keda')
  if (skip !== false) {
    t.skip(skip)
    return
  }
  const installed = await npm(folder, ['install', '--ignore-scripts', '--prefix', '.', ...SCHEMAS])
  assert.equal(installed.status, 0, installed.output)
  const own = ['keda', 'podmonitor'].flatMap((name) =>
    manifestsOf(readFileSync(path.join(FOLDER, `${name}.yaml`), 'utf8')),
  )
  const rendered = needsHelm === false ? manifestsOf(render('onnxd', ALL_VALUES)) : []
  const manifests = [...own, ...rendered].filter(({ kind }) => kind in KINDS)
  assert.equal(manifests.length, needsHelm === false ? 4 : 2)
  for (const manifest of manifests) assert.equal(await problemOf(folder, manifest), '')
  const [scaled] = manifests
  assert.match(await problemOf(folder, { ...scaled, spec: { triggers: [] } }), /scaleTargetRef/)
})

test(
  'Helm renders the chart without a complaint, and Kubernetes accepts the result',
  { skip: needsHelm || needsValidator },
  (t) => {
    const linted = spawnSync(helm, ['lint', '--strict', CHART], { encoding: 'utf8' })
    assert.equal(linted.status, 0, linted.stdout + linted.stderr)
    for (const values of [[], ALL_VALUES, ['models.claim=', 'management.fromNamespace=']]) {
      const file = path.join(temporaryFolder(t), 'rendered.yaml')
      writeFileSync(file, withoutOthers(render('flowers', values)))
      assert.deepEqual(validate([file]).toSorted(), [
        'deployment/flowers-onnxd',
        'networkpolicy/flowers-onnxd',
        'poddisruptionbudget/flowers-onnxd',
        'service/flowers-onnxd',
      ])
    }
  },
)

test('the chart passes settings on and gives the pod time to stop', { skip: needsHelm }, () => {
  const pod = podOf(render('onnxd', ALL_VALUES))
  const [command, ...args] = pod.containers[0]?.args ?? []
  assert.equal(command, 'serve')
  const { config } = parseConfig(args, {})
  assert.deepEqual(
    [config.load, config.batchSize, config.accessLog, config.stopDelay, config.modelStore],
    ['on-demand', 8, false, 20, '/models'],
  )
  const { terminationGracePeriodSeconds: grace } = pod
  assert.ok(grace > config.stopDelay + config.drainTimeout, `${grace} s`)
  const refused = spawnSync(helm, ['template', CHART, '--set', 'replica=3'], { encoding: 'utf8' })
  assert.match(refused.stderr, /replica/)
})

test('the chart has the pod of the plain manifest', { skip: needsHelm }, () => {
  const expected = podOf(readFileSync(path.join(FOLDER, 'onnxd.yaml'), 'utf8'))
  const actual = podOf(render('onnxd', []))
  const [container] = actual.containers
  assert.deepEqual(
    { ...container, imagePullPolicy: undefined },
    { ...expected.containers[0], imagePullPolicy: undefined },
  )
  assert.deepEqual(Object.keys(actual).toSorted(), Object.keys(expected).toSorted())
})

/** The kinds that are no part of Kubernetes, with the module that has their schema. */
const KINDS: Readonly<Record<string, string>> = {
  ScaledObject: '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject',
  PodMonitor: '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor',
}

/** Returns what the schema of a manifest's kind says against it; empty if it is valid. */
async function problemOf(folder: string, manifest: Partial<Manifest>): Promise<string> {
  const { kind = '' } = manifest
  const script = `import { ${kind} } from '${KINDS[kind]}'
    try { new ${kind}(${JSON.stringify(manifest)}).validate() } catch (error) { console.log(error.message) }`
  const file = path.join(folder, `${kind}.mjs`)
  writeFileSync(file, script)
  const { stdout, stderr, status } = spawnSync(process.execPath, [file], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return stdout.trim()
}

/** Kinds and names of the manifests in files. Fails if one is not valid. */
function validate(files: readonly string[]): string[] {
  const program = path.join(validator ?? '', 'bin', 'kubernetes-validate')
  const { status, stdout, stderr } = spawnSync(program, ['--strict', ...files], {
    encoding: 'utf8',
  })
  assert.equal(status, 0, stdout + stderr)
  const names = [...`${stdout}${stderr}`.matchAll(/passed for resource (\S+)/g)]
  return names.map(([, name = '']) => name)
}

function render(release: string, values: readonly string[]): string {
  const options = [
    '--kube-version',
    KUBERNETES_VERSION,
    ...values.flatMap((value) => ['--set', value]),
  ]
  const { status, stdout, stderr } = spawnSync(helm, ['template', release, CHART, ...options], {
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  return stdout
}

function manifestsOf(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    assert.deepEqual(document.errors, [])
    return document.toJS() as Manifest
  })
}

interface Pod {
  readonly terminationGracePeriodSeconds: number
  readonly containers: readonly { args: string[] }[]
}

/** The pod of the deployment among manifests. */
function podOf(text: string): Pod {
  const found = manifestsOf(text).find(({ kind }) => kind === 'Deployment')
  assert.ok(found)
  return (found.spec as { template: { spec: Pod } }).template.spec
}

function withoutOthers(text: string): string {
  const known = manifestsOf(text).filter(({ kind }) => !(kind in KINDS))
  return known.map((manifest) => JSON.stringify(manifest)).join('\n---\n')
}
