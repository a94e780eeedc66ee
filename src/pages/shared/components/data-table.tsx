import type { ComponentChildren, JSX } from 'preact'

/** One column of a table. */
export interface Column<Row> {
  readonly title: string
  readonly isNumber?: boolean
  /** Extra class of the cells, for example to hide the column on small screens. */
  readonly className?: string
  /** The first column is the header of its row. */
  readonly cell: (row: Row) => ComponentChildren
}

interface DataTableProps<Row> {
  /** What the table shows, for screen readers. */
  readonly caption: string
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
  readonly keyOf: (row: Row) => string
  /** Index of the column that the rows are sorted by, and the direction. */
  readonly sorting?: { readonly column: number; readonly isDescending: boolean }
  /** Makes the titles buttons. */
  readonly onSort?: (column: number) => void
}

/** A table in a frame that scrolls by itself if the table is wider than the page. */
export function DataTable<Row>(props: DataTableProps<Row>): JSX.Element {
  const { caption, columns, rows, keyOf, sorting, onSort } = props
  const order = (index: number): 'ascending' | 'descending' | undefined => {
    if (sorting?.column !== index) return undefined
    return sorting.isDescending ? 'descending' : 'ascending'
  }
  const mark = (index: number): string => {
    const direction = order(index)
    if (direction === undefined) return ''
    return direction === 'ascending' ? ' ▲' : ' ▼'
  }
  return (
    <div class="table-frame" tabIndex={0} role="region" aria-label={caption}>
      <table class="table">
        <caption class="only-read">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column, index) => (
              <th key={column.title} scope="col" class={classOf(column)} aria-sort={order(index)}>
                {onSort === undefined ? (
                  column.title
                ) : (
                  <button type="button" class="sort-button" onClick={() => onSort(index)}>
                    {column.title}
                    <span aria-hidden="true">{mark(index)}</span>
                  </button>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map((column, index) =>
                index === 0 ? (
                  <th key={column.title} scope="row" class={classOf(column)}>
                    {column.cell(row)}
                  </th>
                ) : (
                  <td key={column.title} class={classOf(column)}>
                    {column.cell(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function classOf<Row>({ isNumber = false, className = '' }: Column<Row>): string | undefined {
  const name = [isNumber ? 'number' : '', className].filter((part) => part !== '').join(' ')
  return name === '' ? undefined : name
}
