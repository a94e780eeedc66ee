/** The text that the command prints when the server is ready. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readyText } from '../../src/command/ready-message.ts'

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
