/** The rest of B17: embeddings beside an application with FastAPI and tokenizers. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gather } from '../benchmark.ts'
import type { Figure, Plan } from '../benchmark.ts'
import { goodLoop } from '../load.ts'
import type { Request } from '../load.ts'
import { environmentOf, missingPython } from '../peers/environment.ts'
import { startPeer } from '../peers/peer-process.ts'
import { PeerError, RUNTIME, freePorts } from '../peers/peer.ts'
import type { Peer } from '../peers/peer.ts'
import { startServer } from '../server.ts'
import { textOf } from './mini-model.ts'

const START_TIMEOUT_MS = 60_000
const LENGTHS = [8, 32, 128]
const CONNECTIONS = [1, 32]
const MAX_DIFFERENCE = 1e-4

const fastApiTexts: Peer = {
  name: 'FastAPI with tokenizers',
  packages: ['fastapi==0.165.0', 'uvicorn[standard]==0.54.0', 'tokenizers==0.22.1', ...RUNTIME],
  prepare: async ({ bin }) => {
    const [port] = await freePorts(1)
    return {
      command: path.join(bin, 'uvicorn'),
      args: ['fastapi_texts:app', '--host', '127.0.0.1', '--port', String(port)],
      urls: { json: `http://127.0.0.1:${port}/embed` },
    }
  },
}

/**
 * Both servers may use all cores: this one with two workers of one thread each, FastAPI with its
 * pool of threads.
 * @param model Folder of the model, and its file.
 * @returns no figures if Python or the packages are missing.
 */
export async function besideFastApi(
  { cli, rounds, seconds, note }: Plan,
  model: { readonly folder: string; readonly file: string },
): Promise<readonly Figure[]> {
  const missing = missingPython()
  if (missing !== undefined) {
    note(`FastAPI skipped: ${missing}`)
    return []
  }
  try {
    const bin = await environmentOf(fastApiTexts, note)
    const theirs = await startPeer(fastApiTexts, { bin, model: model.file })
    const ours = await startServer(cli, ['--workers', '2', '--threads', '1', model.folder])
    const of = (url: string, text: string): Request => ({
      url,
      body: Buffer.from(JSON.stringify({ inputs: text })),
      headers: { 'content-type': 'application/json' },
    })
    const urls = [`${ours.inference}/embed`, theirs.urls.json ?? ''] as const
    try {
      const texts = LENGTHS.map((tokens) => textOf(tokens))
      for (const text of texts) await checkSame(urls, text, () => theirs.assertRunning())
      const results = await gather(rounds, async () => {
        const figures: Record<string, number> = {}
        for (const [index, text] of texts.entries()) {
          for (const connections of CONNECTIONS) {
            const load = { connections, seconds }
            const [one, other] = urls
            const mine = await goodLoop(of(one, text), load)
            const peer = await goodLoop(of(other, text), load)
            figures[`${LENGTHS[index]} ${connections}`] = mine.rate / peer.rate
          }
        }
        return figures
      })
      return LENGTHS.flatMap((tokens) =>
        CONNECTIONS.map((connections) => ({
          what: `sentences a second over FastAPI, ${tokens} tokens, ${connections} clients`,
          unit: '×',
          rounds: results(`${tokens} ${connections}`),
          goal: { atLeast: 1 },
        })),
      )
    } finally {
      await ours.stop()
      await theirs.stop()
    }
  } catch (error) {
    if (!(error instanceof PeerError)) throw error
    note(`FastAPI skipped: ${error.message}`)
    return []
  }
}

/** Waits until the peer responds; the speed of another result would mean nothing. */
async function checkSame(
  [ours, theirs]: readonly [string, string],
  text: string,
  assertRunning: () => void,
): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS
  const ask = async (url: string): Promise<unknown> => {
    const body = JSON.stringify({ inputs: text })
    const headers = { 'content-type': 'application/json' }
    for (;;) {
      assertRunning()
      const response = await fetch(url, { method: 'POST', headers, body }).catch(() => undefined)
      if (response?.ok === true) return response.json()
      if (performance.now() > end) throw new PeerError(`no response within ${START_TIMEOUT_MS} ms`)
      await sleep(200)
    }
  }
  const [mine, peer] = [await ask(ours), await ask(theirs)].map((value) => (value as number[][])[0])
  assert.ok(mine !== undefined && peer !== undefined)
  const difference = Math.max(...mine.map((number, index) => Math.abs(number - (peer[index] ?? 0))))
  assert.ok(difference < MAX_DIFFERENCE, `the vectors differ by ${difference}`)
}
