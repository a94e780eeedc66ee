/** Intermediate responses of TorchServe's own worker, with a handler written for it. */
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { workerPids } from '../helpers/observe.ts'
import { needsPython, pythonArchive, pythonWorkers, useTorchStub } from '../helpers/python-model.ts'
import { serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const SERVICE = `
import os
import time
from ts.handler_utils.utils import send_intermediate_predict_response


def handle(data, context):
    if data is None:
        return None
    texts = [str(bytes(item.get("body", b"")).decode("utf-8")) for item in data]
    for number in range(1, 4):
        parts = ["%s %d\\n" % (text, number) for text in texts]
        send_intermediate_predict_response(parts, context.request_ids, "Intermediate Prediction success", 200, context)
        if texts[0].startswith("fail"):
            raise ValueError("in the middle")
        if texts[0].startswith("gate:") and number == 1:
            while not os.path.exists(texts[0][5:]):
                time.sleep(0.01)
        if texts[0] == "pause":
            time.sleep(0.4)
    if texts[0] == "forever":
        while True:
            send_intermediate_predict_response(["x" * 60000], context.request_ids, "", 200, context)
    return ["end"] * len(texts)
`

async function start(t: TestContext, settings: object = {}): Promise<TestServer> {
  useTorchStub(t)
  const folder = temporaryFolder(t)
  const archive = pythonArchive(folder, { flavor: 'torchserve', name: 'm', service: SERVICE })
  return serve(t, [archive], {
    allowHandlers: true,
    python: pythonWorkers,
    workerEnvironment: ['PYTHONPATH'],
    workers: 1,
    ...settings,
  })
}

const ask = (server: TestServer, body: string, headers = {}) =>
  server.fetch('/predictions/m', {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/octet-stream', ...headers },
  })

test(
  'intermediate responses are chunks, and events for who asks',
  { skip: needsPython },
  async (t) => {
    const server = await start(t)
    const gate = path.join(temporaryFolder(t), 'gate')
    const response = await ask(server, `gate:${gate}`)
    const reader = response.body?.getReader()
    const first = await reader?.read()
    assert.equal(Buffer.from(first?.value ?? []).toString(), `gate:${gate} 1\n`)
    assert.ok(!existsSync(gate))
    writeFileSync(gate, '')
    while (!((await reader?.read())?.done ?? true));
    assert.equal(response.headers.get('ts_stream_next'), null)

    assert.equal(await (await ask(server, 'a')).text(), 'a 1\na 2\na 3\nend')
    const events = await ask(server, 'a', { accept: 'text/event-stream' })
    assert.equal(events.headers.get('content-type'), 'text/event-stream')
    assert.match(await events.text(), /^data: a 1\ndata: \n\n.*data: end\n\nevent: end\n/s)
    const failed = await ask(server, 'fail', { accept: 'text/event-stream' })
    assert.match(await failed.text(), /^data: fail 1\n.*event: error\ndata: .*Prediction failed/s)
    await assert.rejects((await ask(server, 'fail')).text())
  },
)

test(
  'a client that leaves a stream without an end costs the worker',
  { skip: needsPython },
  async (t) => {
    const server = await start(t, { responseTimeout: 1 })
    assert.match(
      await (await ask(server, 'pause')).text(),
      /end$/,
      'the time counts between chunks',
    )
    const [pid] = await workerPids(server, 'm')
    const controller = new AbortController()
    const { signal } = controller
    const body = Buffer.from('forever')
    const response = await server.fetch('/predictions/m', { method: 'POST', body, signal })
    await response.body?.getReader().read()
    controller.abort()
    await until(async () => (await workerPids(server, 'm'))[0] !== pid)
    await until(async () => (await ask(server, 'a')).status === 200)
  },
)
