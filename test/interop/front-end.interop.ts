/** onnxd's worker behind the original front-end of MMS, which takes `onnxd-worker` for Python. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { needsMms, startMms } from '../helpers/mms-server.ts'
import type { MmsServer } from '../helpers/mms-server.ts'
import { processesNaming, readIfPresent } from '../helpers/server-process.ts'
import { isAlive, json, temporaryFolder, until } from '../helpers/server.ts'
import { LAUNCHER } from '../helpers/worker-client.ts'
import { zipOf } from '../helpers/zip.ts'

const FLOWER = '{"features":[[5.1,3.5,1.4,0.2]]}'

test('our worker serves the front-end of MMS', { skip: needsMms }, async (t) => {
  const mms = await startMms(t, temporaryFolder(t), LAUNCHER)
  archive(mms, 'iris', 'onnx', ['model.onnx', 'model.json', 'labels.txt'])
  archive(mms, 'digits', 'image', ['model.onnx', 'model.json', 'labels.txt'])

  await t.test('JSON in, JSON out', async () => {
    assert.equal(
      await manage(mms, 'POST', '/models?url=iris.mar&initial_workers=1&synchronous=true'),
      200,
    )
    const answer = await flower(mms)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('content-type'), 'application/json')
    const body = JSON.stringify(await json(answer))
    assert.match(body, /setosa|probabilities|label/)
  })

  await t.test(
    'what is wrong with a request is said to the client, and costs no worker',
    async () => {
      const before = workerPids(mms)
      const answer = await flower(mms, '{"features":')
      assert.equal(answer.status, 400)
      await answer.text()
      assert.deepEqual(workerPids(mms), before)
    },
  )

  await t.test('an image', async () => {
    assert.equal(
      await manage(mms, 'POST', '/models?url=digits.mar&initial_workers=1&synchronous=true'),
      200,
    )
    const [name = ''] = readdirSync('examples/digits/samples').filter((file) =>
      file.endsWith('.png'),
    )
    const answer = await fetch(`${mms.inference}/predictions/digits`, {
      method: 'POST',
      body: readFileSync(path.join('examples/digits/samples', name)),
      headers: { 'content-type': 'image/png' },
    })
    assert.equal(answer.status, 200)
    const [best] = Object.keys((await json(answer)) as object)
    assert.ok(name.includes(best ?? '?'), `${name}: ${best}`)
    assert.equal(await manage(mms, 'DELETE', '/models/digits'), 200)
  })

  await t.test('batches', async () => {
    archive(mms, 'batches', 'onnx', ['model.onnx', 'model.json', 'labels.txt'], 'iris')
    assert.equal(
      await manage(
        mms,
        'POST',
        '/models?url=batches.mar&initial_workers=1&synchronous=true&batch_size=4&max_batch_delay=300',
      ),
      200,
    )
    const answers = await Promise.all(
      [FLOWER, FLOWER, '{"features":[[1,2]]}', FLOWER].map((body) => flower(mms, body, 'batches')),
    )
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 400, 200],
    )
    assert.equal(await manage(mms, 'DELETE', '/models/batches'), 200)
  })

  await t.test(
    'three workers are three processes; one is left when two are taken away',
    async () => {
      assert.equal(await manage(mms, 'PUT', '/models/iris?min_worker=3&synchronous=true'), 200)
      assert.equal(workerPids(mms).length, 3)
      const answers = await Promise.all(Array.from({ length: 30 }, () => flower(mms)))
      assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
      assert.equal(
        await manage(mms, 'PUT', '/models/iris?min_worker=1&max_worker=1&synchronous=true'),
        200,
      )
      await until(() => workerPids(mms).length === 1)
      assert.equal((await flower(mms)).status, 200)
    },
  )

  let leftByVictim: string[] = []
  await t.test('a killed worker is replaced', async () => {
    const [victim] = workerPids(mms)
    assert.ok(victim !== undefined)
    leftByVictim = fifos(mms)
    process.kill(victim, 'SIGKILL')
    await until(() => !isAlive(victim))
    const [fresh] = await until(() => workerPids(mms).length === 1 && workerPids(mms))
    assert.notEqual(fresh, victim)
    assert.equal((await flower(mms)).status, 200)
  })

  await t.test('nothing is left of a model that was unregistered', async () => {
    assert.equal(await manage(mms, 'DELETE', '/models/iris'), 200)
    await until(() => processesNaming(mms.temporary).filter((pid) => !isJava(pid)).length === 0)
    // A process that is killed cannot tidy up; the original's leaves its FIFOs behind likewise.
    assert.deepEqual(fifos(mms), leftByVictim)
  })
})

/** Writes an archive of an example's files for the original, which knows Python only. */
function archive(
  mms: MmsServer,
  name: string,
  handler: string,
  files: readonly string[],
  example = name,
): void {
  const manifest = { runtime: 'python', model: { modelName: name, modelVersion: '1.0', handler } }
  const entries = files.map((file) => ({
    name: file,
    data: readFileSync(path.join('examples', example, file)),
  }))
  writeFileSync(
    path.join(mms.store, `${name}.mar`),
    zipOf([...entries, { name: 'MAR-INF/MANIFEST.json', data: JSON.stringify(manifest) }]),
  )
}

async function manage(mms: MmsServer, method: string, route: string): Promise<number> {
  const answer = await fetch(mms.management + route, { method })
  const text = await answer.text()
  assert.ok(answer.ok, `${method} ${route}: ${answer.status} ${text}\n${mms.output().slice(-3000)}`)
  return answer.status
}

function flower(mms: MmsServer, body = FLOWER, model = 'iris'): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return fetch(`${mms.inference}/predictions/${model}`, { method: 'POST', body, headers })
}

/** The FIFOs that workers have made and not removed. */
function fifos(mms: MmsServer): string[] {
  return readdirSync(mms.temporary).filter((name) => /-std(?:out|err)$/.test(name))
}

/** The processes that hold a model. */
function workerPids(mms: MmsServer): number[] {
  return processesNaming(mms.temporary).filter((pid) => commandOf(pid).includes('connection-main'))
}

function isJava(pid: number): boolean {
  return commandOf(pid).startsWith('java')
}

/** The command line of a process; empty if it has ended since it was listed. */
function commandOf(pid: number): string {
  return readIfPresent(`/proc/${pid}/cmdline`)
}
