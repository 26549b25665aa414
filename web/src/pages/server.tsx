// SPDX-License-Identifier: GPL-2.0-or-later
// The server and its host, and the settings.
import { useEffect, useState } from 'preact/hooks'
import { ApiError, BASE, call, type Settings } from '../api'
import { bytes, dateTime, duration, percent } from '../format'
import { t } from '../i18n'
import { attempt, errorText, refreshServer, server, serverMay, toast } from '../store'
import { Icon } from '../ui/icon'
import { Button, Checkbox, Input, Meter, PageHead, Select } from '../ui/parts'
import { mergePatch } from './settings'

const MIB = 1048576

function About() {
  const about = server.value
  if (!about) return null
  const { host } = about
  const facts: [string, string | undefined][] = [
    [t('server.version'), about.version],
    [t('server.running-for'), duration(about['uptime-seconds'])],
    [t('server.host'), host.hostname],
    [t('server.kernel'), host.kernel],
    [t('server.processor'), host['cpu-model']],
    [t('server.processors'), String(host.cpus ?? '–')],
    [t('host.cpu'), percent(host['cpu-percent'])],
    [t('server.load'), host.load?.map((value) => value.toFixed(2)).join(' ')],
    [t('host.memory'), t('host.of', { used: bytes((host['memory-bytes'] ?? 0) - (host['memory-available-bytes'] ?? 0)), all: bytes(host['memory-bytes']) })],
    [t('server.kvm'), t(host.kvm ? 'answer.yes' : 'answer.no')],
    [t('server.jail'), about.protection?.jail ? t('answer.yes') : (about.protection?.reason ?? t('answer.no'))],
    [t('server.fingerprint'), about.https?.fingerprint],
  ]
  return (
    <>
      {about.health?.map((entry) => (
        <p class={`alert ${entry.severity}`}>
          <Icon name={entry.severity === 'info' ? 'info' : entry.severity} />
          {entry.message}
        </p>
      ))}
      <section class="panel">
        <dl class="facts">
          {facts.map(([label, value]) => value && (
            <div key={label}>
              <dt>{label}</dt>
              <dd class={label === t('server.fingerprint') ? 'fingerprint' : ''}>{value}</dd>
            </div>
          ))}
        </dl>
      </section>
      {!!about.folders?.length && (
        <section class="panel host">
          {about.folders.map((folder) => {
            const all = folder['total-bytes'] ?? 0
            const used = all - (folder['free-bytes'] ?? 0)
            return <Meter label={folder.name ? `${folder.name} (${folder.path})` : folder.path} value={used} max={all} second={used + (folder['reserved-bytes'] ?? 0)} text={t('host.free', { bytes: bytes(folder['free-bytes']) })} />
          })}
        </section>
      )}
    </>
  )
}

function SettingsPanel() {
  const [base, setBase] = useState<{ etag: string; value: Settings }>()
  const [draft, setDraft] = useState<Settings>({})
  const [problem, setProblem] = useState('')
  const load = async () => {
    // The ETag stands in the answer's head, so this is not get().
    const response = await fetch(`${BASE}/server/settings`, { credentials: 'same-origin' })
    if (!response.ok) throw new ApiError(response.status, (await response.json()) as object)
    const value = (await response.json()) as Settings
    setBase({ etag: response.headers.get('ETag') ?? '*', value })
    setDraft(structuredClone(value))
  }
  useEffect(() => {
    load().catch((error: unknown) => setProblem(errorText(error)))
  }, [])
  if (!base) return problem ? <p class="alert error">{problem}</p> : <p class="muted">{t('state.loading')}</p>
  const modify = serverMay('modify')
  const set = <K extends keyof Settings>(key: K, value: Settings[K]) => setDraft((old) => ({ ...old, [key]: value }))
  const folders = draft.folders ?? []
  const https = draft.https ?? {}
  const patch = mergePatch(base.value, draft) as Record<string, unknown>
  const changed = Object.keys(patch).length > 0
  const mib = (key: 'memory-reserve-bytes' | 'low-disk-warning-bytes' | 'low-disk-error-bytes') => (
    <Input label={t(`settings.${key}`)} value={String(Math.round((draft[key] ?? 0) / MIB))} onInput={(value) => set(key, Number(value) * MIB)} type="number" min={0} unit="MiB" />
  )
  return (
    <form
      class="settings"
      onSubmit={async (event) => {
        event.preventDefault()
        setProblem('')
        try {
          await call<Settings>('/server/settings', { method: 'PATCH', body: patch, merge: true, etag: base.etag })
          toast('ok', t('settings.saved'))
          await load()
          await attempt(refreshServer)
        } catch (error) {
          setProblem(errorText(error))
        }
      }}
    >
      {problem && <p class="alert error" role="alert">{problem}</p>}
      <fieldset disabled={!modify}>
        <section class="panel form-panel">
          <h2>{t('server.settings')}</h2>
          <div class="two-fields">
            <Input label={t('settings.name')} value={draft.name ?? ''} onInput={(value) => set('name', value)} maxLength={100} />
            <Select label={t('settings.create-right')} value={draft['create-right'] ?? 'quota'} onChange={(value) => set('create-right', value)} options={(['administrators', 'quota', 'everybody'] as const).map((value) => ({ value, label: t(`create-right.${value}`) }))} />
            <Input label={t('settings.cpu-reservable-percent')} value={String(draft['cpu-reservable-percent'] ?? 90)} onInput={(value) => set('cpu-reservable-percent', Number(value))} type="number" min={0} max={100} unit="%" />
            {mib('memory-reserve-bytes')}
            {mib('low-disk-warning-bytes')}
            {mib('low-disk-error-bytes')}
            <Input label={t('settings.heartbeat-seconds')} value={String(draft['heartbeat-seconds'] ?? 300)} onInput={(value) => set('heartbeat-seconds', Number(value))} type="number" min={0} max={86400} unit={t('unit.seconds')} />
            <Input label={t('settings.event-days')} value={String(draft['event-days'] ?? 365)} onInput={(value) => set('event-days', Number(value))} type="number" min={1} max={36500} unit={t('unit.days')} />
            <Input label={t('settings.session-minutes')} value={String(draft['session-minutes'] ?? 480)} onInput={(value) => set('session-minutes', Number(value))} type="number" min={1} max={43200} unit={t('unit.minutes')} />
          </div>
          <Checkbox label={t('settings.autostart')} checked={draft.autostart ?? true} onChange={(value) => set('autostart', value)} />
          <Checkbox label={t('settings.scripts')} checked={draft.scripts ?? true} onChange={(value) => set('scripts', value)} />
        </section>
        <section class="panel form-panel">
          <h2>{t('settings.folders')}</h2>
          <p class="hint">{t('settings.folders-hint')}</p>
          {folders.map((folder, i) => {
            const change = (part: Partial<typeof folder>) => set('folders', folders.map((other, n) => (n === i ? { ...other, ...part } : other)))
            return (
              <div class="disk-row">
                <Input label={t('settings.path')} value={folder.path} onInput={(path) => change({ path })} required />
                <Input label={t('picker.name')} value={folder.name ?? ''} onInput={(name) => change({ name: name || undefined })} maxLength={100} />
                <Checkbox label={t('machine.readonly')} checked={folder.readonly ?? false} onChange={(readonly) => change({ readonly })} />
                <Button icon="trash" label={t('settings.remove-folder')} iconOnly kind="quiet" onClick={() => set('folders', folders.filter((_, n) => n !== i))} />
              </div>
            )
          })}
          <div>
            <Button icon="plus" label={t('settings.add-folder')} onClick={() => set('folders', [...folders, { path: '' }])} />
          </div>
        </section>
        <section class="panel form-panel">
          <h2>HTTPS</h2>
          <Checkbox label={t('settings.https')} checked={https.enabled ?? false} onChange={(enabled) => set('https', { ...https, enabled })} />
          <div class="two-fields">
            <Input label={t('settings.address')} value={https.address ?? '127.0.0.1'} onInput={(address) => set('https', { ...https, address })} maxLength={64} />
            <Input label={t('settings.port')} value={String(https.port ?? 8443)} onInput={(port) => set('https', { ...https, port: Number(port) })} type="number" min={1} max={65535} />
          </div>
        </section>
      </fieldset>
      {modify && (
        <div class="form-foot sticky">
          <Button label={t('action.undo-changes')} disabled={!changed} onClick={() => setDraft(structuredClone(base.value))} />
          <Button label={t('action.save-changes')} kind="primary" type="submit" disabled={!changed} />
        </div>
      )}
    </form>
  )
}

export function ServerPage() {
  useEffect(() => {
    const timer = setInterval(() => void refreshServer().catch(() => {}), 5000)
    return () => clearInterval(timer)
  }, [])
  return (
    <>
      <PageHead title={t('nav.server')}>
        {serverMay('modify') && (
          <Button
            icon="reset"
            label={t('server.rescan')}
            onClick={async () => {
              const found = await attempt(() => call<{ machines: number; problems: string[] }>('/server/rescan', { method: 'POST' }))
              if (found) toast(found.problems.length ? 'error' : 'ok', [t('server.rescanned', { machines: found.machines }), ...found.problems].join(' '))
            }}
          />
        )}
        <a class="button plain" href="/api/">{t('server.api')}</a>
      </PageHead>
      <p class="muted">{t('server.started', { time: dateTime(server.value?.started) })}</p>
      <About />
      <SettingsPanel />
    </>
  )
}
