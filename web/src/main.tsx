// SPDX-License-Identifier: GPL-2.0-or-later
import { render } from 'preact'
import { App } from './app'
import { begin } from './store'
import './style/base.css'
import './style/parts.css'
import './style/pages.css'
import './style/networks.css'

begin()
render(<App />, document.getElementById('app')!)
