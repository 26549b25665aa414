// SPDX-License-Identifier: GPL-2.0-or-later
// The machine's screen, keyboard and mouse, by noVNC.
import RFB from '@novnc/novnc'
import { useEffect, useRef, useState } from 'preact/hooks'
import { call, socketUrl, type Machine } from '../api'
import { t } from '../i18n'
import { attempt, may, toast } from '../store'
import { Button, Checkbox, Dialog, Field } from '../ui/parts'

type Link = 'connecting' | 'connected' | 'closed'

function Paste({ machine, onClose }: { machine: Machine; onClose: () => void }) {
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  useEffect(() => {
    // Where the browser lets us; elsewhere the user pastes into the field.
    navigator.clipboard?.readText?.().then(setText, () => {})
  }, [])
  return (
    <Dialog title={t('paste.title')} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          setBusy(true)
          const done = await attempt(async () => {
            await call(`/machines/${machine.id}/text`, { method: 'POST', body: { text } })
            return true
          })
          setBusy(false)
          if (!done) return
          toast('ok', t('paste.typed'))
          onClose()
        }}
      >
        <Field label={t('paste.text')} hint={t('paste.hint')}>
          {(field) => <textarea {...field} rows={6} value={text} maxLength={65536} onInput={(event) => setText(event.currentTarget.value)} />}
        </Field>
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t('paste.type')} kind="primary" type="submit" busy={busy} disabled={!text} />
        </footer>
      </form>
    </Dialog>
  )
}

export function Screen({ machine }: { machine: Machine }) {
  const frame = useRef<HTMLDivElement>(null)
  const target = useRef<HTMLDivElement>(null)
  const rfb = useRef<RFB | null>(null)
  const [link, setLink] = useState<Link>('connecting')
  const [turn, setTurn] = useState(0)
  const [fit, setFit] = useState(true)
  const [pasting, setPasting] = useState(false)
  const on = machine.state === 'running' || machine.state === 'paused'
  useEffect(() => {
    if (!target.current || !on || !may(machine, 'control')) return
    setLink('connecting')
    const next = new RFB(target.current, socketUrl(`/machines/${machine.id}/vnc`), { wsProtocols: ['binary'] })
    next.scaleViewport = fit
    next.focusOnClick = true
    next.background = 'transparent'
    next.addEventListener('connect', () => {
      setLink('connected')
      next.focus()
    })
    next.addEventListener('disconnect', () => setLink('closed'))
    rfb.current = next
    return () => {
      rfb.current = null
      next.disconnect()
    }
  }, [machine.id, on, turn])
  useEffect(() => {
    if (rfb.current) rfb.current.scaleViewport = fit
  }, [fit, link])
  if (!may(machine, 'control')) return <p class="alert">{t('console.no-right')}</p>
  if (!on) return <p class="alert">{t('console.off')}</p>
  return (
    <div class="console" ref={frame}>
      <div class="console-bar" role="toolbar" aria-label={t('tab.screen')}>
        <Button icon="keyboard" label="Ctrl+Alt+Del" onClick={() => rfb.current?.sendCtrlAltDel()} disabled={link !== 'connected'} />
        <Button icon="paste" label={t('console.paste')} onClick={() => setPasting(true)} />
        <Checkbox label={t('console.fit')} checked={fit} onChange={setFit} />
        <span class="console-state" role="status">
          {t(`console.${link}`)}
        </span>
        {link === 'closed' && <Button icon="reset" label={t('console.reconnect')} onClick={() => setTurn(turn + 1)} />}
        <Button
          icon="expand"
          label={t('console.full-screen')}
          onClick={() => {
            if (document.fullscreenElement) void document.exitFullscreen()
            else void frame.current?.requestFullscreen().then(() => rfb.current?.focus())
          }}
        />
      </div>
      <div class="screen" ref={target} />
      {pasting && (
        <Paste
          machine={machine}
          onClose={() => {
            setPasting(false)
            rfb.current?.focus()
          }}
        />
      )}
    </div>
  )
}
