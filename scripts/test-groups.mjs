/**
 * Test files that share a process, and the order in which the processes start. Node's test runner
 * starts a process for each file and sorts the files, so each process gets a generated file, which
 * imports test files and has the right place in the order.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * Unit tests that share a process: they start no server and no worker, do not measure memory, and
 * leave nothing changed in their process. To start a process and to load the modules takes longer
 * than most of these tests.
 */
export const UNIT_TESTS = [
  [
    'client/measurement',
    'client/replay/rewrite',
    'command/cpu-budget',
    'command/ready-message',
    'command/terminal/',
    'comparison/',
    'config/import/',
    'test/errors',
    'test/request-json',
    'helpers/same',
    'pages/',
    'project/compatibility',
    'project/fault-plan',
    'shards/plan',
    'shards/shared-limits',
    'shards/totals/',
    'wire/random-frames',
    'wire/vectors',
    'wire/wire',
  ],
  [
    'deep-check/advice',
    'deep-check/speed',
    'deep-check/example-requests',
    'metrics/handler-metrics',
    'models/model-calls/',
    'models/pipelines/',
    'residency/eviction-policy',
    'residency/model-memory',
    'residency/thrash-detector',
    'rollout/confidence',
    'rollout/metrics',
    'rollout/reporter',
    'rollout/rollout.test',
    'rollout/simulation',
    'rollout/step-watch',
    'models/routing/',
    'models/shadow/',
    'sources/config-pbtxt/',
    'sources/model-name',
    'state/saved-',
    'models/triton/',
    'console/live-process',
    'grpc/messages/',
    'grpc/transport/message-stream',
    'grpc/transport/status',
    'access/token-list',
    'connections/connection-limits',
    'http/json-object',
    'routes/inference/',
    'routes/other-processes',
    'routes/recorded-requests/',
  ],
  [
    'onnx/classifiers',
    'onnx/conformance',
    'onnx/examples',
    'onnx/exported-models',
    'onnx/model.test',
    'onnx/operators',
    'onnx/shared-models',
    'onnx/batching/trial',
    'onnx/graph/',
    'onnx/json/',
    'onnx/kserve-v1/',
    'onnx/labels/',
    'onnx/oip/',
    'onnx/predictions/',
    'onnx/raw/',
    'onnx/tables/bodies',
    'onnx/tables/responses',
    'onnx/tables/same-tensors',
    'onnx/tensors/',
  ],
  ['onnx/image/', 'onnx/vision/'],
  ['tasks/encoder', 'tasks/text-', 'tasks/tokenizer'],
]

/** A process with more files could exceed the time limit of a file on a busy machine. */
const MOST_FILES = 12

/** The longest files. They start first, so that none of them runs alone at the end. */
export const LONGEST = ['project/docs', 'project/package', 'faults/slow-clients']

/**
 * Files that wait for timeouts and restarts more than they compute. In a row they would leave the
 * processors idle, so they are spread between the others.
 */
export const WAITING = ['faults/']

/**
 * @param files Compiled test files.
 * @param plan `together` has lists of parts of paths: the files of a list run in one process, one
 * after the other. `first` has parts of paths: these files start first, in this order. `spread` has
 * parts of paths: these files are spread evenly between those that follow.
 * @returns `files` for the test runner; `filesOf`, which returns the test files of one of them; and
 * `remove`, for the end.
 */
export function groupTests(files, { together = [], first = [], spread = [] }) {
  const groups = groupsOf(files, together)
  const ordered = inOrder(groups, first, spread)
  if (ordered.every(([file], index) => groups.length === files.length && file === files[index]))
    return { files, filesOf: (file) => [file], remove: () => {} }
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-tests-'))
  const digits = String(ordered.length).length
  const entries = ordered.map((group, index) => [
    write(folder, String(index).padStart(digits, '0'), group),
    group,
  ])
  const groupOf = new Map(entries)
  return {
    files: entries.map(([entry]) => entry),
    filesOf: (file) => groupOf.get(path.resolve(file)) ?? [file],
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function groupsOf(files, together) {
  // A file that no list has is a group of its own.
  const groups = new Map()
  for (const file of files) {
    const list = together.find((parts) => has(file, parts)) ?? file
    groups.set(list, [...(groups.get(list) ?? []), file])
  }
  return [...groups.values()].flatMap((group) => {
    const size = Math.ceil(group.length / Math.ceil(group.length / MOST_FILES))
    return Array.from({ length: Math.ceil(group.length / size) }, (_, index) =>
      group.slice(index * size, (index + 1) * size),
    )
  })
}

function inOrder(groups, first, spread) {
  const placeOf = ([file]) => first.findIndex((part) => has(file, [part]))
  const isSpread = ([file]) => has(file, spread)
  const rest = groups.filter((group) => placeOf(group) === -1)
  const evenly = [rest.filter(isSpread), rest.filter((group) => !isSpread(group))].flatMap((part) =>
    part.map((group, index) => ({ group, at: (index + 0.5) / part.length })),
  )
  return [
    ...groups
      .filter((group) => placeOf(group) !== -1)
      .toSorted((one, other) => placeOf(one) - placeOf(other)),
    ...evenly.toSorted((one, other) => one.at - other.at).map(({ group }) => group),
  ]
}

function has(file, parts) {
  return parts.some((part) => file.split(path.sep).join('/').includes(part))
}

/** Writes the file that imports a group. Its name says which files. */
function write(folder, number, group) {
  const [file] = group
  const name = path.relative(path.join('build', 'test'), file).split(path.sep).join('-')
  const others = group.length > 1 ? `and-${group.length - 1}-others.` : ''
  const entry = path.join(folder, `${number}-${others}${path.basename(name, '.js')}.mjs`)
  const imports = group.map((each) => `import ${JSON.stringify(pathToFileURL(each).href)}\n`)
  writeFileSync(entry, imports.join(''))
  return entry
}
