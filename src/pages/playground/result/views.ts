/** Decides how a response is shown, by its form. */
import type { ModelDescription } from '../model/description.ts'
import { elementsOf, memberOf, membersOf, textOf, textsOf } from '../model/unknown-json.ts'
import type { Detection, ResultView, Span } from './result-view.ts'
import { tensorViews } from './tensor-views.ts'

/** More results than this are in the raw response only. */
const MAX_RESULTS = 20

/**
 * The views of a response; none if only the raw response can be shown.
 * @param sent The JSON of the request; `undefined` for other bodies.
 */
export function viewsOf(
  response: string,
  { form, outputs }: Pick<ModelDescription, 'form' | 'outputs'>,
  sent: unknown,
): ResultView[] {
  let value: unknown
  try {
    value = JSON.parse(response)
  } catch {
    return []
  }
  const image = imageView(value)
  if (form.kind === 'image' && image !== undefined) return [image]
  if (form.kind === 'text') return textViews(value, sent)
  if (form.kind === 'free') return []
  return tensorViews(response, value, outputs)
}

function imageView(value: unknown): ResultView | undefined {
  const mask = textOf(memberOf(value, 'mask'))
  if (mask !== undefined) {
    const areas = elementsOf(memberOf(value, 'classes')).map((area) => ({
      label: labelOf(memberOf(area, 'class')),
      index: numberOf(memberOf(area, 'index')),
      share: numberOf(memberOf(area, 'share')),
    }))
    const [width, height] = ['width', 'height'].map((name) => numberOf(memberOf(value, name)))
    return { kind: 'mask', width: width ?? 0, height: height ?? 0, areas, mask }
  }
  if (!Array.isArray(value)) return undefined
  const items = elementsOf(value)
  if (items.length > 0 && items.every((item) => typeof item === 'number')) {
    return { kind: 'vector', title: 'Features', values: items.map(numberOf) }
  }
  if (items.every((item) => 'probability' in membersOf(item)) && items.length > 0) {
    return bars('Classes', items, 'class', 'probability')
  }
  if (items.every((item) => 'box' in membersOf(item))) {
    return { kind: 'detections', items: items.map(detectionOf) }
  }
  return undefined
}

function detectionOf(item: unknown): Detection {
  const [left = 0, top = 0, right = 0, bottom = 0] = elementsOf(memberOf(item, 'box')).map(numberOf)
  return {
    label: labelOf(memberOf(item, 'class')),
    index: numberOf(memberOf(item, 'index')),
    score: numberOf(memberOf(item, 'score')),
    box: [left, top, right, bottom],
  }
}

/** A list of texts has a list of results. */
function textViews(value: unknown, sent: unknown): ResultView[] {
  const single = textView(value, sent)
  if (single !== undefined) return [single]
  const inputs = elementsOf(memberOf(sent, 'inputs'))
  return elementsOf(value)
    .slice(0, MAX_RESULTS)
    .flatMap((result, index) => {
      const view = textView(result, { ...membersOf(sent), inputs: inputs[index] })
      return view === undefined ? [] : [view]
    })
}

function textView(value: unknown, sent: unknown): ResultView | undefined {
  const context = textOf(memberOf(sent, 'context'))
  if (context !== undefined) {
    const answers = (Array.isArray(value) ? elementsOf(value) : [value]).filter(isSpan)
    if (answers.length === 0) return undefined
    return { kind: 'spans', text: context, spans: answers.map((each) => spanOf(each, 'answer')) }
  }
  const labels = textsOf(memberOf(value, 'labels'))
  const scores = elementsOf(memberOf(value, 'scores')).map(numberOf)
  if (labels.length > 0 && labels.length === scores.length) {
    const list = labels.map((label, index) => ({ label, value: scores[index] ?? 0 }))
    return { kind: 'bars', title: 'Labels', bars: list }
  }
  if (!Array.isArray(value)) return undefined
  const items = elementsOf(value)
  const text = textOf(memberOf(sent, 'inputs'))
  if (items.every(isSpan) && text !== undefined && (items.length > 0 || isTagger(sent))) {
    return { kind: 'spans', text, spans: items.map((each) => spanOf(each)) }
  }
  if (items.length === 0) return undefined
  if (items.every((item) => typeof item === 'number')) return numbersView(items.map(numberOf), sent)
  return listView(items, sent)
}

function listView(items: readonly unknown[], sent: unknown): ResultView | undefined {
  const every = (name: string): boolean =>
    items.every((item) => Object.hasOwn(membersOf(item), name))
  if (every('label')) return bars('Labels', items, 'label', 'score')
  if (every('token_str')) return bars('Words', items, 'token_str', 'score')
  if (every('token') && every('value')) return bars('Tokens', items, 'token', 'value')
  const texts = elementsOf(memberOf(sent, 'texts'))
  if (every('index') && every('score') && texts.length > 0) {
    const list = items.map((item) => ({
      label: textOf(texts[numberOf(memberOf(item, 'index'))]) ?? '',
      value: numberOf(memberOf(item, 'score')),
    }))
    return { kind: 'bars', title: 'Texts, the best first', bars: list }
  }
  return undefined
}

/** Similarities to the sentences of the request, or a vector. */
function numbersView(values: readonly number[], sent: unknown): ResultView {
  const sentences = textsOf(memberOf(sent, 'sentences'))
  if (sentences.length !== values.length) return { kind: 'vector', title: 'Vector', values }
  const list = sentences.map((label, index) => ({ label, value: values[index] ?? 0 }))
  return { kind: 'bars', title: 'Similarity', bars: list }
}

function bars(title: string, items: readonly unknown[], label: string, number: string): ResultView {
  const list = items.map((item) => ({
    label: labelOf(memberOf(item, label)),
    value: numberOf(memberOf(item, number)),
  }))
  return { kind: 'bars', title, bars: list }
}

function isSpan(item: unknown): boolean {
  return ['start', 'end'].every((name) => typeof memberOf(item, name) === 'number')
}

/** A tagger may find nothing; no other task responds with an empty list to one text. */
function isTagger(sent: unknown): boolean {
  return memberOf(sent, 'inputs') !== undefined
}

function spanOf(item: unknown, label?: string): Span {
  return {
    label: label ?? labelOf(memberOf(item, 'entity_group') ?? memberOf(item, 'entity')),
    score: numberOf(memberOf(item, 'score')),
    start: numberOf(memberOf(item, 'start')),
    end: numberOf(memberOf(item, 'end')),
  }
}

function labelOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : Number.NaN
}
