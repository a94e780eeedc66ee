/** The settings of `model.json` about tables: request bodies with one row for each sample. */
import { Type } from '@sinclair/typebox'
import { stringEnum } from '../schema.ts'

/** What happens to columns of a table that the model does not have. */
export const EXTRA_COLUMNS = ['strict', 'ignore'] as const

/** Members of `model.json`. */
export const TABLE_PROPERTIES = {
  columns: Type.Optional(
    Type.Array(Type.String(), {
      minItems: 1,
      uniqueItems: true,
      description:
        'Names of the columns of the only model input [N,columns], in its order, for CSV files with a header and for records. Models with several inputs use the input names.',
    }),
  ),
  extraColumns: Type.Optional(
    stringEnum(EXTRA_COLUMNS, {
      description:
        'What to do with columns of a table that the model does not have: reject the request (`strict`, the default) or drop them (`ignore`).',
    }),
  ),
}
