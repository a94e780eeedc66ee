/** Post-processors of `tokenizer.json`: they add the special tokens around one or two texts. */
import { fieldsOf, flagOf, isFields, listOf, numberOf, textOf } from '../json-fields.ts'
import type { Fields } from '../json-fields.ts'
import { checkedId } from './subwords.ts'
import { malformed, unsupported } from './unsupported.ts'

/** A special token, or the place of the first (0) or the second (1) text. */
export type TemplateItem =
  | { readonly ids: readonly number[]; readonly type: number }
  | { readonly sequence: 0 | 1; readonly type: number }

/** How spaces are left out of the offsets of tokens. */
export interface Trimming {
  readonly addsPrefixSpace: boolean
}

export interface Template {
  readonly single: readonly TemplateItem[]
  readonly pair: readonly TemplateItem[]
  readonly trimming: Trimming | undefined
}

const A: TemplateItem = { sequence: 0, type: 0 }
const PLAIN: Template = {
  single: [A],
  pair: [A, { sequence: 1, type: 1 }],
  trimming: undefined,
}

/** @throws ServerError `InvalidModelException` for a post-processor that is not supported. */
export function createTemplate(value: unknown): Template {
  if (value === null || value === undefined) return PLAIN
  const config = fieldsOf(value)
  switch (config['type']) {
    case 'TemplateProcessing':
      return templateProcessing(config)
    case 'BertProcessing': {
      const [cls, sep] = [special(config['cls']), special(config['sep'])]
      const pair = [cls, A, sep, { sequence: 1, type: 1 }, { ...sep, type: 1 }] as const
      return { single: [cls, A, sep], pair, trimming: undefined }
    }
    case 'RobertaProcessing': {
      const [cls, sep] = [special(config['cls']), special(config['sep'])]
      const pair = [cls, A, sep, sep, { sequence: 1, type: 0 }, sep] as const
      return { single: [cls, A, sep], pair, trimming: trimmingOf(config) }
    }
    case 'ByteLevel':
      return { ...PLAIN, trimming: trimmingOf(config) }
    case 'Sequence': {
      const steps = listOf(config['processors']).map(createTemplate)
      const main = steps.filter(({ single }) => single.length > 1)
      if (main.length > 1) throw unsupported('a sequence of several templates')
      const trimming = steps.find((step) => step.trimming !== undefined)?.trimming
      return { ...(main[0] ?? PLAIN), trimming }
    }
    default:
      throw unsupported(`the post-processor ${JSON.stringify(config['type'] ?? null)}`)
  }
}

function trimmingOf(config: Fields): Trimming | undefined {
  if (config['trim_offsets'] === false) return undefined
  return { addsPrefixSpace: flagOf(config['add_prefix_space']) ?? true }
}

/** A special token as `["[CLS]", 101]`. */
function special(value: unknown): { ids: readonly number[]; type: number } {
  const [token, id] = listOf(value)
  return { ids: [checkedId(textOf(token) ?? '', id)], type: 0 }
}

function templateProcessing(config: Fields): Template {
  const tokens = fieldsOf(config['special_tokens'])
  const itemsOf = (items: unknown): readonly TemplateItem[] =>
    listOf(items).map((item): TemplateItem => {
      const { SpecialToken: token, Sequence: sequence } = fieldsOf(item)
      if (isFields(sequence)) {
        const isSecond = sequence['id'] === 'B'
        return { sequence: isSecond ? 1 : 0, type: numberOf(sequence['type_id']) ?? 0 }
      }
      const { id, type_id } = fieldsOf(token)
      const name = textOf(id) ?? ''
      const { ids } = fieldsOf(tokens[name])
      if (!Array.isArray(ids)) throw malformed(`the template has an unknown token ${name}`)
      return {
        ids: ids.map((one: unknown) => checkedId(name, one)),
        type: numberOf(type_id) ?? 0,
      }
    })
  return { single: itemsOf(config['single']), pair: itemsOf(config['pair']), trimming: undefined }
}
