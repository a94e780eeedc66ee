/**
 * The captures in `docs/command-line.md` are what the commands print in a terminal of 80 columns.
 * `WRITE_CAPTURES=1` writes them anew.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { hasTerminal, runInTerminal, screen } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const PAGE = 'docs/command-line.md'
const COLUMNS = 80
const CAPTURE = /^```console\n\$ onnxd (.*)\n([^]*?)```$/gm
/** The machine decides these lines. */
const MACHINE =
  /^(?: +≤.*|≤.*|throughput .*|sha256 .*|[✓!✗] (?:processors|memory|\/dev\/shm|open files|processes|init|variable) .*| {6}.*)\n/gm
const isWritten = process.env['WRITE_CAPTURES'] === '1'

test(
  'the captures on the page of the command line are what the commands print',
  hasTerminal ? { timeout: 120_000 } : { skip: 'python3 with the module pty is missing' },
  async (t) => {
    const cwd = prepareModels(t)
    const server = await sharedServer(['examples/iris'])
    const { inferenceUrl, managementUrl } = server
    const environment = {
      NO_COLOR: '1',
      ONNXD_URL: managementUrl,
      ONNXD_INFERENCE_URL: inferenceUrl,
    }
    let page = readFileSync(PAGE, 'utf8')
    const captures = [...page.matchAll(CAPTURE)]
    assert.equal(captures.length, 9)
    const run = async (command: string): Promise<string> => {
      const { output } = await runInTerminal(wordsOf(command), COLUMNS, { environment, cwd })
      return screen(output)
        .replaceAll(inferenceUrl, 'http://127.0.0.1:8080')
        .replaceAll(/process 1 is \S+$/gm, 'process 1 is systemd')
    }
    const outputs = await Promise.all(captures.map(([, command = '']) => run(command)))
    for (const [index, [block, command = '', expected = '']] of captures.entries()) {
      const actual = outputs[index] ?? ''
      for (const line of actual.split('\n')) {
        if (!line.includes('http://')) assert.ok(line.length <= COLUMNS, line)
      }
      const fresh = `\`\`\`console\n$ onnxd ${command}\n${actual}\`\`\``
      if (isWritten) page = page.replace(block, () => fresh)
      else assert.equal(normal(actual), normal(expected), `${command}\n${actual}`)
    }
    if (isWritten) writeFileSync(PAGE, page)
  },
)

/** Two models, one of them broken, and a configuration of TorchServe. */
function prepareModels(t: Cleanup): string {
  const folder = temporaryFolder(t)
  const models = path.join(folder, 'models')
  mkdirSync(models)
  cpSync('examples/iris', path.join(folder, 'iris'), { recursive: true })
  cpSync('examples/iris', path.join(models, 'iris'), { recursive: true })
  writeFileSync(
    path.join(models, 'iris', 'config.pbtxt'),
    'max_batch_size: 16\ndynamic_batching {\n  max_queue_delay_microseconds: 500\n}\nresponse_cache { enable: true }\n',
  )
  writeFileSync(path.join(models, 'flowers.onnx'), '<html>404</html>\n')
  writeFileSync(path.join(models, 'digits.pt'), 'PK')
  writeFileSync(
    path.join(models, 'config.properties'),
    'inference_address=http://0.0.0.0:8080\nnumber_of_netty_threads=4\ndefault_workers_per_model=2\njob_queue_sise=100\n',
  )
  return folder
}

/** Words of a command line as a shell splits them; only single quotes are used. */
function wordsOf(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
}

/** Without numbers, units, versions and the width of columns. */
function normal(text: string): string {
  return text
    .replaceAll(MACHINE, '')
    .replaceAll(/\bp[\d.]+ /g, 'percentile ')
    .replaceAll(/\d+(?: \d{3}\b)*(?:\.\d+)*(?: (?:ms|s|min|h|d|B|KiB|MiB|GiB|TiB)\b)?/g, 'N')
    .replaceAll(/\/\S*tmp\S*/g, 'TMP')
    .replaceAll(/^ +(?=LATENCY)/gm, '')
    .replaceAll(/ +/g, ' ')
}
