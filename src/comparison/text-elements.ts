import type { Values } from './comparison.ts'
/**
 * Texts that hold numbers: JSON, as text models write into an output of the datatype BYTES, and the
 * classes of the Open Inference Protocol, such as `0.931:7:dog`.
 */
import { parseJson } from './decoding/json.ts'
import { rowsOf } from './rules.ts'

const CLASS = /^(-?(?:\d+(?:\.\d+)?|inf)|nan):(\d+(?::.*)?)$/s
const JSON_START = /^\s*[[{]/

/** The values in the texts of an output; `undefined` if they are plain texts. */
export function treeOfTexts({ datatype, shape, data }: Values): unknown {
  if (datatype !== 'BYTES' || data.length === 0) return undefined
  const texts = Array.from(data, String)
  if (texts.every((text) => CLASS.test(text))) {
    const entries = texts.map(entryOf)
    return [...rowsOf(texts.length, shape)].map(([start, end]) => entries.slice(start, end))
  }
  if (!texts.every((text) => JSON_START.test(text))) return undefined
  try {
    return texts.map((text) => parseJson(Buffer.from(text)))
  } catch {
    return undefined
  }
}

/** A class as an entry of a list of labels. */
function entryOf(text: string): { readonly label: string; readonly score: number } {
  const [, score = '', label = ''] = CLASS.exec(text) ?? []
  return { label, score: Number(score.replace('inf', 'Infinity')) }
}
