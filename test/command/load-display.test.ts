/** What a person sees while models load, in a real terminal. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { LoadDisplay } from '../../src/command/load-display.ts'
import { Output } from '../../src/command/output.ts'
import type { RunningWork } from '../../src/server.ts'
import { hasTerminal, runInTerminal, runOnnxd, screen } from '../helpers/command-line.ts'
import { until } from '../helpers/server.ts'

const terminal = { isTerminal: true, columns: 60, hasColors: false, canRedraw: true }
const inTerminal = hasTerminal ? {} : { skip: 'python3 with the module pty is missing' }

/** An output that keeps its text. */
class Recorder extends Output {
  text = ''
  constructor() {
    super(2, () => '')
  }
  override write(text: string): void {
    this.text += text
  }
  override print(text: string): void {
    this.text += text
  }
}

test('each load and transfer has a line, log lines stand above them, and the end removes them', async () => {
  const output = new Recorder()
  const display = new LoadDisplay(output, terminal)
  const modelPath = path.resolve('examples/iris/model.onnx')
  const work: RunningWork = {
    loads: [
      { name: 'iris', version: '1.0', modelPath, elapsedMs: 1500, phase: 'workers' },
      { name: 'old', version: undefined, modelPath: undefined, elapsedMs: 1500, phase: 'files' },
    ],
    transfers: [],
  }
  display.watch(() => work)
  await until(() => output.text.includes('loading iris 1.0, 488 B, 1.'))
  assert.match(output.text, /^loading iris 1\.0, 1\.\d s\nreading the files of old, 1\.\d s\n/)
  assert.deepEqual(display.loading, ['iris', 'old'])
  display.write('{"msg":"log"}\n')
  assert.ok(output.text.endsWith('\u001b[2A\r\u001b[J{"msg":"log"}\n'))
  await until(() => output.text.endsWith(' s\n'))
  display.close()
  assert.ok(output.text.endsWith('\u001b[2A\r\u001b[J'))
})

test('without a terminal nothing is drawn', async () => {
  const output = new Recorder()
  const display = new LoadDisplay(output, { ...terminal, canRedraw: false })
  const load = {
    name: 'x',
    version: '1',
    modelPath: undefined,
    elapsedMs: 9000,
    phase: 'files',
  } as const
  display.watch(() => ({ loads: [load], transfers: [] }))
  await delay(300)
  display.close()
  assert.equal(output.text, '')
})

test('colours appear in a terminal, and not with NO_COLOR or in a pipe', inTerminal, async () => {
  const args = ['check', 'examples/iris', '--no-load']
  const [colours, plain, pipe] = await Promise.all([
    runInTerminal(args, 80),
    runInTerminal(args, 80, { environment: { NO_COLOR: '1' } }),
    runOnnxd(args),
  ])
  assert.ok(colours.output.includes('\u001b[32m✓'), colours.output)
  const expected = '✓ examples/iris\n    the files are complete; the model was not loaded\n'
  assert.equal(screen(plain.output), expected)
  assert.equal(pipe.stdout, expected)
})

test('a dumb terminal gets plain lines only', inTerminal, async () => {
  const environment = { TERM: 'dumb' }
  const { output } = await runInTerminal(['check', 'examples/iris'], 80, { environment })
  assert.match(output, /served as iris 1\.0/)
  for (const moves of ['\u001b', '\r']) assert.ok(!output.includes(moves), output)
})

test('lines fit into a terminal of 80 and of 140 columns', inTerminal, async () => {
  for (const columns of [80, 140]) {
    const environment = { NO_COLOR: '1' }
    const all = await Promise.all(
      [['--help'], ['help', 'serve'], ['help', 'bench'], ['doctor']].map((args) =>
        runInTerminal(args, columns, { environment }),
      ),
    )
    for (const line of all.flatMap(({ output }) => screen(output).split('\n'))) {
      // A URL or a command of an example is never broken.
      if (!/^ {2}onnxd |https?:/.test(line)) assert.ok(line.length <= columns, line)
    }
  }
})
