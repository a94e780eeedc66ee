import type { JSX } from 'preact'
import { Field } from '../../shared/components/field.tsx'

interface SearchFieldProps {
  readonly label: string
  readonly text: string
  readonly onText: (text: string) => void
}

/** A field that filters a list while the reader types. */
export function SearchField({ label, text, onText }: SearchFieldProps): JSX.Element {
  return (
    <Field label={label}>
      {(ids) => (
        <input
          {...ids}
          class="input"
          type="search"
          value={text}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      )}
    </Field>
  )
}
