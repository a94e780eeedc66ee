/** Reads entries of lists that name classes: labels with scores, and detections. */

const LABEL_KEYS = [
  'label',
  'class',
  'class_name',
  'entity_group',
  'name',
  'token_str',
  'token',
  'index',
  'class_id',
  'category_id',
] as const
const SCORE_KEYS = ['score', 'probability', 'confidence', 'relevance_score'] as const
/** Members that follow from the label. With others, such as the place in a text, it says more. */
const LABEL_MEMBERS: ReadonlySet<string> = new Set([
  ...LABEL_KEYS,
  ...SCORE_KEYS,
  'sequence',
  'document',
  'text',
  'object',
])
const BOX_KEYS = ['box', 'bbox', 'bounding_box'] as const
const BOX_MEMBERS = [
  ['xmin', 'ymin', 'xmax', 'ymax'],
  ['x1', 'y1', 'x2', 'y2'],
  ['left', 'top', 'right', 'bottom'],
] as const
type Fields = Readonly<Record<string, unknown>>
export type Box = readonly [left: number, top: number, right: number, bottom: number]

export interface Scored {
  readonly label: string
  readonly score: number
}

export interface Detection extends Scored {
  readonly box: Box
}

/** Reads all entries; `undefined` if one is something else. */
export function allOf<T>(
  list: readonly unknown[],
  read: (fields: Fields) => T | undefined,
): T[] | undefined {
  const all: T[] = []
  for (const one of list) {
    if (typeof one !== 'object' || one === null || Array.isArray(one)) return undefined
    const value = read(one as Fields)
    if (value === undefined) return undefined
    all.push(value)
  }
  return all
}

/** A label with a score from 0 to 1, and nothing else. */
export function scoredOf(fields: Fields): Scored | undefined {
  const label = memberOf(fields, LABEL_KEYS)
  const score = memberOf(fields, SCORE_KEYS)
  if (typeof label !== 'string' && typeof label !== 'number') return undefined
  if (typeof score !== 'number' || !(score >= 0 && score <= 1)) return undefined
  if (!Object.keys(fields).every((key) => LABEL_MEMBERS.has(key))) return undefined
  return { label: String(label), score }
}

/** A box with a score, and mostly a label. */
export function detectionOf(fields: Fields): Detection | undefined {
  const box = boxOf(memberOf(fields, BOX_KEYS) ?? fields)
  const score = memberOf(fields, SCORE_KEYS)
  const label = memberOf(fields, LABEL_KEYS) ?? ''
  if (box === undefined || typeof score !== 'number') return undefined
  if (typeof label !== 'string' && typeof label !== 'number') return undefined
  return { label: String(label), score, box }
}

/** The edges in ascending order. Boxes in another form are compared as if they were edges. */
function boxOf(value: unknown): Box | undefined {
  const edges: readonly unknown[] | undefined = Array.isArray(value) ? value : edgesOf(value)
  if (edges?.length !== 4 || !edges.every(isEdge)) return undefined
  const [left = 0, top = 0, right = 0, bottom = 0] = edges
  return [
    Math.min(left, right),
    Math.min(top, bottom),
    Math.max(left, right),
    Math.max(top, bottom),
  ]
}

function isEdge(value: unknown): value is number {
  return Number.isFinite(value)
}

function edgesOf(value: unknown): readonly unknown[] | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const fields = value as Fields
  const members = BOX_MEMBERS.find((names) => names.every((one) => Object.hasOwn(fields, one)))
  return members?.map((member) => fields[member])
}

function memberOf(fields: Fields, keys: readonly string[]): unknown {
  const key = keys.find((one) => Object.hasOwn(fields, one))
  return key === undefined ? undefined : fields[key]
}
