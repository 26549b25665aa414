// SPDX-License-Identifier: GPL-2.0-or-later
import { useState } from 'preact/hooks'
import { ApiError, call, type Session } from '../api'
import { t } from '../i18n'
import { enter, errorText } from '../store'
import { Button, Input } from '../ui/parts'

export function LoginPage() {
  const [user, setUser] = useState('')
  const [password, setPassword] = useState('')
  const [problem, setProblem] = useState('')
  const [busy, setBusy] = useState(false)
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setProblem('')
    try {
      await enter(await call<Session>('/session', { method: 'POST', body: { user, password } }))
    } catch (error) {
      setProblem(error instanceof ApiError && error.status === 401 ? t('login.wrong') : errorText(error))
      setPassword('')
      setBusy(false)
    }
  }
  return (
    <main class="login">
      <form onSubmit={(event) => void submit(event)}>
        <img src="/yado.svg" alt="" width="56" height="56" />
        <h1>Yado</h1>
        <p class="muted">{t('login.intro')}</p>
        {problem && <p class="alert error" role="alert">{problem}</p>}
        <Input label={t('login.user')} value={user} onInput={setUser} required autoComplete="username" autofocus />
        <Input label={t('login.password')} value={password} onInput={setPassword} type="password" required autoComplete="current-password" />
        <Button label={t('login.submit')} kind="primary" type="submit" busy={busy} />
      </form>
    </main>
  )
}
