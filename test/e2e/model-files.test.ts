/**
 * Names of model files: with any letters, endings in capitals, without an ending; and folders that
 * hold none.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedStore, storeServer } from '../helpers/shared-server.ts'
import { TAR_END, tarOf } from '../helpers/tar.ts'
import { zipOf } from '../helpers/zip.ts'

const network = readFileSync(path.resolve('examples/iris/model.onnx'))
const BOUNDARY = 'edge'

const zip = (): Buffer => zipOf([{ name: 'model.onnx', data: network }])

interface Listed {
  readonly models: readonly { readonly modelName: string }[]
  readonly failed?: readonly { readonly modelUrl: string; readonly reason: string }[]
}

async function listed(server: TestServer): Promise<Listed> {
  return (await json(await server.manage('/models'))) as Listed
}

async function namesOf(server: TestServer): Promise<string[]> {
  return (await listed(server)).models.map(({ modelName }) => modelName)
}

/** Sends a file with the parameters of its disposition as they are. */
async function upload(
  server: TestServer,
  disposition: Buffer,
  content: Buffer,
  name?: string,
): Promise<{ status: number; message: string }> {
  const named = name === undefined ? [] : [['model_name', name]]
  const fields = [...named, ['initial_workers', '0']].map(
    ([key, value]) =>
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${key}"\r\n\r\n${value}\r\n`,
  )
  const body = Buffer.concat([
    Buffer.from(fields.join('')),
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="model"; `),
    disposition,
    Buffer.from('\r\nContent-Type: application/octet-stream\r\n\r\n'),
    content,
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`),
  ])
  const headers = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` }
  const answer = await server.manage('/models', { method: 'POST', body, headers })
  const { message = '' } = (await json(answer)) as { message?: string }
  return { status: answer.status, message }
}

test('C9: an upload whose name has other letters keeps its ending, however the name is encoded', async (t) => {
  const server = await storeServer(t)
  const dispositions: [name: string, disposition: Buffer][] = [
    ['utf8', Buffer.from('filename="модель.onnx"')],
    ['japanese', Buffer.from('filename="モデル 1.onnx"')],
    ['accents', Buffer.from('filename="größe.onnx"')],
    ['latin1', Buffer.from('filename="gr\xf6\xdfe.onnx"', 'latin1')],
    ['only-latin1', Buffer.from('filename="\xe9\xe8.onnx"', 'latin1')],
    ['rfc5987', Buffer.from("filename*=UTF-8''%D0%BC%D0%BE%D0%B4.onnx")],
    ['rfc5987-latin1', Buffer.from("filename*=iso-8859-1'en'%A3%20rates.onnx")],
    ['both', Buffer.from('filename="_.onnx"; filename*=UTF-8\'\'%e2%82%ac.onnx')],
    ['percent', Buffer.from('filename="%D0%BC%D0%BE%D0%B4.onnx"')],
    ['emoji', Buffer.from('filename="🌸.ONNX"')],
    ['long', Buffer.from(`filename="${'д'.repeat(300)}.onnx"`)],
  ]
  for (const [name, disposition] of dispositions) {
    const { status, message } = await upload(server, disposition, network, name)
    assert.equal(status, 200, `${name}: ${message}`)
  }
  const archive = await upload(server, Buffer.from('filename="модель.MAR"'), zip(), 'archive')
  assert.equal(archive.status, 200, archive.message)
  assert.deepEqual(
    await namesOf(server),
    [...dispositions.map(([name]) => name), 'archive'].toSorted(),
  )
  // Without a name nothing can be made of such a file name, and the answer says what to do.
  for (const file of ['модель.onnx', 'модель.mar', 'model.onnx']) {
    const content = file.endsWith('.mar') ? zip() : network
    const { status, message } = await upload(server, Buffer.from(`filename="${file}"`), content)
    assert.equal(status, 400, file)
    assert.match(message, /Set the parameter model_name\.$/)
  }
})

test('C9: endings in capitals work in the store, on the command line, by url and as uploads', async (t) => {
  const store = temporaryFolder(t)
  const tar = gzipSync(Buffer.concat([tarOf([{ name: 'model.onnx', data: network }]), TAR_END]))
  const files: [name: string, content: Buffer][] = [
    ['A.ONNX', network],
    ['b.Onnx', network],
    ['c.MAR', zip()],
    ['d.Zip', zip()],
    ['e.MODEL', zip()],
    ['f.TAR.GZ', tar],
    ['g.TGZ', tar],
    ['h/MODEL.ONNX', network],
    ['i/Net.ONNX', network],
    ['j/1/MODEL.ONNX', network],
  ]
  for (const [name, content] of files) {
    mkdirSync(path.dirname(path.join(store, name)), { recursive: true })
    writeFileSync(path.join(store, name), content)
  }
  const names = ['A', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']
  const server = await serve(t, [`argument=${path.join(store, 'A.ONNX')}`], { modelStore: store })
  assert.deepEqual(await namesOf(server), [...names, 'argument'].toSorted())
  for (const name of names) {
    const answer = await server.fetch(`/predictions/${name}`, {
      method: 'POST',
      body: '{"features":[[5.1,3.5,1.4,0.2]]}',
      headers: { 'content-type': 'application/json' },
    })
    assert.equal(answer.status, 200, name)
  }
  for (const [index, [name, content]] of files.slice(0, 7).entries()) {
    const url = `/models?url=${name}&model_name=again${index}&initial_workers=0`
    assert.equal((await server.manage(url, { method: 'POST' })).status, 200, name)
    const sent = await upload(server, Buffer.from(`filename="${name}"`), content, `sent${index}`)
    assert.equal(sent.status, 200, sent.message)
  }
})

test('C9: a model is found by its name without the ending, on the command line, by --load and by url', async (t) => {
  const store = temporaryFolder(t)
  writeFileSync(path.join(store, 'mnist.onnx'), network)
  writeFileSync(path.join(store, 'packed.mar'), zip())
  writeFileSync(path.join(store, 'big.TAR.GZ'), 'x')
  mkdirSync(path.join(store, 'sub'))
  writeFileSync(path.join(store, 'sub', 'deep.onnx'), network)
  writeFileSync(path.join(store, 'two.onnx'), network)
  writeFileSync(path.join(store, 'two.mar'), zip())
  const server = await serve(t, [`argument=${path.join(store, 'mnist')}`], {
    modelStore: store,
    load: ' mnist, packed,, ',
  })
  assert.deepEqual(await namesOf(server), ['argument', 'mnist', 'packed'])
  const register = async (url: string): Promise<[number, string]> => {
    const answer = await server.manage(`/models?url=${url}&model_name=x`, { method: 'POST' })
    const { message = '' } = (await json(answer)) as { message?: string }
    if (answer.status === 200) await server.manage('/models/x', { method: 'DELETE' })
    return [answer.status, message]
  }
  for (const url of ['mnist', 'packed', 'sub/deep', 'mnist.onnx']) {
    assert.deepEqual(await register(url), [200, ''], url)
  }
  assert.deepEqual(await register('two'), [
    400,
    '"two" is ambiguous: the model store contains two.mar and two.onnx. Use one of these names.',
  ])
  for (const url of ['mnis', 'mnist.on', 'nothing', 'MNIST']) {
    assert.ok([400, 404].includes((await register(url))[0]), url)
  }
})

test('C9: lost+found, hidden and empty folders of a store are no models and no errors', async (t) => {
  const store = temporaryFolder(t)
  writeFileSync(path.join(store, 'iris.onnx'), network)
  for (const folder of ['lost+found', 'empty', '.hidden', 'nested/1', 'only-hidden/.git']) {
    mkdirSync(path.join(store, folder), { recursive: true })
  }
  writeFileSync(path.join(store, 'lost+found', '#12345'), 'x')
  writeFileSync(path.join(store, '.hidden', 'model.onnx'), network)
  writeFileSync(path.join(store, 'only-hidden', '.gitkeep'), '')
  mkdirSync(path.join(store, 'wrong'))
  writeFileSync(path.join(store, 'wrong', 'notes.txt'), 'x')
  const server = await serve(t, [], { modelStore: store })
  const { models, failed = [] } = await listed(server)
  assert.deepEqual(
    models.map(({ modelName }) => modelName),
    ['iris'],
  )
  // A folder with anything else in it may be a mistake, which the operator should see.
  assert.deepEqual(
    failed.map(({ modelUrl }) => modelUrl),
    ['wrong'],
  )
  const index = await json(await server.manage('/v2/repository/index', { method: 'POST' }))
  assert.deepEqual(
    (index as { name: string }[]).map(({ name }) => name),
    ['iris', 'wrong'],
  )
})

test('C14: a handler and a runtime from the request are enough for a folder or an archive without a manifest', async (t) => {
  const store = sharedStore(t)
  const service = 'def handle(data, context):\n    return data\n'
  const script = 'export function handle(data) { return data?.map(() => "from JavaScript") }\n'
  mkdirSync(path.join(store, 'folder'))
  writeFileSync(path.join(store, 'folder', 'service.py'), service)
  writeFileSync(path.join(store, 'archive.mar'), zipOf([{ name: 'service.py', data: service }]))
  mkdirSync(path.join(store, 'script', 'code'), { recursive: true })
  writeFileSync(path.join(store, 'script', 'code', 'service.mjs'), script)
  cpSync(path.join(store, 'script', 'code'), path.join(store, 'script'), { recursive: true })
  writeFileSync(path.join(store, 'script', 'service.py'), service)
  const server = await storeServer(t)
  const register = async (query: string): Promise<[number, string]> => {
    const answer = await server.manage(`/models?${query}`, { method: 'POST' })
    const { message = '' } = (await json(answer)) as { message?: string }
    return [answer.status, message]
  }
  // It is recognised: the only thing that is missing here is a Python that could run it.
  for (const url of ['folder', 'archive.mar']) {
    for (const runtime of ['python', 'python2', 'python3', '']) {
      const [status, message] = await register(
        `url=${url}&handler=service:handle&runtime=${runtime}`,
      )
      assert.equal(status, 400)
      assert.match(message, /has a Python handler, but the server has no Python/, runtime)
    }
    const [status, message] = await register(`url=${url}&handler=other:handle&runtime=python`)
    assert.deepEqual(
      [status, message],
      [400, 'The model has no file for its handler "other:handle".'],
    )
  }
  // Of two files the runtime decides.
  assert.match((await register('url=script&handler=service:handle&runtime=python'))[1], /no Python/)
  assert.deepEqual(await register('url=script&handler=service:handle&runtime=node'), [200, ''])
  const answer = await server.fetch('/predictions/script', { method: 'POST', body: 'x' })
  assert.equal(await answer.text(), 'from JavaScript')
  assert.deepEqual(await register('url=script&handler=code/service:handle&model_name=deep'), [
    200,
    '',
  ])
  const { settings } = (await json(await server.manage('/models/deep'))) as {
    settings: { handler: { value: string } }
  }
  assert.equal(settings.handler.value, 'code/service:handle')
})

test('C14: an unknown runtime is 400 and the known ones are named', async (t) => {
  const store = sharedStore(t)
  writeFileSync(path.join(store, 'iris.onnx'), network)
  const server = await storeServer(t)
  for (const runtime of [
    'pythonX',
    'python.',
    'pythonic',
    'Python',
    'LSP',
    'node20',
    'x'.repeat(100),
  ]) {
    const answer = await server.manage(`/models?url=iris&runtime=${runtime}`, { method: 'POST' })
    assert.equal(answer.status, 400, runtime)
    assert.deepEqual(await json(answer), {
      code: 400,
      type: 'BadRequestException',
      message: `Invalid RuntimeType value: ${runtime}. The known runtimes are node, python, python2 and python3.`,
    })
  }
  const python = await server.manage('/models?url=iris&runtime=python', { method: 'POST' })
  assert.equal(python.status, 400)
})

test('D7: a handler with folders in its name is shown whole', async (t) => {
  const store = sharedStore(t)
  writeFileSync(path.join(store, 'iris.onnx'), network)
  const server = await storeServer(t)
  for (const handler of ['ts/torch_handler/x.py:handle', 'a/b/c:handle', './code/x.js:run']) {
    const answer = await server.manage(`/models?url=iris&handler=${handler}`, { method: 'POST' })
    assert.equal(answer.status, 400)
    const { message } = (await json(answer)) as { message: string }
    assert.ok(message.includes(`"${handler}"`), message)
    assert.ok(!message.includes(store), message)
  }
})
