/** The playground: a form for each model, and its response. */
import { render } from 'preact'
import { applyTheme } from '../shared/theme.ts'
import { Playground } from './playground.tsx'
import { loadModels } from './state.ts'

applyTheme()
void loadModels()
const page = document.querySelector('#page')
if (page !== null) render(<Playground />, page)
