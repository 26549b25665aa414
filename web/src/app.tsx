// SPDX-License-Identifier: GPL-2.0-or-later
// The frame around the pages.
import { useState } from 'preact/hooks'
import { call } from './api'
import { language, languageNames, setLanguage, t, type Language, type TextKey } from './i18n'
import { AutomationPage } from './pages/automation'
import { CreatePage } from './pages/create'
import { DisksPage } from './pages/disks'
import { EventsPage } from './pages/events'
import { LoginPage } from './pages/login'
import { MachinePage } from './pages/machine'
import { MachinesPage } from './pages/machines'
import { NetworkPage } from './pages/network'
import { NetworksPage } from './pages/networks'
import { ResourcesPage } from './pages/resources'
import { ServerPage } from './pages/server'
import { TasksPage } from './pages/tasks'
import { UsersPage } from './pages/users'
import { route } from './route'
import { attempt, dismissToast, leave, live, phase, runningTasks, server, serverMay, session, toasts } from './store'
import { setTheme, theme, type Theme } from './theme'
import { Icon, type IconName } from './ui/icon'
import { Button } from './ui/parts'

interface Entry {
  id: string
  icon: IconName
  text: TextKey
  page: () => preact.JSX.Element
  onPhone?: boolean
  when?: () => boolean
}

const ENTRIES: Entry[] = [
  { id: 'machines', icon: 'machines', text: 'nav.machines', page: MachinesPage, onPhone: true },
  { id: 'disks', icon: 'disks', text: 'nav.disks', page: DisksPage, onPhone: true },
  { id: 'networks', icon: 'networks', text: 'nav.networks', page: NetworksPage },
  { id: 'resources', icon: 'resources', text: 'nav.resources', page: ResourcesPage },
  { id: 'events', icon: 'events', text: 'nav.events', page: EventsPage, onPhone: true },
  { id: 'tasks', icon: 'tasks', text: 'nav.tasks', page: TasksPage, onPhone: true },
  { id: 'users', icon: 'users', text: 'nav.users', page: UsersPage },
  { id: 'automation', icon: 'terminal', text: 'nav.automation', page: AutomationPage, when: () => serverMay('view') },
  { id: 'server', icon: 'server', text: 'nav.server', page: ServerPage, when: () => serverMay('view') },
]

function Nav({ onMore }: { onMore: () => void }) {
  const here = route.value[0] ?? 'machines'
  return (
    <nav aria-label={t('nav.label')}>
      <ul>
        {ENTRIES.filter((entry) => entry.when?.() ?? true).map((entry) => (
          <li class={entry.onPhone ? '' : 'not-on-phone'}>
            <a href={`#/${entry.id}`} aria-current={here === entry.id ? 'page' : undefined}>
              <Icon name={entry.icon} />
              <span>{t(entry.text)}</span>
              {entry.id === 'tasks' && runningTasks.value.length > 0 && <span class="count">{runningTasks.value.length}</span>}
            </a>
          </li>
        ))}
        <li class="phone-only">
          <button type="button" onClick={onMore}>
            <Icon name="more" />
            <span>{t('nav.more')}</span>
          </button>
        </li>
      </ul>
    </nav>
  )
}

async function logOut() {
  await attempt(() => call('/session', { method: 'DELETE' }))
  leave()
}

function Preferences() {
  return (
    <div class="preferences">
      <label>
        <span class="visually-hidden">{t('preference.language')}</span>
        <Icon name="globe" />
        <select value={language.value} onChange={(event) => setLanguage(event.currentTarget.value as Language)}>
          {(Object.keys(languageNames) as Language[]).map((code) => (
            <option value={code}>{languageNames[code]}</option>
          ))}
        </select>
      </label>
      <label>
        <span class="visually-hidden">{t('preference.theme')}</span>
        <Icon name="sun" />
        <select value={theme.value} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
          <option value="system">{t('preference.theme.system')}</option>
          <option value="light">{t('preference.theme.light')}</option>
          <option value="dark">{t('preference.theme.dark')}</option>
        </select>
      </label>
    </div>
  )
}

function Frame() {
  const [more, setMore] = useState(false)
  const [first = 'machines', second] = route.value
  const entry = ENTRIES.find((candidate) => candidate.id === first && (candidate.when?.() ?? true))
  let page
  if (first === 'machines' && second === 'new') page = <CreatePage />
  else if (first === 'machines' && second) page = <MachinePage key={second} id={second} />
  else if (first === 'networks' && second) page = <NetworkPage key={second} name={second} />
  else if (entry) page = <entry.page />
  else page = <MachinesPage />
  return (
    <>
      <a class="skip" href="#content" onClick={(event) => {
        event.preventDefault()
        document.querySelector<HTMLElement>('main h1')?.focus()
      }}>
        {t('nav.skip')}
      </a>
      <div class={`frame${more ? ' more-open' : ''}`}>
        <aside>
          <a class="brand" href="#/machines">
            <img src="/yado.svg" alt="" width="30" height="30" />
            <span>
              <b>Yado</b>
              <small>{server.value?.name || server.value?.host.hostname}</small>
            </span>
          </a>
          <Nav onMore={() => setMore(!more)} />
          <div class="aside-foot">
            {!live.value && <p class="offline" role="status">{t('state.reconnecting')}</p>}
            <Preferences />
            <div class="me">
              <span title={session.value?.groups.join(', ')}>{session.value?.user}</span>
              <Button icon="logout" label={t('action.log-out')} iconOnly kind="quiet" onClick={() => void logOut()} />
            </div>
          </div>
        </aside>
        <main id="content" onClick={() => more && setMore(false)}>{page}</main>
        {more && (
          <div class="sheet phone-only">
            <ul onClick={() => setMore(false)}>
              {ENTRIES.filter((e) => !e.onPhone && (e.when?.() ?? true)).map((e) => (
                <li>
                  <a href={`#/${e.id}`}>
                    <Icon name={e.icon} />
                    <span>{t(e.text)}</span>
                  </a>
                </li>
              ))}
            </ul>
            <Preferences />
            <div class="me">
              <span>{session.value?.user}</span>
              <Button icon="logout" label={t('action.log-out')} onClick={() => void logOut()} />
            </div>
          </div>
        )}
      </div>
    </>
  )
}

function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <div class={`toast ${toast.kind}`} key={toast.id}>
          <Icon name={toast.kind === 'error' ? 'error' : toast.kind === 'ok' ? 'check' : 'info'} />
          <span>{toast.text}</span>
          <Button icon="close" label={t('action.close')} iconOnly kind="quiet" onClick={() => dismissToast(toast.id)} />
        </div>
      ))}
    </div>
  )
}

export function App() {
  let view
  if (phase.value === 'ready') view = <Frame />
  else if (phase.value === 'login') view = <LoginPage />
  else view = <p class="waiting" role="status">{t(phase.value === 'unreachable' ? 'error.unreachable' : 'state.loading')}</p>
  return (
    <>
      {view}
      <Toasts />
    </>
  )
}
