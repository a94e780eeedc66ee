/** Block S, second half: models that are registered by a name in the store. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import process from 'node:process'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { modelNames } from '../helpers/observe.ts'
import { addModel, externalConstant, externalModel } from '../helpers/onnx-files.ts'
import { randomNumbers, testSeed } from '../helpers/random.ts'
import { iris } from '../helpers/server-process.ts'
import { serve, temporaryFolder } from '../helpers/server.ts'
import { tarOf } from '../helpers/tar.ts'
import { zipOf } from '../helpers/zip.ts'
import { assertError, assertUnharmed, block, heldBy, size, startLaboratory } from './harness.ts'
import type { Answer, Laboratory } from './harness.ts'

const cleanups: (() => unknown)[] = []
// Uploads lie in the folder of the state, so that the server's own folder is as it was.
const state = temporaryFolder({ after: (run) => cleanups.push(run as () => unknown) })
const row = block({ settings: { stateDir: state } })
after(() => cleanups.forEach((run) => run()))

const isRoot = process.getuid?.() === 0
/** Nothing may wait for a file longer than this, also on a machine that is busy. */
const NO_HANG_MS = 3000

const inQuery = (parameters: Record<string, string>): string =>
  `/models?${new URLSearchParams(parameters).toString()}`

/** Registers a URL in JSON, which takes every character. */
async function registerJson(
  server: Laboratory,
  parameters: Record<string, string>,
): Promise<Answer> {
  const response = await server.manage('/models', {
    method: 'POST',
    body: JSON.stringify(parameters),
    headers: { 'content-type': 'application/json' },
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

/** What the model that adds a constant makes of 1. */
async function addedBy(server: Laboratory, name: string): Promise<number> {
  const body = '{"x":[1]}'
  const headers = { 'content-type': 'application/json' }
  const { status, text } = await server.predict(name, body, headers)
  assert.equal(status, 200, text)
  return (JSON.parse(text) as { y: [number] }).y[0]
}

/** A folder of the store that goes at the end of the row. */
async function inFolder(
  server: Laboratory,
  run: (folder: string, name: string) => Promise<void>,
): Promise<void> {
  const name = 'row'
  const folder = path.join(server.store, name)
  mkdirSync(folder)
  try {
    await run(folder, name)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Fails unless a URL of the store is refused at once, by both registrations. */
async function assertRefused(server: Laboratory, url: string): Promise<void> {
  const startedAt = performance.now()
  for (const answer of [
    await server.call('POST', inQuery({ url, model_name: 'm' })),
    await registerJson(server, { url, model_name: 'm' }),
  ]) {
    assert.notEqual(answer.status, 200, JSON.stringify(url))
    assertError({ ...answer, text: answer.text.replaceAll(url, '') }, 400, 403, 404)
  }
  assert.ok(performance.now() - startedAt < NO_HANG_MS, url)
}

row('S10', 'names that lead out of the store or are none are refused', async (server, t) => {
  await inFolder(server, async (folder, name) => {
    writeFileSync(path.join(folder, 'a.onnx'), addModel(1))
    const dots = path.join(server.store, '...')
    mkdirSync(dots)
    t.after(() => rmSync(dots, { recursive: true, force: true }))
    writeFileSync(path.join(dots, 'model.onnx'), addModel(3))
    const urls = [
      '../x',
      'a/../../x',
      `${name}/../${name}/a.onnx`,
      `../${path.basename(server.store)}/${name}/a.onnx`,
      '/etc/passwd',
      '//etc/passwd',
      '..',
      '.',
      './',
      '',
      ' ',
      'a/b',
      'a\\b',
      `${name}\\a.onnx`,
      '%2e%2e%2f',
      '%2e%2e/x',
      '..%2fx',
      '....',
      '.../...',
      'CON',
      'NUL.onnx',
      'x'.repeat(129),
      'x'.repeat(5000),
      `${name}/a.onnx\0`,
      `${name}/a\0.onnx`,
      `${name}/a.onnx\n`,
      `${name}/a\r\n.onnx`,
      `${name}/\u202ea.onnx`,
      `${name}/a.onnx `,
      `~/${name}/a.onnx`,
      '$HOME',
      `${name}/a.onnx/x`,
      'C:\\x.onnx',
      'c:/x.onnx',
    ]
    for (const url of urls) {
      await assertRefused(server, url)
      // As the name of a model, in a parameter and in a path.
      const named = await registerJson(server, {
        url: `${name}/a.onnx`,
        model_name: url,
        initial_workers: '0',
      })
      if (['', 'CON', 'NUL.onnx'].includes(url)) {
        assert.equal(named.status, 200, named.text)
        await server.unregister(url || 'a')
      } else assertError({ ...named, text: named.text.replaceAll(url, '') }, 400)
      const loaded = await server.call(
        'POST',
        `/v2/repository/models/${encodeURIComponent(url)}/load`,
      )
      assert.ok([400, 404, 414].includes(loaded.status), `${url}: ${loaded.status} ${loaded.text}`)
      const removed = await server.call('DELETE', `/models/${encodeURIComponent(url)}`)
      assert.ok([400, 404, 405, 414].includes(removed.status), `${url}: ${removed.text}`)
    }
    // A name that looks alike is taken as it is written.
    await server.register('dots', '...')
    assert.equal(await addedBy(server, 'dots'), 4)
    await server.unregister('dots')
    await assertRefused(server, '.../absent')
    rmSync(dots, { recursive: true })
  })
})

row(
  'S11',
  'names with characters of a shell are refused, names of objects are names',
  async (server) => {
    await inFolder(server, async (folder, name) => {
      const canary = path.join(folder, 'canary')
      writeFileSync(path.join(folder, 'a.onnx'), addModel(1))
      const marks = [...';|&$`<>(){}\'"*?~#!%^=+,:@[]\\', '\t', '\n', '$(', '&&', '||']
      for (const mark of marks) {
        const text = `a${mark}touch ${canary}`
        const named = await registerJson(server, { url: `${name}/a.onnx`, model_name: text })
        assert.equal(named.status, 400, named.text)
      }
      const all = marks.filter((mark) => mark > ' ').join('')
      const version = { url: `${name}/a.onnx`, model_name: 'a', model_version: `1${all}` }
      assertError(await registerJson(server, version), 400)
      const handler = { url: `${name}/a.onnx`, model_name: 'a', handler: `${all}touch ${canary}` }
      assert.equal((await registerJson(server, handler)).status, 400)
      // A file may have such a name; nothing but the file system sees it.
      const file = `b${all.replaceAll('\\', '')}$(touch canary).onnx`
      writeFileSync(path.join(folder, file), addModel(2))
      await server.register('b', `${name}/${file}`)
      assert.equal(await addedBy(server, 'b'), 3)
      await server.unregister('b')
      assert.equal(existsSync(canary), false)
      const refused = await registerJson(server, { url: `${name}/a.onnx`, model_name: '__proto__' })
      assertError(refused, 400)
      const objects = 'constructor toString hasOwnProperty valueOf prototype length then'
      const names = objects.split(' ').slice(0, size(3, 7))
      for (const object of names) {
        assertError(await server.predict(object, '{"x":[1]}'), 404)
        assertError(await server.call('GET', `/models/${object}`), 404)
        assertError(await server.call('DELETE', `/models/${object}`), 404)
        await server.register(object, `${name}/a.onnx`)
        assert.equal(await addedBy(server, object), 2)
        const described = await server.call('GET', `/models/${object}/all`)
        assert.equal((JSON.parse(described.text) as unknown[]).length, 1)
        assert.equal((await server.fetch(`/v2/models/${object}/ready`)).status, 200)
        const scaled = `/models/${object}?min_worker=0&synchronous=true`
        assert.equal((await server.call('PUT', scaled)).status, 200)
        const again = await server.call(
          'POST',
          inQuery({ url: `${name}/a.onnx`, model_name: object }),
        )
        assertError(again, 409)
      }
      const listed = await modelNames(server)
      assert.deepEqual(listed, [...names, 'reference'].toSorted())
      const metrics = await (await server.manage('/metrics')).text()
      for (const object of names) {
        assert.match(metrics, new RegExp(`model_name="${object}"`))
        await server.unregister(object)
      }
    })
  },
)

row(
  'S12',
  'names that differ by case are two models, other letters are refused',
  async (server) => {
    await inFolder(server, async (folder, name) => {
      for (const [index, file] of ['Model.onnx', 'model.onnx', 'MODEL.ONNX'].entries())
        writeFileSync(path.join(folder, file), addModel(index))
      await server.register('Case', `${name}/Model.onnx`)
      await server.register('case', `${name}/model.onnx`)
      await server.register('CASE', `${name}/MODEL.ONNX`)
      assert.deepEqual(
        await Promise.all(['Case', 'case', 'CASE'].map((one) => addedBy(server, one))),
        [1, 2, 3],
      )
      await server.unregister('case')
      assertError(await server.predict('case', '{"x":[1]}'), 404)
      assert.equal(await addedBy(server, 'Case'), 1)
      assertError(await server.predict('cASE', '{"x":[1]}'), 404)
      // Composed and decomposed, full width, ligature, Turkish and Cyrillic letters.
      for (const text of ['caf\u00e9', 'cafe\u0301', 'ｃase', 'ﬁle', 'ı', 'саѕе', 'case\u200b']) {
        const named = await registerJson(server, { url: `${name}/model.onnx`, model_name: text })
        assertError(named, 400)
        const asked = await server.predict(encodeURIComponent(text), '{"x":[1]}')
        assert.equal(asked.status, 404, asked.text)
      }
      // Files are told apart as the file system does it.
      writeFileSync(path.join(folder, 'caf\u00e9.onnx'), addModel(10))
      writeFileSync(path.join(folder, 'cafe\u0301.onnx'), addModel(20))
      await server.register('composed', `${name}/caf\u00e9.onnx`)
      await server.register('decomposed', `${name}/cafe\u0301.onnx`)
      assert.equal(await addedBy(server, 'composed'), 11)
      assert.equal(await addedBy(server, 'decomposed'), 21)
      for (const one of ['Case', 'CASE', 'composed', 'decomposed']) await server.unregister(one)
    })
  },
)

row(
  'S13',
  'what is no regular file is refused at once',
  async (server, t) => {
    await inFolder(server, async (folder, name) => {
      const inside = (file: string): string => path.join(folder, file)
      for (const kind of ['folder', 'folder.onnx', 'folder.mar', 'in/model.onnx', 'in/model.json'])
        mkdirSync(inside(kind), { recursive: true })
      execFileSync(
        'mkfifo',
        ['pipe', 'pipe.onnx', 'pipe.mar', 'pipe.zip', 'pipe.tar.gz'].map(inside),
      )
      mkdirSync(inside('holds/1'), { recursive: true })
      mkdirSync(inside('set'))
      writeFileSync(inside('set/model.onnx'), addModel(1))
      mkdirSync(inside('weights'))
      writeFileSync(inside('weights/model.onnx'), externalModel('data.bin'))
      execFileSync('mkfifo', [
        inside('holds/model.onnx'),
        inside('holds/1/model.onnx'),
        inside('set/model.json'),
        inside('weights/data.bin'),
      ])
      const socket = createServer().listen(inside('socket.onnx'))
      await once(socket, 'listening')
      for (const file of ['empty.onnx', 'empty.mar', 'empty.zip', 'empty.tar.gz'])
        writeFileSync(inside(file), '')
      const urls = [
        '',
        '/folder',
        '/folder.onnx',
        '/folder.mar',
        '/in',
        '/pipe',
        '/pipe.onnx',
        '/pipe.mar',
        '/pipe.zip',
        '/pipe.tar.gz',
        '/holds',
        '/holds/1',
        '/set',
        '/weights',
        '/socket.onnx',
        '/empty.onnx',
        '/empty.mar',
        '/empty.zip',
        '/empty.tar.gz',
      ]
      if (isRoot) {
        for (const [file, minor] of [
          ['zero.onnx', '5'],
          ['null.onnx', '3'],
          ['zero.mar', '5'],
        ] as const) {
          execFileSync('mknod', [inside(file), 'c', '1', minor])
          urls.push(`/${file}`)
        }
      } else t.diagnostic('devices: needs root')
      for (const url of urls) await assertRefused(server, name + url)
      await new Promise((resolve) => socket.close(resolve))

      // Root may read every file; then it is served.
      writeFileSync(inside('closed.onnx'), addModel(1))
      chmodSync(inside('closed.onnx'), 0)
      if (isRoot) {
        await server.register('closed', `${name}/closed.onnx`)
        await server.unregister('closed')
      } else await assertRefused(server, `${name}/closed.onnx`)

      // A file that is replaced while it is loaded is served as one of the two, or refused.
      const file = inside('x.onnx')
      writeFileSync(file, addModel(1))
      let turn = 0
      const timer = setInterval(() => {
        writeFileSync(`${file}.new`, addModel((turn += 1) % 2 === 0 ? 1 : 2))
        renameSync(`${file}.new`, file)
      }, 5)
      t.after(() => clearInterval(timer))
      for (let round = 0; round < size(5, 50); round += 1) {
        const answer = await server.call(
          'POST',
          inQuery({ url: `${name}/x.onnx`, model_name: 'x' }),
        )
        if (answer.status !== 200) {
          assertError(answer, 409)
          continue
        }
        assert.ok([2, 3].includes(await addedBy(server, 'x')))
        await server.unregister('x')
      }
      clearInterval(timer)
      rmSync(`${file}.new`, { force: true })
    })
  },
  { timeout: 600_000 },
)

test('S14 a store that is missing, no folder, or open to all users is told at the start', async (t) => {
  const folder = temporaryFolder(t)
  const file = path.join(folder, 'file')
  writeFileSync(file, '')
  const cases: [store: string, reason: RegExp][] = [
    [path.join(folder, 'absent'), /it does not exist/],
    [file, /it is not a folder/],
  ]
  for (const [modelStore, reason] of cases) {
    await assert.rejects(serve(t, [], { modelStore }), /The model store cannot be read/)
    // Where the start needs nothing of it, it may come later.
    const server = await serve(t, [], { modelStore, load: 'none' })
    const line = await server.logged(({ msg }) => /model store/.test(String(msg)))
    assert.equal(line.level, 40)
    assert.equal(line.modelStore, modelStore)
    assert.match(String(line.msg), reason)
    const answer = await server.manage('/models?url=x.onnx', { method: 'POST' })
    assert.equal(answer.status, 404)
    await server.close()
  }
  const open = path.join(folder, 'open')
  mkdirSync(open)
  chmodSync(open, 0o777)
  const server = await serve(t, [`iris=${iris}`], { modelStore: open })
  const line = await server.logged(({ msg }) => /model store/.test(String(msg)))
  assert.equal(line.level, 40)
  assert.match(String(line.msg), /every user of this machine can write/)
  await server.close()

  chmodSync(open, 0o755)
  const quiet = await serve(t, [`iris=${iris}`], { modelStore: open })
  await quiet.close()
  assert.deepEqual(
    quiet.logLines.filter(({ msg }) => /model store/.test(String(msg))),
    [],
  )
})

row('S15', 'links lead nowhere but inside the store', async (server, t) => {
  const outside = temporaryFolder(t)
  writeFileSync(path.join(outside, 'model.onnx'), addModel(100))
  writeFileSync(path.join(outside, 'data.bin'), externalConstant(100))
  await inFolder(server, async (folder, name) => {
    const link = (target: string, ...names: string[]): void =>
      symlinkSync(target, path.join(folder, ...names))
    mkdirSync(path.join(folder, 'own'))
    writeFileSync(path.join(folder, 'own', 'model.onnx'), addModel(1))
    link('/etc', 'etc')
    link('/etc/passwd', 'passwd.onnx')
    link('loop.onnx', 'loop.onnx')
    link('second', 'first')
    link('first', 'second')
    link('.', 'self')
    link('..', 'up')
    link(outside, 'there')
    link(path.join(outside, 'model.onnx'), 'there.onnx')
    link('nowhere', 'dangling.onnx')
    link('/proc/self/root', 'root')
    link(`/proc/${process.pid}/cwd`, 'cwd')
    for (const [model, target, file] of [
      ['linked', path.join(outside, 'model.onnx'), 'model.onnx'],
      ['settings', '/etc/passwd', 'model.json'],
      ['manifest', '/etc', 'MAR-INF'],
      ['version', outside, '1'],
      ['sub', '/etc', 'sub'],
      ['deep', '/etc/hostname', 'notes.txt'],
    ] as const) {
      mkdirSync(path.join(folder, model))
      if (file !== 'model.onnx' && model !== 'version')
        writeFileSync(path.join(folder, model, 'model.onnx'), addModel(1))
      link(target, model, file)
    }
    mkdirSync(path.join(folder, 'weights'))
    writeFileSync(path.join(folder, 'weights', 'model.onnx'), externalModel('data.bin'))
    link(path.join(outside, 'data.bin'), 'weights', 'data.bin')
    for (const url of [
      'etc',
      'etc/passwd',
      'passwd.onnx',
      'loop.onnx',
      'first',
      'self/self/etc/passwd',
      'up',
      'up/..',
      'there',
      'there/model.onnx',
      'there.onnx',
      'dangling.onnx',
      'root',
      'root/etc/passwd',
      'cwd',
      'linked',
      'settings',
      'manifest',
      'version',
      'version/1',
      'sub',
      'deep',
      'weights',
    ]) {
      await assertRefused(server, `${name}/${url}`)
    }
    // A link that stays inside is followed.
    link('own', 'alias')
    link('own/model.onnx', 'alias.onnx')
    for (const url of ['alias', 'alias.onnx', 'self/alias/model.onnx']) {
      await server.register('alias', `${name}/${url}`)
      assert.equal(await addedBy(server, 'alias'), 2)
      await server.unregister('alias')
    }
  })
})

row(
  'S16',
  'a hard link is the file itself in the store, and refused in an upload',
  async (server, t) => {
    const outside = path.join(path.dirname(server.store), 'weights.bin')
    writeFileSync(outside, externalConstant(41))
    t.after(() => rmSync(outside))
    await inFolder(server, async (folder, name) => {
      writeFileSync(path.join(folder, 'model.onnx'), externalModel('data.bin'))
      linkSync(outside, path.join(folder, 'data.bin'))
      // The operator decides what lies in the store: docs/models.md says so.
      await server.register('linked', name)
      assert.equal(await addedBy(server, 'linked'), 42)
      await server.unregister('linked')
    })
    const modelFile = { name: 'model.onnx', data: externalModel('data.bin') }
    for (const type of ['1', '2']) {
      for (const linkName of [outside, '../../weights.bin', 'other.bin', '/proc/self/environ']) {
        const archive = tarOf([modelFile, { name: 'data.bin', type, linkName }])
        const form = new FormData()
        form.set('model', new Blob([gzipSync(archive)]), 'linked.tar.gz')
        assertError(await server.call('POST', '/models', form), 400)
      }
    }
    for (const location of ['../weights.bin', outside, '/proc/self/environ']) {
      const archive = tarOf([{ name: 'model.onnx', data: externalModel(location) }])
      const form = new FormData()
      form.set('model', new Blob([gzipSync(archive)]), 'outside.tar.gz')
      assertError(await server.call('POST', '/models', form), 400)
    }
  },
)

test('S17 a file that is exchanged for a link while it is registered never leads outside', async (t) => {
  const server = await startLaboratory(t)
  const before = heldBy(server)
  const outside = temporaryFolder(t)
  const SECRET = 'secret-of-another'
  mkdirSync(path.join(outside, 'folder'))
  for (const folder of ['', 'folder']) {
    writeFileSync(path.join(outside, folder, 'model.onnx'), addModel(100))
    writeFileSync(path.join(outside, folder, 'model.json'), `{"${SECRET}":"${SECRET}"}`)
    writeFileSync(path.join(outside, folder, 'data.bin'), externalConstant(100))
  }
  const packed = zipOf([{ name: 'model.onnx', data: addModel(100) }])
  writeFileSync(path.join(outside, 'folder', 'x.zip'), packed)
  await inFolder(server, async (folder, name) => {
    const put = (model: string, file: string, data: Buffer | string): void => {
      mkdirSync(path.join(folder, model), { recursive: true })
      writeFileSync(path.join(folder, model, file), data)
    }
    put('', 'bare.onnx', addModel(1))
    put('network', 'model.onnx', addModel(1))
    put('weights', 'model.onnx', externalModel('data.bin'))
    put('weights', 'data.bin', externalConstant(1))
    put('settings', 'model.onnx', addModel(1))
    put('settings', 'model.json', '{}')
    put('whole', 'model.onnx', addModel(1))
    put('above/1', 'model.onnx', addModel(1))
    put('packed', 'x.zip', zipOf([{ name: 'model.onnx', data: addModel(1) }]))
    const swaps: [url: string, exchanged: string, target: string][] = [
      ['bare.onnx', 'bare.onnx', 'model.onnx'],
      ['network', 'network/model.onnx', 'model.onnx'],
      ['weights', 'weights/data.bin', 'data.bin'],
      ['settings', 'settings/model.json', 'model.json'],
      ['whole', 'whole', 'folder'],
      ['above', 'above/1', 'folder'],
      ['packed/x.zip', 'packed', 'folder'],
    ]
    const seed = testSeed()
    t.diagnostic(`ONNXD_TEST_SEED=${seed}`)
    const counts = new Map<number, number>()
    for (const [url, exchanged, target] of swaps) {
      const stop = keepExchanging(path.join(folder, exchanged), path.join(outside, target), seed)
      try {
        for (let round = 0; round < size(2, 40); round += 1) {
          const answer = await server.call(
            'POST',
            inQuery({ url: `${name}/${url}`, model_name: 'x' }),
          )
          counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1)
          assert.doesNotMatch(answer.text, new RegExp(SECRET), url)
          if (answer.status !== 200) {
            assertError(answer, 400, 404, 409)
            continue
          }
          assert.equal(await addedBy(server, 'x'), 2, url)
          await server.unregister('x')
        }
      } finally {
        await stop()
      }
    }
    t.diagnostic(`statuses ${JSON.stringify(Object.fromEntries(counts))}`)
    assert.ok((counts.get(200) ?? 0) > 0, 'some were registered')
    assert.ok(counts.size > 1, 'some were refused')
  })
  await assertUnharmed(server, before)
})

/**
 * Exchanges a file or folder for a link to another one and puts it back, again and again, in a
 * process of its own, at random moments. Resolves when the file is back.
 */
function keepExchanging(own: string, target: string, seed: number): () => Promise<void> {
  const program = `
    const { renameSync, symlinkSync, unlinkSync } = require('node:fs')
    const [own, target, seed] = process.argv.slice(1)
    const { next } = (${randomNumbers.toString()})(Number(seed))
    const wait = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
    process.on('disconnect', () => process.exit())
    const turn = () => {
      renameSync(own, own + '.away')
      symlinkSync(target, own)
      wait(next() * 30)
      unlinkSync(own)
      renameSync(own + '.away', own)
      // Often more than once while a model is loaded, and at times not at all.
      setTimeout(turn, next() < 0.5 ? next() * 60 : 200 + next() * 800)
    }
    turn()`
  const child = spawn(process.execPath, ['-e', program, own, target, String(seed)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit')
  return async () => {
    if (child.connected) child.disconnect()
    assert.deepEqual(await ended, [0, null])
  }
}
