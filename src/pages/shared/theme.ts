/** Light or dark: as the system says, unless the reader has chosen one. */
import { effect, signal } from '@preact/signals'

/** What the reader can choose. */
export const THEMES = ['system', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

const STORAGE_KEY = 'onnxd-theme'

/** The choice, which the browser remembers. */
export const theme = signal<Theme>(savedTheme())

const systemIsDark = matchMedia('(prefers-color-scheme: dark)')
/** Whether the page is dark now. Charts are drawn again when it changes. */
export const isDark = signal(false)

/** Applies the choice to the document, now and after each change. Call it once. */
export function applyTheme(): void {
  const update = (): void => {
    isDark.value = theme.value === 'dark' || (theme.value === 'system' && systemIsDark.matches)
  }
  systemIsDark.addEventListener('change', update)
  effect(() => {
    const { dataset } = document.documentElement
    if (theme.value === 'system') delete dataset['theme']
    else dataset['theme'] = theme.value
    localStorage.setItem(STORAGE_KEY, theme.value)
    update()
  })
}

function savedTheme(): Theme {
  const saved = localStorage.getItem(STORAGE_KEY)
  return THEMES.find((name) => name === saved) ?? 'system'
}
