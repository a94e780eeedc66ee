import type { ComponentChildren, JSX } from 'preact'
import { THEMES, theme } from '../theme.ts'
import type { Theme } from '../theme.ts'
import { IconButton } from './button.tsx'

const THEME_LABELS: Readonly<Record<Theme, string>> = {
  system: 'as the system',
  light: 'light',
  dark: 'dark',
}

interface PageHeaderProps {
  readonly title: string
  /** Navigation and controls between the title and the switch of the theme. */
  readonly children?: ComponentChildren
}

/** The bar at the top of a page. */
export function PageHeader({ title, children }: PageHeaderProps): JSX.Element {
  return (
    <header class="page-header">
      <a class="brand" href="#/">
        <svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true" focusable="false">
          <path
            d="M5 6 17 5M5 6l6 5M5 6v10M17 5l-6 6M11 11l6 6M11 11l-6 5M5 16l12 1"
            stroke="currentColor"
            stroke-width="1.3"
            fill="none"
          />
          <g fill="currentColor">
            <circle cx="5" cy="6" r="2.4" />
            <circle cx="17" cy="5" r="2.4" />
            <circle cx="11" cy="11" r="2.6" />
            <circle cx="5" cy="16" r="2.4" />
            <circle cx="17" cy="17" r="2.4" />
          </g>
        </svg>
        {title}
      </a>
      {children}
      <ThemeSwitch />
    </header>
  )
}

/** Goes through the themes: as the system, light, dark. */
function ThemeSwitch(): JSX.Element {
  const now = theme.value
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length] ?? 'system'
  return (
    <span class="push">
      <IconButton
        icon={now}
        label={`Theme: ${THEME_LABELS[now]}. Change to ${THEME_LABELS[next]}.`}
        onClick={() => {
          theme.value = next
        }}
      />
    </span>
  )
}
