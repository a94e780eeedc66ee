/**
 * The columns of a model: each input is one column, or the only input has several, in the order of
 * its elements.
 */
import { areColumns } from '../table-columns.ts'
import { countText, quote, specListText } from '../tensors/error-text.ts'
import type { ModelMetadata, TensorSpec } from '../tensors/metadata.ts'
import { elementCount } from '../tensors/tensor.ts'

/** Names of columns in an error text. */
const MAX_LISTED = 8

/** The place of a column in the model's inputs. */
export interface Column {
  readonly name: string
  /** Position of the column among all columns. */
  readonly position: number
  /** Position of its input. */
  readonly input: number
  /** Offset among the elements that one row has in this input. */
  readonly offset: number
}

/** How the rows of a table become tensors. */
export interface TablePlan {
  readonly inputs: readonly TensorSpec[]
  /** Absent if the model takes any number of columns: the first row then decides. */
  readonly columns: readonly Column[] | undefined
  /** False: the columns have no names, and headers do not choose among them. */
  readonly isNamed: boolean
  readonly ignoresExtraColumns: boolean
  /** Most rows of a request; 0 if the model has no limit. */
  readonly maxBatchSize: number
}

/** Returns the plan; `undefined` if the inputs are not columns. */
export function planTable(model: ModelMetadata): TablePlan | undefined {
  const { inputs, columns: names, ignoresExtraColumns = false, maxBatchSize } = model
  const [first, ...others] = inputs
  if (first === undefined) return undefined
  if (others.length > 0) {
    if (!areColumns(inputs)) return undefined
    const columns = inputs.map(({ name }, index) => ({
      name,
      position: index,
      input: index,
      offset: 0,
    }))
    return { inputs, columns, isNamed: true, ignoresExtraColumns, maxBatchSize }
  }
  const width = names?.length ?? widthOf(first)
  if (width === undefined) return undefined
  const own = names ?? (width === 1 ? [first.name] : undefined)
  return {
    inputs,
    columns: width < 0 ? undefined : columnsOfOne(width, own),
    isNamed: own !== undefined,
    ignoresExtraColumns,
    maxBatchSize,
  }
}

/** Returns the columns of a model with one input; without names they have numbers, as in pandas. */
export function columnsOfOne(width: number, names?: readonly string[]): readonly Column[] {
  return Array.from({ length: width }, (_, offset) => {
    const name = names?.[offset]
    return name === undefined
      ? new NumberedColumn(offset)
      : { name, position: offset, input: 0, offset }
  })
}

/** A body may have millions of columns, so each needs little memory. */
class NumberedColumn implements Column {
  readonly position: number

  constructor(position: number) {
    this.position = position
  }

  get name(): string {
    return String(this.position)
  }

  get input(): number {
    return 0
  }

  get offset(): number {
    return this.position
  }
}

/** Number of elements of one row; -1 if any number, `undefined` if the input cannot have rows. */
function widthOf({ shape: [rows, ...rest], anyShape }: TensorSpec): number | undefined {
  if (anyShape === true) return -1
  if (rows === undefined) return undefined
  if (rest.every((size) => size >= 0)) return elementCount(rest)
  return rest.length === 1 ? -1 : undefined
}

/** Members in which clients send images. */
const IMAGES: ReadonlySet<string> = new Set(['b64', 'image', 'image_bytes'])

/** The next step for a table with a column that the model does not have. */
export function extraAdvice(name: string, { isNamed }: TablePlan): string {
  if (IMAGES.has(name)) return 'For images, set "handler": "image" in model.json.'
  return isNamed
    ? 'To drop extra columns, set "extraColumns": "ignore" in model.json.'
    : 'To name the columns, set "columns" in model.json.'
}

/** What the model expects, for error texts. `columns` are absent until they are known. */
export function columnText(
  { inputs, isNamed }: TablePlan,
  columns: readonly Column[] | undefined,
): string {
  if (columns === undefined) return `the model expects ${specListText(inputs)}`
  const count = countText(columns.length, 'column')
  if (!isNamed) return `the model has ${count}: ${specListText(inputs)}`
  return `the model has ${count}: ${listText(columns.map(({ name }) => name))}`
}

/** The first names of a list, for error texts. */
export function listText(names: readonly string[]): string {
  const shown = names.slice(0, MAX_LISTED).map((name) => quote(name))
  const more = names.length - shown.length
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '')
}
