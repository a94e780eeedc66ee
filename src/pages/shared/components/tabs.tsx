import type { ComponentChildren, JSX } from 'preact'
import { useId, useRef } from 'preact/hooks'

/** One tab. */
export interface Tab<Name extends string> {
  readonly name: Name
  readonly label: ComponentChildren
}

interface TabsProps<Name extends string> {
  /** What the tabs are about, for screen readers. */
  readonly label: string
  readonly tabs: readonly Tab<Name>[]
  readonly selected: Name
  readonly onSelect: (name: Name) => void
  /** The content of the selected tab. */
  readonly children: ComponentChildren
}

/** Tabs with their panel. Arrow keys, Home and End move between the tabs. */
export function Tabs<Name extends string>(props: TabsProps<Name>): JSX.Element {
  const { label, tabs, selected, onSelect, children } = props
  const id = useId()
  const list = useRef<HTMLDivElement>(null)
  const move = (event: KeyboardEvent): void => {
    const now = tabs.findIndex(({ name }) => name === selected)
    const targets: Record<string, number> = {
      ArrowLeft: (now - 1 + tabs.length) % tabs.length,
      ArrowRight: (now + 1) % tabs.length,
      Home: 0,
      End: tabs.length - 1,
    }
    const target = targets[event.key]
    const tab = target === undefined ? undefined : tabs[target]
    if (target === undefined || tab === undefined) return
    event.preventDefault()
    onSelect(tab.name)
    const button = list.current?.children[target]
    if (button instanceof HTMLElement) button.focus()
  }
  return (
    <div>
      <div ref={list} class="tab-list" role="tablist" aria-label={label} onKeyDown={move}>
        {tabs.map((tab) => (
          <button
            key={tab.name}
            type="button"
            class="tab"
            role="tab"
            id={`${id}-${tab.name}`}
            aria-controls={`${id}-panel`}
            aria-selected={tab.name === selected}
            tabIndex={tab.name === selected ? 0 : -1}
            onClick={() => onSelect(tab.name)}
          >
            {tab.label}
          </button>
        ))}
      </div>
      <div id={`${id}-panel`} role="tabpanel" aria-labelledby={`${id}-${selected}`}>
        {children}
      </div>
    </div>
  )
}
