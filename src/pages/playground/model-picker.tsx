import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Field } from '../shared/components/field.tsx'
import { formatAmount } from '../shared/format.ts'
import { hashOf } from './state.ts'

/** With fewer models a filter is not needed. */
const MANY = 9

interface ModelPickerProps {
  readonly names: readonly string[]
  readonly selected: string
}

/** The list of models: links beside the model, or on small screens a menu above it. */
export function ModelPicker({ names, selected }: ModelPickerProps): JSX.Element {
  const [filter, setFilter] = useState('')
  const current = useRef<HTMLAnchorElement>(null)
  useEffect(() => current.current?.scrollIntoView({ block: 'nearest' }), [selected])
  const shown = names.filter((name) => name.toLowerCase().includes(filter.trim().toLowerCase()))
  return (
    <>
      <nav class="picker-menu" aria-label="Model">
        <Field label="Model">
          {(ids) => (
            <select
              {...ids}
              class="input"
              value={selected}
              onChange={({ currentTarget }) => {
                location.hash = hashOf({ model: currentTarget.value, version: undefined })
              }}
            >
              {!names.includes(selected) && <option value={selected}>{selected}</option>}
              {names.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          )}
        </Field>
      </nav>
      <nav class="picker" aria-label="Models">
        <h2>{formatAmount(names.length, 'model')}</h2>
        {names.length >= MANY && (
          <input
            class="input"
            type="search"
            aria-label="Filter models by name"
            placeholder="Filter"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
        )}
        <ul>
          {shown.map((name) => (
            <li key={name}>
              <a
                ref={name === selected ? current : null}
                href={hashOf({ model: name, version: undefined })}
                aria-current={name === selected ? 'page' : undefined}
                title={name}
              >
                {name}
              </a>
            </li>
          ))}
        </ul>
        {shown.length === 0 && <p class="small dim">No model has this name.</p>}
      </nav>
    </>
  )
}
