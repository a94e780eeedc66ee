import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from '../../shared/components/button.tsx'
import { DataTable } from '../../shared/components/data-table.tsx'
import { formatCount } from '../../shared/format.ts'

/** Rows that are shown at first. */
const FEW = 20
const MANY = 1000

interface ResultTableProps {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** Rows of the outputs. */
export function ResultTable({ title, columns, rows }: ResultTableProps): JSX.Element {
  const [isAll, setIsAll] = useState(false)
  const numbered = rows
    .slice(0, isAll ? MANY : FEW)
    .map((cells, index) => ({ number: index + 1, cells }))
  const isNumber = columns.map((_, column) =>
    rows.slice(0, FEW).every((row) => /^(?:-?\d|null$)/.test(row[column] ?? '')),
  )
  return (
    <figure>
      <figcaption>{title}</figcaption>
      <DataTable
        caption={title}
        columns={[
          { title: 'Row', cell: ({ number }) => String(number) },
          ...columns.map((column, index) => ({
            title: column,
            isNumber: isNumber[index] ?? false,
            cell: ({ cells }: (typeof numbered)[number]) => cells[index] ?? '',
          })),
        ]}
        rows={numbered}
        keyOf={({ number }) => String(number)}
      />
      {rows.length > FEW && (
        <Button kind="quiet" onClick={() => setIsAll(!isAll)}>
          {isAll ? 'Show fewer' : `Show ${formatCount(Math.min(rows.length, MANY))} rows`}
        </Button>
      )}
    </figure>
  )
}
