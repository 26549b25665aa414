// SPDX-License-Identifier: GPL-2.0-or-later
// What happens by itself on events: programs of the host, and addresses that are told.
import { useState } from 'preact/hooks'
import { call, get, post, type Schemas } from '../api'
import { t, type TextKey } from '../i18n'
import { route } from '../route'
import { attempt, serverMay, toast } from '../store'
import { Button, Checkbox, Confirm, Dialog, Empty, Field, Input, PageHead, Select, useLoad } from '../ui/parts'

type Script = Schemas['Script']
type Webhook = Schemas['Webhook']
interface Scripts {
  folder?: string
  available?: string[]
  scripts?: Script[]
}

const words = (text: string) => text.split(/[\s,]+/).filter(Boolean)
const lines = (text: string) => text.split('\n').filter(Boolean)

/** The kinds of events, one a line. */
function EventsField({ value, onInput }: { value: string; onInput: (value: string) => void }) {
  return (
    <Field label={t('automation.events')} hint={t('automation.events-hint')}>
      {(field) => <textarea {...field} rows={4} required spellcheck={false} value={value} onInput={(event) => onInput(event.currentTarget.value)} />}
    </Field>
  )
}

function Foot({ onClose, disabled }: { onClose: () => void; disabled: boolean }) {
  return (
    <footer>
      <Button label={t('action.cancel')} onClick={onClose} />
      <Button label={t('action.save-changes')} kind="primary" type="submit" disabled={disabled} />
    </footer>
  )
}

/** Made anew, or changed. */
async function send(path: string, id: string | undefined, body: object): Promise<boolean> {
  const done = await attempt(async () => {
    if (id) await call(`${path}/${id}`, { method: 'PUT', body })
    else await post(path, body)
    return true
  })
  if (done) toast('ok', t('automation.saved'))
  return !!done
}

interface DialogProps<T> {
  entry?: T
  onClose: () => void
  onSaved: () => void
}

function ScriptDialog({ entry, programs, onClose, onSaved }: DialogProps<Script> & { programs: string[] }) {
  const [program, setProgram] = useState(entry?.program ?? programs[0] ?? '')
  const [args, setArgs] = useState(entry?.arguments?.join('\n') ?? '')
  const [events, setEvents] = useState(entry?.events.join('\n') ?? 'machine.crashed')
  const [seconds, setSeconds] = useState(String(entry?.['timeout-seconds'] ?? 60))
  const [enabled, setEnabled] = useState(entry?.enabled ?? true)
  const choices = [...new Set([...programs, ...(entry ? [entry.program] : [])])]
  return (
    <Dialog title={t(entry ? 'scripts.change' : 'scripts.add')} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          const body: Schemas['ScriptEntry'] = { program, events: words(events), 'timeout-seconds': Number(seconds), enabled }
          if (args) body.arguments = lines(args)
          if (entry?.machine) body.machine = entry.machine
          if (entry?.name) body.name = entry.name
          if (await send('/scripts', entry?.id, body)) onSaved()
        }}
      >
        <Select label={t('scripts.program')} value={program} onChange={setProgram} options={choices.map((name) => ({ value: name, label: name }))} />
        <Field label={t('scripts.arguments')} hint={t('scripts.arguments-hint')}>
          {(field) => <textarea {...field} rows={2} spellcheck={false} value={args} onInput={(event) => setArgs(event.currentTarget.value)} />}
        </Field>
        <EventsField value={events} onInput={setEvents} />
        <Input label={t('scripts.timeout')} value={seconds} onInput={setSeconds} type="number" min={1} max={3600} unit="s" />
        <Checkbox label={t('automation.enabled')} checked={enabled} onChange={setEnabled} />
        <Foot onClose={onClose} disabled={!program || !words(events).length} />
      </form>
    </Dialog>
  )
}

function WebhookDialog({ entry, onClose, onSaved }: DialogProps<Webhook>) {
  const [url, setUrl] = useState(entry?.url ?? '')
  const [secret, setSecret] = useState('')
  const [events, setEvents] = useState(entry?.events.join('\n') ?? 'machine.')
  const [enabled, setEnabled] = useState(entry?.enabled ?? true)
  return (
    <Dialog title={t(entry ? 'webhooks.change' : 'webhooks.add')} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          const body: Schemas['WebhookEntry'] = { url, events: words(events), enabled }
          if (secret) body.secret = secret
          if (entry?.name) body.name = entry.name
          if (await send('/webhooks', entry?.id, body)) onSaved()
        }}
      >
        <Input label={t('webhooks.url')} value={url} onInput={setUrl} required maxLength={2048} hint={t('webhooks.url-hint')} autofocus />
        <EventsField value={events} onInput={setEvents} />
        <Input label={t('webhooks.secret')} value={secret} onInput={setSecret} maxLength={256} hint={t(entry?.signed ? 'webhooks.secret-kept' : 'webhooks.secret-hint')} />
        <Checkbox label={t('automation.enabled')} checked={enabled} onChange={setEnabled} />
        <Foot onClose={onClose} disabled={!/^https?:\/\//.test(url) || !words(events).length} />
      </form>
    </Dialog>
  )
}

interface ListProps<T> {
  path: string
  entries: T[]
  title: (entry: T) => string
  third: { label: string; of: (entry: T) => string }
  edit: (entry: T) => void
  reload: () => void
}

function List<T extends Script | Webhook>({ path, entries, title, third, edit, reload }: ListProps<T>) {
  const [removing, setRemoving] = useState<T>()
  const full = serverMay('full')
  return (
    <section class="panel table-wrap">
      <table>
        <thead>
          <tr>
            <th scope="col">{t('automation.what')}</th>
            <th scope="col">{t('automation.events')}</th>
            <th scope="col">{third.label}</th>
            <th scope="col">{t('automation.enabled')}</th>
            <th scope="col"><span class="visually-hidden">{t('table.actions')}</span></th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr key={entry.id}>
              <th scope="row" class="path">{title(entry)}</th>
              <td data-label={t('automation.events')}>{entry.events.join(', ')}</td>
              <td data-label={third.label}>{third.of(entry)}</td>
              <td data-label={t('automation.enabled')}>{t(entry.enabled === false ? 'answer.no' : 'answer.yes')}</td>
              <td class="cell-actions">
                {full && <Button icon="edit" label={t('automation.change')} iconOnly kind="quiet" onClick={() => edit(entry)} />}
                {full && <Button icon="trash" label={t('automation.remove')} iconOnly kind="quiet" onClick={() => setRemoving(entry)} />}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {removing && (
        <Confirm
          title={t('automation.remove-title', { name: title(removing) })}
          text={t('automation.remove-text')}
          action={t('automation.remove')}
          danger
          onClose={() => setRemoving(undefined)}
          onConfirm={async () => {
            await attempt(() => call(`${path}/${removing.id}`, { method: 'DELETE' }))
            reload()
          }}
        />
      )}
    </section>
  )
}

function ScriptsTab() {
  const { value, error, reload } = useLoad(() => get<Scripts>('/scripts'), [])
  const [editing, setEditing] = useState<Script | 'new'>()
  if (error) return <p class="alert error">{(error as Error).message}</p>
  if (!value) return <p class="muted">{t('state.loading')}</p>
  const scripts = value.scripts ?? []
  const programs = value.available ?? []
  return (
    <>
      {serverMay('full') && (
        <div class="section-actions">
          <Button icon="plus" label={t('scripts.add')} kind="primary" disabled={!programs.length} onClick={() => setEditing('new')} />
        </div>
      )}
      <p class="hint">{t('scripts.folder', { folder: value.folder ?? '' })}</p>
      {!scripts.length && <Empty icon="terminal" title={t('scripts.none')} text={t('scripts.none-text')} />}
      {scripts.length > 0 && <List path="/scripts" entries={scripts} title={(s) => [s.program, ...(s.arguments ?? [])].join(' ')} third={{ label: t('scripts.timeout'), of: (s) => `${s['timeout-seconds'] ?? 60} s` }} edit={setEditing} reload={reload} />}
      {editing && (
        <ScriptDialog
          entry={editing === 'new' ? undefined : editing}
          programs={programs}
          onClose={() => setEditing(undefined)}
          onSaved={() => {
            setEditing(undefined)
            reload()
          }}
        />
      )}
    </>
  )
}

function answer(status: number | undefined): string {
  if (status === undefined) return '–'
  return status ? String(status) : t('webhooks.no-answer')
}

function WebhooksTab() {
  const { value, error, reload } = useLoad(() => get<{ webhooks?: Webhook[] }>('/webhooks'), [])
  const [editing, setEditing] = useState<Webhook | 'new'>()
  if (error) return <p class="alert error">{(error as Error).message}</p>
  if (!value) return <p class="muted">{t('state.loading')}</p>
  const webhooks = value.webhooks ?? []
  return (
    <>
      {serverMay('full') && (
        <div class="section-actions">
          <Button icon="plus" label={t('webhooks.add')} kind="primary" onClick={() => setEditing('new')} />
        </div>
      )}
      {!webhooks.length && <Empty icon="globe" title={t('webhooks.none')} text={t('webhooks.none-text')} />}
      {webhooks.length > 0 && <List path="/webhooks" entries={webhooks} title={(w) => w.url} third={{ label: t('webhooks.last-status'), of: (w) => answer(w['last-status']) }} edit={setEditing} reload={reload} />}
      {editing && (
        <WebhookDialog
          entry={editing === 'new' ? undefined : editing}
          onClose={() => setEditing(undefined)}
          onSaved={() => {
            setEditing(undefined)
            reload()
          }}
        />
      )}
    </>
  )
}

const TABS = { scripts: 'automation.scripts', webhooks: 'automation.webhooks' } as const satisfies Record<string, TextKey>

export function AutomationPage() {
  const tab = route.value[1] === 'webhooks' ? 'webhooks' : 'scripts'
  return (
    <>
      <PageHead title={t('nav.automation')} />
      <nav class="tabs" aria-label={t('nav.automation')}>
        {(Object.keys(TABS) as (keyof typeof TABS)[]).map((name) => (
          <a href={`#/automation/${name}`} aria-current={tab === name ? 'page' : undefined}>
            {t(TABS[name])}
          </a>
        ))}
      </nav>
      {tab === 'scripts' ? <ScriptsTab /> : <WebhooksTab />}
    </>
  )
}
