/** How an HTTP process gets from the models that it serves to those that it has to serve. */
import type { NameState, VersionState } from './desired-state.ts'

/** One step. The steps of a model are made in order; models do not depend on each other. */
export type Step<V extends VersionState = VersionState> =
  | { readonly kind: 'unregister'; readonly name: string }
  | { readonly kind: 'unregister version'; readonly name: string; readonly version: string }
  | { readonly kind: 'register'; readonly name: string; readonly version: V }
  /** Replaces all versions at once. The old ones serve until the new ones are ready. */
  | { readonly kind: 'reload'; readonly name: string; readonly versions: readonly V[] }
  | { readonly kind: 'default'; readonly name: string; readonly version: string }
  | { readonly kind: 'route'; readonly name: string; readonly routing: NameState['routing'] }
  | { readonly kind: 'shadow'; readonly name: string; readonly shadow: NameState['shadow'] }
  | { readonly kind: 'scale'; readonly name: string; readonly version: V }

/**
 * Returns the steps of each model that has to change. New versions come before old ones go, and the
 * default and the routing change in between, so that each step is allowed.
 * @param canReload Whether versions can be loaded together: those of one registration can.
 */
export function planOf<V extends VersionState>(
  current: readonly NameState[],
  desired: readonly NameState<V>[],
  canReload: (versions: readonly V[]) => boolean,
): Step<V>[][] {
  const before = new Map(current.map((state) => [state.name, state]))
  const wanted = new Set(desired.map(({ name }) => name))
  const gone = current.filter(({ name }) => !wanted.has(name))
  const plans = desired.map((state) => stepsTo(state, before.get(state.name), canReload))
  return [
    ...gone.map(({ name }): Step<V>[] => [{ kind: 'unregister', name }]),
    ...plans.filter((steps) => steps.length > 0),
  ]
}

function stepsTo<V extends VersionState>(
  desired: NameState<V>,
  current: NameState | undefined,
  canReload: (versions: readonly V[]) => boolean,
): Step<V>[] {
  const { name, versions } = desired
  const ids = new Set(versions.map(({ id }) => id))
  const kept = current?.versions.filter(({ id }) => ids.has(id)) ?? []
  const old = current?.versions.filter(({ id }) => !ids.has(id)) ?? []
  const isReplaced = old.some(({ version }) => versions.some((one) => one.version === version))
  if (!isReplaced) return [...changes(desired, current, kept), ...removals<V>(name, old)]
  // Two registrations of one version cannot be served at the same time.
  if (kept.length > 0 || !canReload(versions)) {
    return [{ kind: 'unregister', name }, ...changes(desired, undefined, [])]
  }
  const reloaded = { ...desired, routing: current?.routing, shadow: current?.shadow }
  return [{ kind: 'reload', name, versions }, ...settings(desired, reloaded, versions)]
}

/** Registers what is missing, then sets the default, the labels and weights, and the workers. */
function changes<V extends VersionState>(
  desired: NameState<V>,
  current: NameState | undefined,
  kept: readonly VersionState[],
): Step<V>[] {
  const { name, versions } = desired
  const known = new Set(kept.map(({ id }) => id))
  const missing = versions.filter(({ id }) => !known.has(id))
  const registered = missing.map((version): Step<V> => ({ kind: 'register', name, version }))
  return [...registered, ...settings(desired, current, missing, kept)]
}

function settings<V extends VersionState>(
  { name, defaultVersion, routing, shadow, versions }: NameState<V>,
  current: NameState | undefined,
  added: readonly V[],
  kept: readonly VersionState[] = [],
): Step<V>[] {
  const limitsOf = new Map(kept.map(({ id, limits }) => [id, limits]))
  const scaled = versions.filter(
    ({ id, limits }) =>
      limits !== undefined &&
      !isSame(limits, added.some((one) => one.id === id) ? {} : limitsOf.get(id)),
  )
  return [
    // The default of a model with new versions is not known before they are registered.
    ...(added.length === 0 && current?.defaultVersion === defaultVersion
      ? []
      : [{ kind: 'default', name, version: defaultVersion } as const]),
    ...(isSame(routing, current?.routing) ? [] : [{ kind: 'route', name, routing } as const]),
    ...(isSame(shadow, current?.shadow) ? [] : [{ kind: 'shadow', name, shadow } as const]),
    ...scaled.map((version): Step<V> => ({ kind: 'scale', name, version })),
  ]
}

function removals<V extends VersionState>(name: string, old: readonly VersionState[]): Step<V>[] {
  return old.map(({ version }) => ({ kind: 'unregister version', name, version }))
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
