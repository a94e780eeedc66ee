import type { JSX } from 'preact'
import { Button, IconButton } from '../../shared/components/button.tsx'
import type { Tensor } from '../model/description.ts'
import { MAX_ROWS, newRow } from '../model/tensor-values.ts'
import type { GridForm } from '../model/tensor-values.ts'

interface GridProps {
  readonly tensor: Tensor
  readonly form: GridForm
  readonly rows: readonly (readonly string[])[]
  /** Names of the columns; absent if they have none. */
  readonly columns: readonly string[] | undefined
  readonly onRows: (rows: readonly (readonly string[])[]) => void
}

/** Up to this number of columns, a single row is a list of fields with their names. */
const MAX_FIELDS = 12

/** The cells of a small tensor. */
export function Grid({ tensor, form, rows, columns, onRows }: GridProps): JSX.Element {
  const set = (row: number, column: number, text: string): void => {
    onRows(rows.with(row, (rows[row] ?? []).with(column, text)))
  }
  const nameOf = (column: number): string => columns?.[column] ?? String(column)
  const isFields = columns !== undefined && rows.length === 1 && form.columns <= MAX_FIELDS
  const hasHead = form.columns > 1
  const canRemove = form.hasOpenRows && rows.length > 1
  const cell = (row: number, column: number, label: string): JSX.Element => (
    <Cell
      label={label}
      datatype={tensor.datatype}
      text={rows[row]?.[column] ?? ''}
      onText={(text) => set(row, column, text)}
    />
  )
  return (
    <fieldset class="tensor">
      <legend>
        {tensor.name} <span class="dim mono">{tensor.text}</span>
      </legend>
      {isFields ? (
        <div class="cell-fields">
          {rows[0]?.map((_, column) => (
            <label key={column}>
              <span class="breakable">{nameOf(column)}</span>
              {cell(0, column, nameOf(column))}
            </label>
          ))}
        </div>
      ) : (
        <div class="table-frame" role="region" aria-label={`Values of ${tensor.name}`} tabIndex={0}>
          <table class="grid">
            {hasHead && (
              <thead>
                <tr>
                  {form.hasOpenRows && <td />}
                  {Array.from({ length: form.columns }, (_, column) => (
                    <th key={column} scope="col">
                      {nameOf(column)}
                    </th>
                  ))}
                  {canRemove && <td />}
                </tr>
              </thead>
            )}
            <tbody>
              {rows.map((cells, row) => (
                <tr key={row}>
                  {form.hasOpenRows && <th scope="row">{row + 1}</th>}
                  {cells.map((_, column) => (
                    <td key={column}>
                      {cell(row, column, labelOf(tensor, form, row, nameOf(column)))}
                    </td>
                  ))}
                  {canRemove && (
                    <td>
                      <IconButton
                        icon="close"
                        label={`Remove row ${row + 1}`}
                        onClick={() => onRows(rows.toSpliced(row, 1))}
                      />
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {form.hasOpenRows && (
        <div>
          <Button
            kind="quiet"
            icon="plus"
            isDisabled={rows.length >= MAX_ROWS}
            onClick={() => onRows([...rows, [...(rows.at(-1) ?? newRow(form, tensor))]])}
          >
            Add a row
          </Button>
        </div>
      )}
    </fieldset>
  )
}

function labelOf({ name }: Tensor, form: GridForm, row: number, column: string): string {
  if (form.isScalar) return name
  if (form.isList) return `${name}, element ${form.hasOpenRows ? row + 1 : column}`
  return `${name}, row ${row + 1}, column ${column}`
}

interface CellProps {
  readonly label: string
  readonly datatype: string
  readonly text: string
  readonly onText: (text: string) => void
}

function Cell({ label, datatype, text, onText }: CellProps): JSX.Element {
  if (datatype === 'BOOL') {
    return (
      <select
        class="input"
        aria-label={label}
        value={text}
        onChange={(event) => onText(event.currentTarget.value)}
      >
        <option value="true">true</option>
        <option value="false">false</option>
      </select>
    )
  }
  return (
    <input
      class={datatype === 'BYTES' ? 'input' : 'input mono'}
      aria-label={label}
      inputMode={datatype === 'BYTES' ? 'text' : 'decimal'}
      autocomplete="off"
      spellcheck={false}
      value={text}
      onInput={(event) => onText(event.currentTarget.value)}
    />
  )
}
