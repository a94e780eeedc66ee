/** The text that the command prints when the server is ready. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { readyText } from '../../src/command/ready-message.ts'
import { temporaryFolder } from '../helpers/server.ts'

type ReadyParameters = Parameters<typeof readyText>
const config = { host: '127.0.0.1', managementHost: '127.0.0.1' }
const model = (name: string) => ({
  name,
  version: '1.0',
  prepared: { modelPath: `/nowhere/${name}.onnx` },
  metadata: undefined,
  status: {},
})

async function textFor(loaded: readonly object[]): Promise<string> {
  const access = { tokens: undefined, tls: undefined }
  const server = { inferenceUrl: 'http://i', managementUrl: 'http://m', loaded, access }
  return readyText(server as unknown as ReadyParameters[0], config as ReadyParameters[1])
}

test('the URLs of the models stand in one column', async () => {
  const text = await textFor([model('iris'), model('digits')])
  assert.match(text, /\n {2}iris 1\.0 {5}POST \S+iris\n {2}digits 1\.0 {3}POST \S+digits\n/)
})

test('a server without models says how to add one', async () => {
  assert.match(await textFor([]), /No model is loaded yet\. .*: onnxd load model\.onnx\n/)
})

const UNKNOWN =
  /^The requests of words are known to its handler only\. A file in its folder samples \(/m

test('a handler that describes no inputs gets no empty request, but one line that says why', async () => {
  for (const metadata of [undefined, { inputs: ['word'], size: 3 }, 'text', { inputs: [] }]) {
    const text = await textFor([{ ...model('words'), metadata }])
    assert.match(text, UNKNOWN)
    assert.doesNotMatch(text, /curl|Try it/)
  }
})

test('inputs that a handler describes are used, and a model without inputs gets an empty request', async () => {
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }]
  const described = await textFor([{ ...model('words'), metadata: { inputs } }])
  assert.match(described, /^ {2}curl .* -d '\{"x":\[\[0,0\]\]\}' http:\/\/i\/predictions\/words$/m)
  const metadata = {
    handler: 'onnx',
    runtime: { name: 'onnxruntime', version: '1' },
    inputs: [],
    outputs: [],
  }
  assert.match(
    await textFor([{ ...model('words'), metadata }]),
    /^ {2}curl -X POST http:\/\/i\/predictions\/words$/m,
  )
})

test('the command is for the first model whose requests are known', async () => {
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [1] }]
  const known = { ...model('other'), metadata: { inputs } }
  const text = await textFor([model('words'), known])
  assert.match(text, /^ {2}curl .*predictions\/other$/m)
  assert.doesNotMatch(text, /curl .*predictions\/words/)
})

test('a sample in the folder of a model is sent with its content type', async (t) => {
  const cases: [file: string, command: RegExp][] = [
    ['one.json', /curl -H 'Content-Type: application\/json' -d @\S+one\.json /],
    ['one.txt', /curl -H 'Content-Type: text\/plain' --data-binary @\S+one\.txt /],
    ['one.csv', /curl -H 'Content-Type: text\/csv' --data-binary @\S+one\.csv /],
    ['one.PNG', /curl -F image=@\S+one\.PNG /],
  ]
  for (const [file, command] of cases) {
    const modelPath = path.join(temporaryFolder(t), 'words')
    mkdirSync(path.join(modelPath, 'samples'), { recursive: true })
    writeFileSync(path.join(modelPath, 'samples', file), '1')
    assert.match(await textFor([{ ...model('words'), prepared: { modelPath } }]), command)
  }
})
