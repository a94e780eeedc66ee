import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { DEFAULT_WORKER_OPTIONS } from '../../src/worker/process/handler.ts'
import { encodePredict, encodeReply } from '../../src/worker/wire/encode.ts'
import { NEEDS_OPENSSL } from '../helpers/certificates.ts'
import { assertSame } from '../helpers/same.ts'
import { documentedModels } from '../helpers/vision-models.ts'
import { followPage, readCommands } from './documented-commands.ts'

const GENERATOR = fileURLToPath(new URL('../../scripts/docs.js', import.meta.url))
const FOLDERS = [
  '.',
  'docs',
  'examples',
  'examples/digits',
  'examples/iris',
  ...['faces', 'ocr', 'pumps', 'tickets'].map((name) => `examples/handlers/${name}`),
]
const PAGES = FOLDERS.flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.join(folder, name)),
)

test('the pages of settings and errors are what the source says', () => {
  const { status, stderr } = spawnSync(process.execPath, [GENERATOR, '--check'], {
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
})

test('every link of every page leads to a file, and to a heading where it names one', () => {
  for (const page of PAGES) {
    const markdown = readFileSync(page, 'utf8').replaceAll(/^```.*?^```/gms, '')
    for (const [, target = ''] of markdown.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [file = '', heading] = target.split('#')
      const found = file === '' ? page : path.join(path.dirname(page), file)
      assert.ok(existsSync(found), `${page}: ${target}`)
      if (heading !== undefined) assert.ok(headings(found).includes(heading), `${page}: ${target}`)
    }
  }
})

test('every npm script that a page names is there', () => {
  const { scripts }: { scripts: object } = JSON.parse(read('package.json'))
  const named = PAGES.flatMap((page) => [
    ...read(page).matchAll(/\bnpm (?:run ([\w:]+)|(start|test)\b)/g),
  ])
  assert.ok(named.length > 5)
  for (const [command, script = '', alias = script] of named) assert.ok(alias in scripts, command)
})

test('each of the 44 details of MMS and TorchServe is decided', () => {
  const rows = [...read('docs/compatibility.md').matchAll(/^\| (\d+) \| [^|]+ \| ([^|]+) \|/gm)]
  assert.deepEqual(
    rows.map(([, number]) => Number(number)),
    Array.from({ length: 44 }, (_, index) => index + 1),
  )
  for (const [row, , decision = ''] of rows)
    assert.match(decision, /^(same|better|same, better|not yet)$/, row)
})

test('the frames of the protocol page are what the codec writes', () => {
  const frames = [...read('docs/worker-protocol.md').matchAll(/^```hex\n(.*?)^```$/gms)].map(
    ([, block = '']) => bytesOf(block),
  )
  const body = { name: 'body', contentType: 'application/json', value: Buffer.from('[1]') }
  const request = encodePredict([{ id: 'r1', headers: [['accept', '*/*']], parameters: [body] }])
  const prediction = {
    id: 'r1',
    contentType: '',
    status: 200,
    reason: '',
    headers: [],
    body: Buffer.from('[2]'),
  }
  const reply = encodeReply({ code: 200, message: 'Prediction success', predictions: [prediction] })
  assertSame(frames, [Buffer.concat(request), Buffer.concat(reply)])
})

test('the protocol page has every option of the worker', () => {
  const [, table = ''] =
    /^\| `ONNXD_WORKER_OPTIONS` \| default .*\n((?:\|.*\n)+)/m.exec(
      read('docs/worker-protocol.md'),
    ) ?? []
  const listed = [...table.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name)
  assert.deepEqual(listed.toSorted(), Object.keys(DEFAULT_WORKER_OPTIONS).toSorted())
})

test('the handler on the page of handlers is the file it names', () => {
  const [, code] = /^```js\n(.*?)^```$/ms.exec(read('docs/handlers.md')) ?? []
  assertSame(code, read('examples/handlers/words/service.mjs'))
})

test('the commands on the page of handlers print what it says', { timeout: 120_000 }, async (t) => {
  assert.equal(await followPage(t, 'docs/handlers.md'), 5)
})

test('the commands on the page of examples print what it says', { timeout: 120_000 }, async (t) => {
  assert.equal(await followPage(t, 'docs/examples.md'), 5)
})

test('a newcomer gets far with few commands', { timeout: 120_000 }, async (t) => {
  assert.equal(await followPage(t, 'docs/first-steps.md'), 6)
  const lines = readCommands(read('docs/first-steps.md')).flatMap(({ script }) =>
    script.split('\n'),
  )
  assert.ok(lines.length < 15, `${lines.length} commands`)
})

test('the commands on the page of requests print what it says', { timeout: 120_000 }, async (t) => {
  assert.equal(await followPage(t, 'docs/inputs.md'), 10)
})

test('the commands on the page of images print what it says', { timeout: 120_000 }, async (t) => {
  assert.equal(await followPage(t, 'docs/images.md'), 5)
})

test('the commands on the page of tables print what it says', { timeout: 120_000 }, async (t) => {
  assert.equal(await followPage(t, 'docs/tables.md'), 4)
})

test(
  'the commands on the page of the Open Inference Protocol print what it says',
  { timeout: 120_000 },
  async (t) => {
    assert.equal(await followPage(t, 'docs/open-inference-protocol.md'), 4)
  },
)

test('the commands on the page of rollouts print what it says', { timeout: 120_000 }, async (t) => {
  assert.equal(await followPage(t, 'docs/rollouts.md'), 6)
})

test(
  'the commands on the page of recording print what it says',
  { timeout: 120_000 },
  async (t) => {
    assert.equal(await followPage(t, 'docs/record-and-replay.md'), 3)
  },
)

test('the commands on the page of models print what it says', { timeout: 120_000 }, async (t) => {
  assert.equal(await followPage(t, 'docs/models.md'), 9)
})

test(
  'the commands on the page of migrating print what it says',
  { timeout: 120_000 },
  async (t) => {
    assert.equal(await followPage(t, 'docs/migrating.md'), 4)
  },
)

test(
  'the commands on the page of detection print what it says',
  { timeout: 120_000 },
  async (t) => {
    assert.equal(await followPage(t, 'docs/vision.md', documentedModels), 3)
  },
)

test(
  'the commands on the page of access print what it says',
  { timeout: 120_000, skip: NEEDS_OPENSSL },
  async (t) => {
    assert.equal(await followPage(t, 'docs/access.md'), 4)
  },
)

function read(file: string): string {
  return readFileSync(file, 'utf8')
}

/** Anchors of a page's headings, as GitHub makes them. */
function headings(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  )
}

/** The bytes at the start of each line; what follows them is explanation. */
function bytesOf(block: string): Buffer {
  const hex = block.split('\n').map((line) => /^(?:[0-9a-f]{2}\s+)*/.exec(`${line} `)?.[0] ?? '')
  return Buffer.from(hex.join('').replaceAll(/\s/g, ''), 'hex')
}
