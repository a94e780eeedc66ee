/** B17: embeddings of texts with a model of the size of MiniLM, over the bare run of the model. */
import path from 'node:path'
import { alone } from '../bare-loop.ts'
import { gather } from '../benchmark.ts'
import type { Benchmark } from '../benchmark.ts'
import { goodLoop } from '../load.ts'
import type { LoadResult } from '../load.ts'
import { temporaryFolder } from '../many/made-models.ts'
import { startServer } from '../server.ts'
import { besideFastApi } from './beside-fastapi.ts'
import { textOf, writeMiniModel } from './mini-model.ts'

const CLIENTS = 32
const SHORT = 8
const MIDDLE = 32
const LONG = 128
/** Tokens of a bare run of several texts; more are not faster. */
const RUN_TOKENS = 512
/** Lengths of the texts of one request, in tokens. */
const MIXED = [8, 120, 16, 60, 30, 90, 12, 128]
/** Responses arrive in groups of all clients, so a rate needs several of them. */
const MIN_GROUPS = 12
const MIN_SECONDS = 3
/** Keeps the duration below 3 minutes. */
const MAX_ROUNDS = 2

export const textEmbeddings: Benchmark = {
  id: 'B17',
  title: 'embeddings, BERT of 6 layers and 384 columns, 1 worker with 1 thread',
  missing: () => undefined,
  run: async (plan) => {
    const { cli, rounds: wanted, seconds } = plan
    const rounds = Math.min(wanted, MAX_ROUNDS)
    const { folder, remove } = temporaryFolder()
    const model = path.join(folder, 'mini')
    const file = writeMiniModel(model, { batchSize: CLIENTS })
    const bare = (texts: number, tokens: number): Promise<{ rate: number; p50: number }> =>
      alone('text/bare-texts.js', [file, texts, tokens, seconds].map(String))
    const server = await startServer(cli, ['--workers', '1', '--threads', '1', model])
    const load = (
      inputs: string | readonly string[],
      connections: number,
      least = MIN_SECONDS,
    ): Promise<LoadResult> =>
      goodLoop(
        {
          url: `${server.inference}/embed`,
          body: Buffer.from(JSON.stringify({ inputs })),
          headers: { 'content-type': 'application/json' },
        },
        { connections, seconds: Math.ceil(Math.max(seconds, least)) },
      )
    try {
      await load(textOf(MIDDLE), CLIENTS)
      const of = await gather(rounds, async () => {
        const figures: Record<string, number> = {}
        for (const tokens of [SHORT, MIDDLE, LONG]) {
          const single = await bare(1, tokens)
          const texts = Math.min(CLIENTS, RUN_TOKENS / tokens)
          const batch = await bare(texts, tokens)
          const one = await load(textOf(tokens), 1)
          // The better of two ways to run the model without a server.
          const best = Math.max(single.rate, batch.rate * texts)
          const many = await load(textOf(tokens), CLIENTS, (MIN_GROUPS * CLIENTS) / best)
          figures[`added${tokens}`] = (one.p50 - single.p50) * 1000
          figures[`time${tokens}`] = best / many.rate - 1
          figures[`rate${tokens}`] = many.rate
        }
        const mixed = await load(
          MIXED.map((tokens, index) => textOf(tokens, index)),
          1,
        )
        const padded = await bare(MIXED.length, Math.max(...MIXED))
        figures['grouping'] = mixed.rate / padded.rate
        return figures
      })
      const lengths = [SHORT, MIDDLE, LONG]
      return [
        ...lengths.map((tokens) => ({
          what: `time added to the bare run, ${CLIENTS} clients, ${tokens} tokens`,
          unit: '',
          rounds: of(`time${tokens}`),
          goal: { atMost: 0.1 },
        })),
        ...lengths.map((tokens) => ({
          what: `p50 added to the bare run, 1 client, ${tokens} tokens`,
          unit: 'µs',
          rounds: of(`added${tokens}`),
        })),
        ...lengths.map((tokens) => ({
          what: `sentences a second, ${CLIENTS} clients, ${tokens} tokens`,
          unit: '/s',
          rounds: of(`rate${tokens}`),
        })),
        {
          what: `${MIXED.length} texts of ${SHORT} to ${LONG} tokens in runs by length, over one padded run`,
          unit: '',
          rounds: of('grouping'),
          goal: { atLeast: 1 },
        },
        ...(await besideFastApi({ ...plan, rounds }, { folder: model, file })),
      ]
    } finally {
      await server.stop()
      remove()
    }
  },
}
