/** The console: models, workers and traffic of a running server. */
import { render } from 'preact'
import { applyTheme } from '../shared/theme.ts'
import { App } from './app.tsx'
import { connect } from './page-state/connection.ts'
import { takeDroppedFiles } from './page-state/dropped-file.ts'
import { followAddress } from './page-state/router.ts'

applyTheme()
followAddress()
takeDroppedFiles()
connect()
const page = document.querySelector('#page')
if (page !== null) render(<App />, page)
