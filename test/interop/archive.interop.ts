/** The servers of MMS and TorchServe load archives that `onnxd archive` has written. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { runOnnxd } from '../helpers/command-line.ts'
import { needsMms, startMms } from '../helpers/mms-server.ts'
import { pythonWorkers, useTorchStub } from '../helpers/python-model.ts'
import { json, temporaryFolder } from '../helpers/server.ts'
import { startTorchServe } from '../helpers/torchserve-server.ts'
import { LAUNCHER } from '../helpers/worker-client.ts'

/** Reads a file of the archive, so that the test sees that it was unpacked. */
const SERVICE = `
import os

def handle(data, context):
    if data is None:
        return None
    folder = context.system_properties.get("model_dir")
    with open(os.path.join(folder, "lib", "words.txt")) as words:
        text = words.read()
    return [{"words": text, "name": context.manifest["model"]["modelName"]} for _ in data]
`

async function archive(store: string, given: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await runOnnxd(['archive', given, '-o', store, ...args])
  assert.equal(code, 0, stderr)
}

function pythonFolder(parent: string): string {
  const folder = path.join(parent, 'reader')
  mkdirSync(path.join(folder, 'lib'), { recursive: true })
  writeFileSync(path.join(folder, 'service.py'), SERVICE)
  writeFileSync(path.join(folder, 'lib', 'words.txt'), 'to be or not to be\n'.repeat(5000))
  return folder
}

interface Server {
  readonly inference: string
  readonly management: string
  output(): string
}

async function register(server: Server, query: string): Promise<void> {
  const url = `${server.management}/models?${query}&initial_workers=1&synchronous=true`
  const response = await fetch(url, { method: 'POST' })
  const text = await response.text()
  assert.equal(response.status, 200, `${text}\n${server.output().slice(-3000)}`)
}

async function ask(server: Server, route: string, body: string, type: string): Promise<unknown> {
  const url = server.inference + route
  const headers = { 'content-type': type }
  const response = await fetch(url, { method: 'POST', body, headers })
  assert.equal(response.status, 200, server.output().slice(-3000))
  return json(response)
}

const EXPECTED = { words: 'to be or not to be\n'.repeat(5000), name: 'reader' }

test('MMS serves archives with a Python handler', { skip: needsMms }, async (t) => {
  const folder = temporaryFolder(t)
  const mms = await startMms(t, folder, path.join(pythonWorkers, 'bin', 'python'))
  for (const [name, ...flags] of [['reader'], ['stored', '--store']]) {
    const args = ['--handler', 'service.py:handle', '--name', name ?? '', ...flags]
    await archive(mms.store, pythonFolder(folder), ...args)
    await register(mms, `url=${name}.mar`)
    const answer = await ask(mms, `/predictions/${name}`, 'x', 'text/plain')
    assert.deepEqual(answer, { ...EXPECTED, name })
  }
})

test("MMS serves archives of ONNX models with onnxd's worker", { skip: needsMms }, async (t) => {
  const mms = await startMms(t, temporaryFolder(t), LAUNCHER)
  await archive(mms.store, 'examples/iris')
  await register(mms, 'url=iris.mar')
  const body = '{"features":[[5.8,2.7,5.1,1.9]]}'
  const answer = await ask(mms, '/predictions/iris', body, 'application/json')
  assert.deepEqual((answer as { label: string[] }).label, ['virginica'])
  const words = path.resolve('examples/handlers/words')
  await archive(mms.store, words, '--runtime', 'python')
  await register(mms, 'url=words.mar')
  assert.deepEqual(await ask(mms, '/predictions/words', 'to be', 'text/plain'), { words: 2 })
})

test('TorchServe serves archives with a Python handler', { skip: needsMms }, async (t) => {
  useTorchStub(t)
  const folder = temporaryFolder(t)
  const server = await startTorchServe(t, folder)
  await archive(server.store, pythonFolder(folder), '--handler', 'service.py:handle', '-v', '2.0')
  await register(server, 'url=reader.mar')
  assert.deepEqual(await ask(server, '/predictions/reader/2.0', 'x', 'text/plain'), EXPECTED)
})
