/** What the whole page shares: the API, the list of models, and which model is selected. */
import { signal } from '@preact/signals'
import { ApiClient } from '../shared/api-client.ts'
import { elementsOf, memberOf, textsOf } from './model/unknown-json.ts'

export const api = new ApiClient('onnxd-inference-token')

/** A model, or one version of it. */
export interface Selection {
  readonly model: string
  readonly version: string | undefined
}

/** Names of the models; `undefined` until the server has listed them. */
export const models = signal<readonly string[] | undefined>(undefined)
/** Why the list could not be read. */
export const listError = signal<unknown>(undefined)
/** The model in the URL of the page. */
export const selection = signal<Selection | undefined>(selectionOf(location.hash))

addEventListener('hashchange', () => {
  selection.value = selectionOf(location.hash)
})

/** Reads the list of models. */
export async function loadModels(): Promise<void> {
  try {
    const list = memberOf(await api.json('v2/models'), 'models')
    models.value = textsOf(elementsOf(list)).toSorted()
    listError.value = undefined
  } catch (error) {
    listError.value = error
  }
}

/** URL of a model in this page. */
export function hashOf({ model, version }: Selection): string {
  const parts = version === undefined ? [model] : [model, version]
  return `#/${parts.map(encodeURIComponent).join('/')}`
}

/** The URL of the server with a slash at its end. */
export function serverUrl(): string {
  const url = new URL('.', document.baseURI)
  return url.origin + url.pathname
}

function selectionOf(hash: string): Selection | undefined {
  try {
    const [model = '', version] = hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent)
    return model === '' ? undefined : { model, version }
  } catch {
    return undefined
  }
}
