// SPDX-License-Identifier: GPL-2.0-or-later
// Choose a file, or name a new one, in the folders that the server allows.
import { useEffect, useState } from 'preact/hooks'
import { get, type Folder } from '../api'
import { bytes, fileName, folderName, shortTime } from '../format'
import { t } from '../i18n'
import { errorText } from '../store'
import { Icon } from './icon'
import { Button, Dialog, Field, Input } from './parts'

export type FileKind = 'disk' | 'cdrom' | 'floppy' | 'kernel' | 'any'

interface DialogProps {
  title: string
  kind: FileKind
  /** A new file is wanted: its suggested name. */
  create?: string
  start?: string
  onClose: () => void
  onPick: (path: string) => void
}

export function FileDialog(props: DialogProps) {
  const [folder, setFolder] = useState<string | undefined>(props.start)
  const [content, setContent] = useState<Folder>()
  const [error, setError] = useState('')
  const [name, setName] = useState(props.create ?? '')
  useEffect(() => {
    const stop = new AbortController()
    get<Folder>('/files', { folder, kind: props.kind })
      .then((found) => {
        if (stop.signal.aborted) return
        setError('')
        setContent(found)
      })
      .catch((problem: unknown) => {
        if (stop.signal.aborted) return
        // A folder that is not allowed (any more): back to those that are.
        if (folder) setFolder(undefined)
        else setError(errorText(problem))
      })
    return () => stop.abort()
  }, [folder])
  const create = props.create !== undefined
  return (
    <Dialog title={props.title} onClose={props.onClose} wide>
      <div class="picker">
        <div class="picker-path">
          <Button icon="up" label={t('picker.up')} iconOnly kind="quiet" disabled={!folder} onClick={() => setFolder(content?.parent)} />
          <span class="path">{folder ?? t('picker.folders')}</span>
          {content?.['free-bytes'] !== undefined && <span class="muted">{t('picker.free', { bytes: bytes(content['free-bytes']) })}</span>}
        </div>
        {error && <p class="alert error">{error}</p>}
        <ul class="picker-list" aria-label={folder ?? t('picker.folders')}>
          {content?.entries.map((entry) => (
            <li>
              <button
                type="button"
                onClick={() => {
                  if (entry.type === 'folder') setFolder(entry.path)
                  else if (create) setName(entry.name)
                  else props.onPick(entry.path)
                }}
              >
                <Icon name={entry.type === 'folder' ? 'folder' : props.kind === 'cdrom' ? 'disc' : 'file'} />
                <span class="picker-name">{folder ? entry.name : entry.path}</span>
                {entry.type === 'file' && <span class="muted">{bytes(entry['size-bytes'])}</span>}
                {entry.modified && <span class="muted wide-only">{shortTime(entry.modified)}</span>}
              </button>
            </li>
          ))}
          {content && !content.entries.length && <li class="muted none">{t('picker.empty')}</li>}
        </ul>
      </div>
      {create && (
        <form
          onSubmit={(event) => {
            event.preventDefault()
            if (folder && name) props.onPick(`${folder.replace(/\/$/, '')}/${name}`)
          }}
        >
          <Input label={t('picker.name')} value={name} onInput={setName} required maxLength={255} hint={folder ? undefined : t('picker.choose-folder')} />
          <footer>
            <Button label={t('action.cancel')} onClick={props.onClose} />
            <Button label={t('action.choose')} kind="primary" type="submit" disabled={!folder || !name} />
          </footer>
        </form>
      )}
    </Dialog>
  )
}

interface FieldProps {
  label: string
  kind: FileKind
  value: string
  onChange: (path: string) => void
  create?: string
  hint?: string
  mark?: string
  error?: string
}

/** A path with a button that looks for it. */
export function FileField(props: FieldProps) {
  const [open, setOpen] = useState(false)
  return (
    <Field label={props.label} hint={props.hint} mark={props.mark} error={props.error}>
      {(field) => (
        <div class="file-field">
          <input {...field} type="text" value={props.value} spellcheck={false} onInput={(event) => props.onChange(event.currentTarget.value)} placeholder={t('picker.none')} />
          {props.value && <Button icon="close" label={t('action.clear')} iconOnly kind="quiet" onClick={() => props.onChange('')} />}
          <Button icon="folder" label={t('action.browse')} onClick={() => setOpen(true)} />
          {open && (
            <FileDialog
              title={props.label}
              kind={props.kind}
              create={props.create === undefined ? undefined : fileName(props.value) || props.create}
              start={props.value.startsWith('/') ? folderName(props.value) : undefined}
              onClose={() => setOpen(false)}
              onPick={(path) => {
                props.onChange(path)
                setOpen(false)
              }}
            />
          )}
        </div>
      )}
    </Field>
  )
}
