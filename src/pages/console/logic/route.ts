/** The views of the console and their addresses after the `#`. */

export const VIEWS = ['overview', 'models', 'register', 'cache', 'log', 'settings'] as const
export type ViewName = (typeof VIEWS)[number]

/** What the page shows. */
export type Route =
  | { readonly view: ViewName }
  | { readonly view: 'model'; readonly name: string; readonly version: string | undefined }

/** Reads the part of the address after the `#`. Anything unknown is the overview. */
export function routeOf(hash: string): Route {
  const [first = '', ...rest] = hash
    .replace(/^#?\/?/, '')
    .split('/')
    .map(decoded)
  const [name, version] = rest
  if (first === 'models' && name !== undefined && name !== '')
    return { view: 'model', name, version: version === '' ? undefined : version }
  return { view: VIEWS.find((view) => view === first) ?? 'overview' }
}

/** The address of a view. */
export function viewAddress(view: ViewName): string {
  return view === 'overview' ? '#/' : `#/${view}`
}

/** The address of a model, or of one of its versions. */
export function modelAddress(name: string, version?: string): string {
  const parts = version === undefined ? [name] : [name, version]
  return `#/models/${parts.map(encodeURIComponent).join('/')}`
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
