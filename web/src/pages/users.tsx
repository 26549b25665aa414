// SPDX-License-Identifier: GPL-2.0-or-later
// People and programs: who may do what, how much of their own they may have, and their tokens.
import { useState } from 'preact/hooks'
import { call, get, post, type Permission, type Quota, type Right, type Schemas, type Token, type User } from '../api'
import { bytes, dateTime, fileName, shortTime } from '../format'
import { t } from '../i18n'
import { route } from '../route'
import { attempt, machineList, machines, serverMay, session } from '../store'
import { FileField } from '../ui/picker'
import { Button, Confirm, Dialog, Empty, Input, PageHead, Select, useLoad } from '../ui/parts'

const RIGHTS: Right[] = ['view', 'control', 'modify', 'remove', 'permissions', 'full']
type ObjectType = Schemas['ObjectType']

function RightsField({ value, onChange, label }: { value: Right[]; onChange: (rights: Right[]) => void; label: string }) {
  return (
    <fieldset class="rights">
      <legend>{label}</legend>
      {RIGHTS.map((right) => (
        <label class="checkbox">
          <input type="checkbox" checked={value.includes(right)} onChange={(event) => onChange(event.currentTarget.checked ? [...value, right] : value.filter((other) => other !== right))} />
          <span>
            {t(`right.${right}`)}
            <small>{t(`right-hint.${right}`)}</small>
          </span>
        </label>
      ))}
    </fieldset>
  )
}

interface PermissionDialogProps {
  entry?: Permission
  fixed?: { type: ObjectType; object?: string }
  onClose: () => void
  onSaved: () => void
}

function PermissionDialog({ entry, fixed, onClose, onSaved }: PermissionDialogProps) {
  const [subjectType, setSubjectType] = useState(entry?.['subject-type'] ?? 'user')
  const [subject, setSubject] = useState(entry?.subject ?? '')
  const [type, setType] = useState<ObjectType>(entry?.['object-type'] ?? fixed?.type ?? 'machine')
  const [object, setObject] = useState(entry?.object ?? fixed?.object ?? machineList.value[0]?.id ?? '')
  const [rights, setRights] = useState<Right[]>(entry?.rights ?? ['view', 'control'])
  const [effect, setEffect] = useState(entry?.effect ?? 'allow')
  return (
    <Dialog title={t(entry ? 'permissions.edit' : 'permissions.add')} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          const body = { 'subject-type': subjectType, subject, 'object-type': type, ...(type === 'server' ? {} : { object }), rights, effect }
          const saved = await attempt(() => call<Permission>(entry ? `/permissions/${entry.id}` : '/permissions', { method: entry ? 'PUT' : 'POST', body, etag: entry?.etag }))
          if (!saved) return
          onSaved()
          onClose()
        }}
      >
        <div class="two-fields">
          <Select label={t('permissions.subject-type')} value={subjectType} onChange={setSubjectType} options={(['user', 'group'] as const).map((value) => ({ value, label: t(`permissions.${value}`) }))} />
          <Input label={t('permissions.subject')} value={subject} onInput={setSubject} required maxLength={64} autofocus={!entry} />
        </div>
        {!fixed && (
          <div class="two-fields">
            <Select
              label={t('permissions.object-type')}
              value={type}
              onChange={(next) => {
                setType(next)
                setObject(next === 'machine' ? (machineList.value[0]?.id ?? '') : '')
              }}
              options={(['server', 'machine', 'disk', 'network'] as const).map((value) => ({ value, label: t(`object.${value}`) }))}
            />
            {type === 'machine' && <Select label={t('object.machine')} value={object} onChange={setObject} options={machineList.value.map((machine) => ({ value: machine.id, label: machine.name }))} />}
            {type === 'network' && <Input label={t('object.network')} value={object} onInput={setObject} required />}
          </div>
        )}
        {!fixed && type === 'disk' && <FileField label={t('object.disk')} kind="disk" value={object} onChange={setObject} />}
        <Select label={t('permissions.effect')} value={effect} onChange={setEffect} options={(['allow', 'deny'] as const).map((value) => ({ value, label: t(`permissions.${value}`) }))} hint={t('permissions.deny-wins')} />
        <RightsField label={t('permissions.rights')} value={rights} onChange={setRights} />
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t('action.save-changes')} kind="primary" type="submit" disabled={!subject || !rights.length} />
        </footer>
      </form>
    </Dialog>
  )
}

function objectText(entry: Permission): string {
  if (entry['object-type'] === 'server') return t('object.server')
  const name = entry['object-name'] ?? (entry['object-type'] === 'machine' ? machines.value.get(entry.object ?? '')?.name : undefined)
  return name ?? (entry['object-type'] === 'disk' ? fileName(entry.object ?? '') : (entry.object ?? ''))
}

function PermissionTable({ entries, fixed, reload }: { entries: Permission[]; fixed?: { type: ObjectType; object?: string }; reload: () => void }) {
  const [editing, setEditing] = useState<Permission>()
  const [adding, setAdding] = useState(false)
  const [removing, setRemoving] = useState<Permission>()
  return (
    <>
      <div class="section-actions">
        <Button icon="plus" label={t('permissions.add')} kind="primary" onClick={() => setAdding(true)} />
      </div>
      {!entries.length && <Empty icon="shield" title={t('permissions.none')} text={t('permissions.none-text')} />}
      {entries.length > 0 && (
        <section class="panel table-wrap">
          <table>
            <thead>
              <tr>
                <th scope="col">{t('permissions.subject')}</th>
                {!fixed && <th scope="col">{t('permissions.object-type')}</th>}
                <th scope="col">{t('permissions.effect')}</th>
                <th scope="col">{t('permissions.rights')}</th>
                <th scope="col"><span class="visually-hidden">{t('table.actions')}</span></th>
              </tr>
            </thead>
            <tbody>
              {entries.map((entry) => (
                <tr key={entry.id}>
                  <th scope="row">
                    {entry.subject} {entry['subject-type'] === 'group' && <span class="badge tone-idle">{t('permissions.group')}</span>}
                  </th>
                  {!fixed && <td data-label={t('permissions.object-type')}>{t(`object.${entry['object-type']}`)}{entry['object-type'] !== 'server' && `: ${objectText(entry)}`}</td>}
                  <td data-label={t('permissions.effect')}>
                    <span class={`badge tone-${entry.effect === 'allow' ? 'good' : 'bad'}`}>{t(`permissions.${entry.effect}`)}</span>
                  </td>
                  <td data-label={t('permissions.rights')}>{entry.rights.map((right) => t(`right.${right}`)).join(', ')}</td>
                  <td class="cell-actions">
                    <Button icon="edit" label={t('permissions.edit')} iconOnly kind="quiet" onClick={() => setEditing(entry)} />
                    <Button icon="trash" label={t('permissions.remove')} iconOnly kind="quiet" onClick={() => setRemoving(entry)} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {adding && <PermissionDialog fixed={fixed} onClose={() => setAdding(false)} onSaved={reload} />}
      {editing && <PermissionDialog entry={editing} fixed={fixed} onClose={() => setEditing(undefined)} onSaved={reload} />}
      {removing && (
        <Confirm
          title={t('permissions.remove')}
          text={t('permissions.remove-text', { subject: removing.subject, object: objectText(removing) })}
          action={t('permissions.remove')}
          danger
          onClose={() => setRemoving(undefined)}
          onConfirm={async () => {
            await attempt(() => call(`/permissions/${removing.id}`, { method: 'DELETE' }))
            reload()
          }}
        />
      )}
    </>
  )
}

/** Those of one object, on its own page. */
export function ObjectPermissions({ type, object }: { type: ObjectType; object: string }) {
  const { value, error, reload } = useLoad(() => get<{ permissions: Permission[] }>('/permissions', { 'object-type': type, object }), [type, object])
  if (error) return <p class="alert error">{(error as Error).message}</p>
  return value ? <PermissionTable entries={value.permissions} fixed={{ type, object }} reload={reload} /> : <p class="muted">{t('state.loading')}</p>
}

function Permissions() {
  const { value, error, reload } = useLoad(() => get<{ permissions: Permission[] }>('/permissions'), [])
  if (error) return <p class="alert error">{(error as Error).message}</p>
  return value ? <PermissionTable entries={value.permissions} reload={reload} /> : <p class="muted">{t('state.loading')}</p>
}

const GIB = 1073741824

function QuotaDialog({ user, onClose, onSaved }: { user: User; onClose: () => void; onSaved: () => void }) {
  const known = user.quota ?? {}
  const text = (value: number | undefined, unit = 1) => (value === undefined ? '' : String(value / unit))
  const [count, setCount] = useState(text(known.machines))
  const [cpus, setCpus] = useState(text(known.cpus))
  const [memory, setMemory] = useState(text(known['memory-bytes'], GIB))
  const [disk, setDisk] = useState(text(known['disk-bytes'], GIB))
  const quota = (): Quota => ({
    ...(count ? { machines: Number(count) } : {}),
    ...(cpus ? { cpus: Number(cpus) } : {}),
    ...(memory ? { 'memory-bytes': Math.round(Number(memory) * GIB) } : {}),
    ...(disk ? { 'disk-bytes': Math.round(Number(disk) * GIB) } : {}),
  })
  return (
    <Dialog title={t('users.quota-title', { name: user.name })} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          const saved = await attempt(() => call<User>(`/users/${encodeURIComponent(user.name)}`, { method: 'PUT', body: { quota: quota() }, etag: user.etag }))
          if (!saved) return
          onSaved()
          onClose()
        }}
      >
        <p class="muted">{t('users.quota-text')}</p>
        <div class="two-fields">
          <Input label={t('nav.machines')} value={count} onInput={setCount} type="number" min={0} max={100000} />
          <Input label={t('machine.cpus')} value={cpus} onInput={setCpus} type="number" min={0} max={100000} />
          <Input label={t('machine.memory')} value={memory} onInput={setMemory} type="number" min={0} unit="GiB" />
          <Input label={t('nav.disks')} value={disk} onInput={setDisk} type="number" min={0} unit="GiB" />
        </div>
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t('action.save-changes')} kind="primary" type="submit" />
        </footer>
      </form>
    </Dialog>
  )
}

function quotaText(quota: Quota | undefined, used: Quota | undefined): string {
  if (!quota || !Object.keys(quota).length) return t('users.no-quota')
  const parts: string[] = []
  if (quota.machines !== undefined) parts.push(t('users.quota-machines', { used: used?.machines ?? 0, all: quota.machines }))
  if (quota.cpus !== undefined) parts.push(t('users.quota-cpus', { used: used?.cpus ?? 0, all: quota.cpus }))
  if (quota['memory-bytes'] !== undefined) parts.push(`${bytes(used?.['memory-bytes'] ?? 0)} / ${bytes(quota['memory-bytes'])}`)
  if (quota['disk-bytes'] !== undefined) parts.push(t('users.quota-disk', { used: bytes(used?.['disk-bytes'] ?? 0), all: bytes(quota['disk-bytes']) }))
  return parts.join(' · ')
}

function Users() {
  const { value, error, reload } = useLoad(() => get<{ users: User[] }>('/users'), [])
  const [quota, setQuota] = useState<User>()
  const [adding, setAdding] = useState(false)
  const [name, setName] = useState('')
  const [forgetting, setForgetting] = useState<User>()
  const change = serverMay('permissions')
  if (error) return <p class="alert error">{(error as Error).message}</p>
  return (
    <>
      {change && (
        <div class="section-actions">
          <Button icon="plus" label={t('users.add')} kind="primary" onClick={() => setAdding(true)} />
        </div>
      )}
      {value && (
        <section class="panel table-wrap">
          <table>
            <thead>
              <tr>
                <th scope="col">{t('users.name')}</th>
                <th scope="col">{t('users.groups')}</th>
                <th scope="col">{t('users.quota')}</th>
                <th scope="col">{t('users.last-login')}</th>
                <th scope="col" class="number">{t('users.tokens')}</th>
                <th scope="col"><span class="visually-hidden">{t('table.actions')}</span></th>
              </tr>
            </thead>
            <tbody>
              {value.users.map((user) => (
                <tr key={user.name}>
                  <th scope="row">
                    {user.name} {user.administrator && <span class="badge tone-kept">{t('users.administrator')}</span>}
                    {user.account === false && <span class="badge tone-bad">{t('users.no-account')}</span>}
                  </th>
                  <td data-label={t('users.groups')}>{user.groups?.join(', ') || '–'}</td>
                  <td data-label={t('users.quota')}>{user.administrator ? '–' : quotaText(user.quota, user.used)}</td>
                  <td data-label={t('users.last-login')}>{user['last-login'] ? shortTime(user['last-login']) : '–'}</td>
                  <td data-label={t('users.tokens')} class="number">{user.tokens ?? 0}</td>
                  <td class="cell-actions">
                    {change && !user.administrator && <Button icon="edit" label={t('users.quota')} iconOnly kind="quiet" onClick={() => setQuota(user)} />}
                    {change && user.name !== session.value?.user && <Button icon="trash" label={t('users.forget')} iconOnly kind="quiet" onClick={() => setForgetting(user)} />}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {adding && (
        <Dialog title={t('users.add')} onClose={() => setAdding(false)}>
          <form
            onSubmit={(event) => {
              event.preventDefault()
              setAdding(false)
              setQuota({ name, etag: '*', administrator: false })
              setName('')
            }}
          >
            <p class="muted">{t('users.add-text')}</p>
            <Input label={t('users.name')} value={name} onInput={setName} required maxLength={64} autofocus />
            <footer>
              <Button label={t('action.cancel')} onClick={() => setAdding(false)} />
              <Button label={t('action.next')} kind="primary" type="submit" disabled={!name} />
            </footer>
          </form>
        </Dialog>
      )}
      {quota && <QuotaDialog user={quota} onClose={() => setQuota(undefined)} onSaved={reload} />}
      {forgetting && (
        <Confirm
          title={t('users.forget-title', { name: forgetting.name })}
          text={t('users.forget-text')}
          action={t('users.forget')}
          danger
          onClose={() => setForgetting(undefined)}
          onConfirm={async () => {
            await attempt(() => call(`/users/${encodeURIComponent(forgetting.name)}`, { method: 'DELETE' }))
            reload()
          }}
        />
      )}
    </>
  )
}

function TokenDialog({ onClose, onMade }: { onClose: () => void; onMade: (secret: string) => void }) {
  const [name, setName] = useState('')
  const [rights, setRights] = useState<Right[]>(['view'])
  const [days, setDays] = useState('90')
  return (
    <Dialog title={t('tokens.create')} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          const expires = days ? { expires: new Date(Date.now() + Number(days) * 86400000).toISOString() } : {}
          const made = await attempt(() => post<Schemas['NewToken']>('/tokens', { name, rights, ...expires }))
          if (made) onMade(made.secret)
        }}
      >
        <Input label={t('tokens.name')} value={name} onInput={setName} required maxLength={64} autofocus />
        <Input label={t('tokens.days')} value={days} onInput={setDays} type="number" min={1} max={3650} unit={t('unit.days')} hint={t('tokens.days-hint')} />
        <RightsField label={t('tokens.rights')} value={rights} onChange={setRights} />
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t('tokens.create')} kind="primary" type="submit" disabled={!name || !rights.length} />
        </footer>
      </form>
    </Dialog>
  )
}

function Tokens() {
  const { value, error, reload } = useLoad(() => get<{ tokens: Token[] }>('/tokens'), [])
  const [creating, setCreating] = useState(false)
  const [secret, setSecret] = useState('')
  const [removing, setRemoving] = useState<Token>()
  if (error) return <p class="alert error">{(error as Error).message}</p>
  return (
    <>
      <div class="section-actions">
        <Button icon="plus" label={t('tokens.create')} kind="primary" onClick={() => setCreating(true)} />
      </div>
      {value && !value.tokens.length && <Empty icon="key" title={t('tokens.none')} text={t('tokens.none-text')} />}
      {value && value.tokens.length > 0 && (
        <section class="panel table-wrap">
          <table>
            <thead>
              <tr>
                <th scope="col">{t('tokens.name')}</th>
                <th scope="col">{t('permissions.user')}</th>
                <th scope="col">{t('permissions.rights')}</th>
                <th scope="col">{t('tokens.expires')}</th>
                <th scope="col">{t('tokens.last-used')}</th>
                <th scope="col"><span class="visually-hidden">{t('table.actions')}</span></th>
              </tr>
            </thead>
            <tbody>
              {value.tokens.map((token) => (
                <tr key={token.id}>
                  <th scope="row">{token.name}</th>
                  <td data-label={t('permissions.user')}>{token.user}</td>
                  <td data-label={t('permissions.rights')}>{token.rights?.length ? token.rights.map((right) => t(`right.${right}`)).join(', ') : t('tokens.all-rights')}</td>
                  <td data-label={t('tokens.expires')}>{token.expires ? dateTime(token.expires) : t('tokens.never')}</td>
                  <td data-label={t('tokens.last-used')}>{token['last-used'] ? shortTime(token['last-used']) : '–'}</td>
                  <td class="cell-actions">
                    <Button icon="trash" label={t('tokens.revoke')} iconOnly kind="quiet" onClick={() => setRemoving(token)} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {creating && (
        <TokenDialog
          onClose={() => setCreating(false)}
          onMade={(made) => {
            setCreating(false)
            setSecret(made)
            reload()
          }}
        />
      )}
      {secret && (
        <Dialog title={t('tokens.made')} onClose={() => setSecret('')}>
          <p>{t('tokens.made-text')}</p>
          <p class="secret"><code>{secret}</code></p>
          <footer>
            <Button icon="copy" label={t('action.copy')} onClick={() => void navigator.clipboard?.writeText(secret)} />
            <Button label={t('action.close')} kind="primary" onClick={() => setSecret('')} />
          </footer>
        </Dialog>
      )}
      {removing && (
        <Confirm
          title={t('tokens.revoke-title', { name: removing.name })}
          text={t('tokens.revoke-text')}
          action={t('tokens.revoke')}
          danger
          onClose={() => setRemoving(undefined)}
          onConfirm={async () => {
            await attempt(() => call(`/tokens/${removing.id}`, { method: 'DELETE' }))
            reload()
          }}
        />
      )}
    </>
  )
}

export function UsersPage() {
  const tabs = [...(serverMay('view') ? (['users'] as const) : []), 'permissions', 'tokens'] as const
  const tab = tabs.find((name) => name === route.value[1]) ?? tabs[0]
  return (
    <>
      <PageHead title={t('nav.users')} />
      <nav class="tabs" aria-label={t('nav.users')}>
        {tabs.map((name) => (
          <a href={`#/users/${name}`} aria-current={tab === name ? 'page' : undefined}>
            {t(`users.tab.${name}`)}
          </a>
        ))}
      </nav>
      {tab === 'users' && <Users />}
      {tab === 'permissions' && <Permissions />}
      {tab === 'tokens' && <Tokens />}
    </>
  )
}
