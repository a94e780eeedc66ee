/** Tokens of texts, and texts of tokens, in the form of text-embeddings-inference. */
import { promptOf } from '../embeddings.ts'
import type { Encoder } from '../encoder.ts'
import { Parameters, badRequest, checkCount, tokenIds } from '../requests/text-request.ts'
import { checkMembers, textsOf } from './form.ts'
import type { Form } from './form.ts'

const TOKENIZE = ['model', 'inputs', 'add_special_tokens', 'prompt_name']
const DECODE = ['model', 'ids', 'skip_special_tokens']

/** A token; `start` and `stop` count code points, and a special token has none. */
interface Token {
  readonly id: number
  readonly text: string
  readonly special: boolean
  readonly start: number | null
  readonly stop: number | null
}

/** `POST /tokenize` */
export const answerTokenize: Form = (body, { encoder, maxTexts, prompts }) => {
  checkMembers(body, TOKENIZE)
  const parameters = new Parameters(body)
  const addsSpecial = parameters.flag('add_special_tokens') ?? true
  const prompt = promptOf(parameters, { prompts, defaultPrompt: undefined })
  const texts = textsOf(body['inputs'], 'inputs')
  checkCount(texts.length, maxTexts)
  return texts.map((text) => tokensOf(prompt + text, encoder, addsSpecial))
}

function tokensOf(text: string, encoder: Encoder, addsSpecial: boolean): readonly Token[] {
  const { tokenizer } = encoder
  const { ids, starts, ends } = encoder.tokens(text)
  const chars = Array.from(text)
  const own = ids.map((id, index): Token => {
    const [start, stop] = [starts[index] ?? 0, ends[index] ?? 0]
    if (tokenizer.isSpecial(id)) return special(id, encoder)
    return { id, text: chars.slice(start, stop).join(''), special: false, start, stop }
  })
  if (!addsSpecial) return own
  return tokenizer
    .templateFor(false)
    .flatMap((item) => ('ids' in item ? item.ids.map((id) => special(id, encoder)) : own))
}

function special(id: number, { tokenizer }: Encoder): Token {
  return { id, text: tokenizer.tokenOf(id), special: true, start: null, stop: null }
}

/** `POST /decode`: one text for one list of ids, always in a list. */
export const answerDecode: Form = (body, { encoder: { tokenizer }, maxTexts }) => {
  checkMembers(body, DECODE)
  const skips = new Parameters(body).flag('skip_special_tokens') ?? true
  const { ids } = body
  if (!Array.isArray(ids)) throw badRequest('"ids" must be a list of token ids, or of such lists.')
  const lists: readonly unknown[] = Array.isArray(ids[0]) ? ids : [ids]
  checkCount(lists.length, maxTexts)
  return lists.map((list) => {
    const own = tokenIds(list, 'ids')
    const unknown = own.find((id) => !tokenizer.hasId(id))
    if (unknown !== undefined) throw badRequest(`"ids": the model has no token ${unknown}.`)
    return tokenizer.decode(skips ? own.filter((id) => !tokenizer.isSpecial(id)) : own)
  })
}
