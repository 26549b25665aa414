// SPDX-License-Identifier: GPL-2.0-or-later
// A machine's screen, small, and new every few seconds while somebody can see it.
import { useEffect, useRef, useState } from 'preact/hooks'
import { picture, type Machine } from '../api'
import { t } from '../i18n'
import { Icon } from '../ui/icon'

const EVERY_MS = 3000

export function Thumb({ machine, width }: { machine: Machine; width: number }) {
  const [src, setSrc] = useState('')
  const root = useRef<HTMLDivElement>(null)
  const shows = machine.state !== 'off' && machine.state !== 'deleting'
  const moves = shows && machine.state !== 'saved'
  useEffect(() => {
    if (!shows) {
      setSrc('')
      return
    }
    const stop = new AbortController()
    let visible = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const take = async () => {
      if (visible && !document.hidden) {
        try {
          const next = await picture(`/machines/${machine.id}/thumbnail`, { width }, stop.signal)
          if (!stop.signal.aborted) setSrc(next)
        } catch {
          // A machine that has no picture now may have one next time.
        }
      }
      if (!stop.signal.aborted && moves) timer = setTimeout(() => void take(), EVERY_MS)
    }
    const observer = new IntersectionObserver((entries) => (visible = !!entries[0]?.isIntersecting))
    if (root.current) observer.observe(root.current)
    void take()
    return () => {
      stop.abort()
      clearTimeout(timer)
      observer.disconnect()
    }
  }, [machine.id, machine.state, width])
  return (
    <div class={`thumb ${machine.state}`} ref={root}>
      {src ? <img src={src} alt={t('machine.thumbnail', { name: machine.name })} /> : <Icon name={machine.state === 'saved' ? 'save' : 'power'} />}
    </div>
  )
}
