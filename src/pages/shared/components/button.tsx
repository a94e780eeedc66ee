import type { ComponentChildren, JSX } from 'preact'
import { Icon } from './icon.tsx'
import type { IconName } from './icon.tsx'

/** How a button looks. `danger` opens a question, `danger solid` destroys. */
export type ButtonKind = 'plain' | 'primary' | 'danger' | 'danger solid' | 'quiet'

interface ButtonProps {
  readonly kind?: ButtonKind
  readonly type?: 'button' | 'submit'
  readonly icon?: IconName
  readonly isDisabled?: boolean
  /** Whether it gets the focus when its dialog opens. */
  readonly isFirst?: boolean
  readonly onClick?: (event: MouseEvent) => void
  readonly children: ComponentChildren
}

/** A button with a text, and perhaps an icon before it. */
export function Button({
  kind = 'plain',
  type = 'button',
  icon,
  isDisabled = false,
  isFirst = false,
  onClick,
  children,
}: ButtonProps): JSX.Element {
  return (
    <button
      type={type}
      class={`button ${kind}`}
      disabled={isDisabled}
      data-first={isFirst ? '' : undefined}
      onClick={onClick}
    >
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </button>
  )
}

interface IconButtonProps {
  readonly icon: IconName
  /** Read by screen readers, and shown when the pointer rests on the button. */
  readonly label: string
  readonly kind?: ButtonKind
  readonly onClick: (event: MouseEvent) => void
}

/** A button that has only an icon. */
export function IconButton({ icon, label, kind = 'quiet', onClick }: IconButtonProps): JSX.Element {
  return (
    <button
      type="button"
      class={`button square ${kind}`}
      aria-label={label}
      title={label}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  )
}
