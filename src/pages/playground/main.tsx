/** The playground: a form for each model, with its response. */
import { render } from 'preact'
import type { JSX } from 'preact'

function Playground(): JSX.Element {
  return <h1>onnxd</h1>
}

const page = document.querySelector('#page')
if (page !== null) render(<Playground />, page)
