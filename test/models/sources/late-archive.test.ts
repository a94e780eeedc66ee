import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { LateArchive } from '../../../src/models/sources/late-archive.ts'
import { RegisteredFiles } from '../../../src/models/sources/registered-files.ts'
import { temporaryFolder } from '../../helpers/server.ts'

const never = new AbortController().signal

/** An archive whose unpacking ends when the test says so. */
async function heldArchive(t: TestContext) {
  const file = path.join(temporaryFolder(t), 'm.zip')
  writeFileSync(file, 'content')
  const files = await RegisteredFiles.ofFile(file)
  const calls: { signal: AbortSignal; end: () => void; fail: (error: Error) => void }[] = []
  let sayCalled = (): void => {}
  const unpack = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      calls.push({ signal, end: resolve, fail: reject })
      signal.addEventListener('abort', () => reject(new Error('stopped')))
      sayCalled()
    })
  const archive = new LateArchive({ files, bytes: 1, unpack })
  const begin = async (signal = never): Promise<{ readonly done: Promise<void> }> => {
    const called = new Promise<void>((resolve) => (sayCalled = resolve))
    const done = archive.unpack('m', signal)
    done.catch(() => {})
    await called
    return { done }
  }
  return { archive, file, calls, begin }
}

test('an archive is unpacked once, and again after a failure', async (t) => {
  const { archive, calls, begin } = await heldArchive(t)
  const first = await begin()
  const second = archive.unpack('m', never)
  calls[0]?.fail(new Error('broken'))
  await assert.rejects(first.done, /broken/)
  await assert.rejects(second, /broken/)
  const third = await begin()
  calls[1]?.end()
  await third.done
  await archive.unpack('m', never)
  assert.equal(calls.length, 2)
})

test('an archive that changes before or while it is unpacked is not used', async (t) => {
  const { archive, file, calls, begin } = await heldArchive(t)
  const { done } = await begin()
  writeFileSync(file, 'other')
  calls[0]?.end()
  await assert.rejects(done, { statusCode: 409, message: /"m\.zip" has changed/ })
  await assert.rejects(archive.unpack('m', never), /has changed/)
  assert.equal(calls.length, 1)
})

test('the end of the model stops the work, and waits for its end', async (t) => {
  const { archive, calls, begin } = await heldArchive(t)
  const { done } = await begin()
  await archive.close()
  assert.equal(calls[0]?.signal.aborted, true)
  await assert.rejects(done)
  await assert.rejects(archive.unpack('m', never))
  assert.equal(calls.length, 1)
})
