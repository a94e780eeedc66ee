/** The console: models, workers and traffic of a running server. */
import { render } from 'preact'
import type { JSX } from 'preact'

function Console(): JSX.Element {
  return <h1>onnxd</h1>
}

const page = document.querySelector('#page')
if (page !== null) render(<Console />, page)
