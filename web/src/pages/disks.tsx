// SPDX-License-Identifier: GPL-2.0-or-later
// Disk images: made, looked into, converted, made smaller or larger, merged.
import { useEffect, useState } from 'preact/hooks'
import { call, get, post, type Disk, type DiskInfo, type Task } from '../api'
import { bytes, dateTime, fileName, folderName, shortTime } from '../format'
import { t } from '../i18n'
import { machineHref } from '../route'
import { attempt, putTask, tasks, toast } from '../store'
import { Icon } from '../ui/icon'
import { FileField } from '../ui/picker'
import { Button, Checkbox, Confirm, Dialog, Empty, Input, Menu, PageHead, Select, TaskLine, useLoad, type MenuItem } from '../ui/parts'

const GIB = 1073741824
type NewKind = 'dynamic' | 'fixed' | 'differencing' | 'vhdx' | 'vhdx-fixed' | 'raw'
type Format = 'vhd' | 'vhd-fixed' | 'vhdx' | 'vhdx-fixed' | 'raw'

const extension = (kind: string) => (kind.startsWith('vhdx') ? 'vhdx' : kind === 'raw' ? 'img' : 'vhd')
const withExtension = (path: string, kind: string) => path.replace(/\.(vhdx?|img|raw)$/, '') + `.${extension(kind)}`

async function begin(work: () => Promise<Task>): Promise<boolean> {
  const task = await attempt(work)
  if (task) putTask(task)
  return !!task
}

function Create({ parent, onClose }: { parent?: string; onClose: () => void }) {
  const [kind, setKind] = useState<NewKind>(parent ? 'differencing' : 'dynamic')
  const [file, setFile] = useState(parent ? parent.replace(/(\.vhd)?$/, '-child.vhd') : '')
  const [size, setSize] = useState('20')
  const [from, setFrom] = useState(parent ?? '')
  return (
    <Dialog title={t('disks.create')} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          const body = kind === 'differencing' ? { file, kind, parent: from } : { file, kind, 'size-bytes': Math.round(Number(size) * GIB) }
          if (await begin(() => post<Task>('/disks', body))) onClose()
        }}
      >
        <Select
          label={t('disks.kind')}
          value={kind}
          onChange={(next) => {
            setKind(next)
            if (file) setFile(withExtension(file, next))
          }}
          options={(['dynamic', 'fixed', 'differencing', 'vhdx', 'vhdx-fixed', 'raw'] as const).map((value) => ({ value, label: t(`disks.kind.${value}`) }))}
          hint={t(`disks.kind-hint.${kind}`)}
        />
        <FileField label={t('disks.file')} kind="disk" value={file} onChange={setFile} create={`disk.${extension(kind)}`} />
        {kind === 'differencing' ? (
          <FileField label={t('disks.parent')} kind="disk" value={from} onChange={setFrom} hint={t('disks.parent-hint')} />
        ) : (
          <Input label={t('disks.size')} value={size} onInput={setSize} type="number" min={1} max={65536} unit="GiB" required />
        )}
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t('disks.create')} kind="primary" type="submit" disabled={!file || (kind === 'differencing' && !from)} />
        </footer>
      </form>
    </Dialog>
  )
}

function Convert({ disk, onClose }: { disk: Disk; onClose: () => void }) {
  const [format, setFormat] = useState<Format>('vhd')
  const [to, setTo] = useState(withExtension(disk.file.replace(/(\.\w+)?$/, `-copy$1`), 'vhd'))
  return (
    <Dialog title={t('disks.convert-title', { name: fileName(disk.file) })} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          if (await begin(() => post<Task>('/disks/convert', { file: disk.file, to, format }))) onClose()
        }}
      >
        <p class="muted">{t('disks.convert-text')}</p>
        <Select
          label={t('disks.format')}
          value={format}
          onChange={(next) => {
            setFormat(next)
            setTo(withExtension(to, next))
          }}
          options={(['vhd', 'vhd-fixed', 'vhdx', 'vhdx-fixed', 'raw'] as const).map((value) => ({ value, label: t(`disks.format.${value}`) }))}
        />
        <FileField label={t('disks.to')} kind="disk" value={to} onChange={setTo} create={fileName(to)} />
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t('disks.convert')} kind="primary" type="submit" disabled={!to} />
        </footer>
      </form>
    </Dialog>
  )
}

function Resize({ disk, onClose }: { disk: Disk; onClose: () => void }) {
  const info = useLoad(() => get<DiskInfo>('/disks/inspect', { file: disk.file }), [disk.file])
  const [size, setSize] = useState('')
  const [shrink, setShrink] = useState(false)
  useEffect(() => {
    if (info.value && !size) setSize(String(Math.ceil(info.value.size / GIB)))
  }, [info.value])
  const smaller = !!info.value && Number(size) * GIB < info.value.size
  return (
    <Dialog title={t('disks.resize-title', { name: fileName(disk.file) })} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          if (await begin(() => post<Task>('/disks/resize', { file: disk.file, 'size-bytes': Math.round(Number(size) * GIB), shrink }))) onClose()
        }}
      >
        <Input label={t('disks.size')} value={size} onInput={setSize} type="number" min={1} max={65536} unit="GiB" required hint={t('disks.size-now', { bytes: bytes(info.value?.size) })} />
        {smaller && (
          <>
            <p class="alert warning">{t('disks.shrink-text')}</p>
            <Checkbox label={t('disks.shrink')} checked={shrink} onChange={setShrink} />
          </>
        )}
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t('disks.resize')} kind="primary" type="submit" disabled={!Number(size) || (smaller && !shrink)} />
        </footer>
      </form>
    </Dialog>
  )
}

function Inspect({ file, onClose }: { file: string; onClose: () => void }) {
  const { value: info, error } = useLoad(() => get<DiskInfo>('/disks/inspect', { file }), [file])
  const facts: [string, string | undefined][] = info
    ? [
        [t('disks.format'), info.format],
        [t('disks.in-guest'), bytes(info.size)],
        [t('disks.file-size'), bytes(info['file-size'])],
        [t('disks.on-host'), bytes(info['on-host'])],
        [t('disks.host-free'), info['host-free-bytes'] === undefined ? undefined : bytes(info['host-free-bytes'])],
        [t('disks.block-size'), info['block-size'] === undefined ? undefined : bytes(info['block-size'])],
        [t('disks.unique-id'), info['unique-id']],
        [t('disks.created'), info.created],
        [t('disks.creator'), info.creator],
      ]
    : []
  return (
    <Dialog title={fileName(file)} onClose={onClose} wide>
      <p class="path muted">{file}</p>
      {!!error && <p class="alert error">{String((error as Error).message)}</p>}
      {info?.problem && <p class="alert warning">{info.problem}</p>}
      {!info && !error && <p class="muted">{t('state.loading')}</p>}
      <dl class="facts">
        {facts.map(([label, value]) => value !== undefined && (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {(info?.chain?.length ?? 0) > 1 && (
        <>
          <h3>{t('disks.chain')}</h3>
          <ol class="chain">
            {info?.chain?.map((link) => (
              <li>
                <span class="path">{link.file}</span> <span class="muted">{link.format}</span>
              </li>
            ))}
          </ol>
        </>
      )}
    </Dialog>
  )
}

type Asking = 'convert' | 'resize' | 'inspect' | 'compact' | 'merge' | 'delete' | 'child'

function Row({ disk, onChanged }: { disk: Disk; onChanged: () => void }) {
  const [asking, setAsking] = useState<Asking>()
  const close = () => setAsking(undefined)
  const rights = disk.rights ?? []
  const may = (right: 'modify' | 'remove') => rights.includes('full') || rights.includes(right)
  const used = disk['used-by'] ?? []
  const busy = used.some((user) => user.state !== 'off')
  const task = [...tasks.value.values()].find((other) => other.state === 'running' && (other.id === disk.task || (other.object.type === 'disk' && other.object.id === disk.file)))
  const vhd = disk.kind === 'vhd' || disk.kind === 'vhdx'
  const name = fileName(disk.file)
  const items: MenuItem[] = [{ label: t('disks.inspect'), icon: 'info', onSelect: () => setAsking('inspect') }]
  if (!busy && !task) {
    items.push({ label: t('disks.convert'), icon: 'copy', onSelect: () => setAsking('convert') })
    if (vhd) items.push({ label: t('disks.make-child'), icon: 'plus', onSelect: () => setAsking('child') })
    if (may('modify')) {
      items.push({ label: t('disks.resize'), icon: 'expand', onSelect: () => setAsking('resize') })
      if (vhd) {
        items.push({ label: t('disks.compact'), icon: 'save', onSelect: () => setAsking('compact') })
        items.push({ label: t('disks.merge'), icon: 'up', onSelect: () => setAsking('merge') })
        items.push({ label: t('disks.check'), icon: 'check', onSelect: () => void begin(() => post<Task>('/disks/check', { file: disk.file })) })
      }
    }
    if (may('remove') && !used.length) items.push({ label: t('action.delete'), icon: 'trash', danger: true, onSelect: () => setAsking('delete') })
  }
  return (
    <tr>
      <th scope="row">
        <button type="button" class="link" onClick={() => setAsking('inspect')}>{name}</button>
        {task && <TaskLine task={task} />}
      </th>
      <td data-label={t('disks.kind')}>{disk.kind.toUpperCase()}</td>
      <td data-label={t('disks.file-size')} class="number">{bytes(disk['file-size-bytes'])}</td>
      <td data-label={t('disks.on-host')} class="number">{bytes(disk['on-host-bytes'])}</td>
      <td data-label={t('disks.used-by')}>
        {used.length ? used.map((user, i) => <>{i > 0 && ', '}<a href={machineHref(user.id)}>{user.name}</a></>) : <span class="muted">{t('disks.unused')}</span>}
      </td>
      <td data-label={t('disks.modified')} title={dateTime(disk.modified)}>{disk.modified ? shortTime(disk.modified) : '–'}</td>
      <td class="cell-actions">
        <Menu items={items} label={t('action.more', { name })} />
        {asking === 'inspect' && <Inspect file={disk.file} onClose={close} />}
        {asking === 'convert' && <Convert disk={disk} onClose={close} />}
        {asking === 'resize' && <Resize disk={disk} onClose={close} />}
        {asking === 'child' && <Create parent={disk.file} onClose={close} />}
        {asking === 'compact' && <Confirm title={t('disks.compact-title', { name })} text={t('disks.compact-text')} action={t('disks.compact')} onClose={close} onConfirm={() => begin(() => post<Task>('/disks/compact', { file: disk.file }))} />}
        {asking === 'merge' && <Confirm title={t('disks.merge-title', { name })} text={t('disks.merge-text')} action={t('disks.merge')} danger onClose={close} onConfirm={() => begin(() => post<Task>('/disks/merge', { file: disk.file }))} />}
        {asking === 'delete' && (
          <Confirm
            title={t('disks.delete-title', { name })}
            text={t('disks.delete-text')}
            action={t('action.delete')}
            danger
            onClose={close}
            onConfirm={async () => {
              const gone = await attempt(async () => {
                await call('/disks', { method: 'DELETE', query: { file: disk.file } })
                return true
              })
              if (!gone) return
              toast('ok', t('disks.deleted', { name }))
              onChanged()
            }}
          />
        )}
      </td>
    </tr>
  )
}

export function DisksPage() {
  const [creating, setCreating] = useState(false)
  const [filter, setFilter] = useState('')
  const { value, error, reload } = useLoad(() => get<{ disks: Disk[] }>('/disks'), [])
  // The list is read again whenever work on a disk ends.
  const ended = [...tasks.value.values()].filter((task) => task.object.type === 'disk' && task.state !== 'running').length
  useEffect(() => {
    if (value) reload()
  }, [ended])
  const shown = (value?.disks ?? []).filter((disk) => disk.file.toLowerCase().includes(filter.toLowerCase()))
  const folders = new Map<string, Disk[]>()
  for (const disk of shown) {
    const folder = disk.folder ?? folderName(disk.file)
    folders.set(folder, [...(folders.get(folder) ?? []), disk])
  }
  return (
    <>
      <PageHead title={t('nav.disks')}>
        <label class="search">
          <Icon name="search" />
          <input type="search" value={filter} placeholder={t('disks.filter')} aria-label={t('disks.filter')} onInput={(event) => setFilter(event.currentTarget.value)} />
        </label>
        <Button icon="plus" label={t('disks.create')} kind="primary" onClick={() => setCreating(true)} />
      </PageHead>
      {!!error && <p class="alert error">{(error as Error).message}</p>}
      {value && !shown.length && <Empty icon="disks" title={t('disks.none')} text={t('disks.none-text')} />}
      {[...folders].map(([folder, disks]) => (
        <section class="panel table-wrap" key={folder}>
          <h2 class="table-title">
            <Icon name="folder" />
            <span class="path">{folder}</span>
          </h2>
          <table class="disk-table">
            <thead>
              <tr>
                <th scope="col">{t('picker.name')}</th>
                <th scope="col">{t('disks.kind')}</th>
                <th scope="col" class="number">{t('disks.file-size')}</th>
                <th scope="col" class="number">{t('disks.on-host')}</th>
                <th scope="col">{t('disks.used-by')}</th>
                <th scope="col">{t('disks.modified')}</th>
                <th scope="col"><span class="visually-hidden">{t('table.actions')}</span></th>
              </tr>
            </thead>
            <tbody>
              {disks.map((disk) => (
                <Row key={disk.file} disk={disk} onChanged={reload} />
              ))}
            </tbody>
          </table>
        </section>
      ))}
      {creating && <Create onClose={() => setCreating(false)} />}
    </>
  )
}
