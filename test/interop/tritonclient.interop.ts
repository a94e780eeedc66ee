/** Triton's Python client, unmodified, does all it can do over HTTP against a real server. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { serve, temporaryFolder } from '../helpers/server.ts'
import { shared } from '../helpers/shared.ts'
import { tinyTextModels } from '../helpers/text-models.ts'

const environment = process.env['ONNXD_INTEROP_TRITONCLIENT']
const script = path.resolve('test/interop/tritonclient_checks.py')

test(
  'tritonclient: metadata, inference in every mix, compression, strings, repository, asyncio',
  {
    skip:
      environment === undefined
        ? 'needs the Python package tritonclient; run npm run test:interop'
        : shared === undefined && 'needs the folder ../shared',
  },
  async (t) => {
    const store = temporaryFolder(t)
    for (const name of ['simple', 'simple_identity', 'identity_fp32', 'scores4']) {
      cpSync(path.join(shared ?? '', 'models', name), path.join(store, name), { recursive: true })
    }
    for (const folder of tinyTextModels(t, ['embed', 'classify'])) {
      cpSync(folder, path.join(store, path.basename(folder)), { recursive: true })
    }
    const server = await serve(t, [], {
      serverName: 'triton',
      priorityLevels: 3,
      modelStore: store,
      exposeRepository: true,
      threads: 1,
    })
    const python = path.join(environment ?? '', 'bin', 'python')
    const child = spawn(python, [script, new URL(server.inferenceUrl).host], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text))
    }
    const [code] = await once(child, 'close')
    assert.equal(code, 0, output)
    const checks = output.match(/^ok /gm)?.length ?? 0
    t.diagnostic(`${checks} checks of the Python client passed`)
    assert.ok(checks >= 60 && output.endsWith('done\n'), output)
  },
)
