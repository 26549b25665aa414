// SPDX-License-Identifier: GPL-2.0-or-later
// The machine's first serial port, by xterm.js.
import { FitAddon } from '@xterm/addon-fit'
import { Terminal } from '@xterm/xterm'
import '@xterm/xterm/css/xterm.css'
import { useEffect, useRef, useState } from 'preact/hooks'
import { socketUrl, type Machine } from '../api'
import { t } from '../i18n'
import { may } from '../store'
import { Button } from '../ui/parts'

/**
 * xterm.js writes its rules into <style> elements, which our Content-Security-Policy forbids; the
 * same rules in a sheet that a script has made are allowed. This document gives it such elements.
 */
function documentWithSheets(): Document {
  const create = (tag: string, options?: ElementCreationOptions): HTMLElement => {
    if (tag !== 'style') return document.createElement(tag, options)
    const element = document.createElement('template')
    const sheet = new CSSStyleSheet()
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet]
    let text = ''
    Object.defineProperty(element, 'textContent', {
      get: () => text,
      set: (rules: string) => {
        text = rules
        sheet.replaceSync(rules)
      },
    })
    element.remove = () => {
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet)
      Element.prototype.remove.call(element)
    }
    return element
  }
  return new Proxy(document, {
    get(real, name) {
      if (name === 'createElement') return create
      const value: unknown = Reflect.get(real, name, real)
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(real) : value
    },
  })
}

export function Serial({ machine }: { machine: Machine }) {
  const target = useRef<HTMLDivElement>(null)
  const terminal = useRef<Terminal | null>(null)
  const [link, setLink] = useState<'connecting' | 'connected' | 'closed'>('connecting')
  const [turn, setTurn] = useState(0)
  const on = machine.state === 'running' || machine.state === 'paused'
  useEffect(() => {
    if (!target.current || !on || !may(machine, 'control')) return
    const term = new Terminal({
      fontFamily: 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace',
      fontSize: 14,
      scrollback: 5000,
      screenReaderMode: true,
      cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
      theme: { background: '#10151a', foreground: '#d6dee6' },
      documentOverride: documentWithSheets(),
    })
    const fit = new FitAddon()
    term.loadAddon(fit)
    term.open(target.current)
    fit.fit()
    const resize = new ResizeObserver(() => fit.fit())
    resize.observe(target.current)
    terminal.current = term
    setLink('connecting')
    const socket = new WebSocket(socketUrl(`/machines/${machine.id}/serial`), 'binary')
    socket.binaryType = 'arraybuffer'
    const encoder = new TextEncoder()
    socket.onopen = () => {
      setLink('connected')
      term.focus()
    }
    socket.onmessage = (message: MessageEvent<ArrayBuffer>) => term.write(new Uint8Array(message.data))
    socket.onclose = () => setLink('closed')
    term.onData((text) => socket.readyState === WebSocket.OPEN && socket.send(encoder.encode(text)))
    return () => {
      socket.onclose = null
      socket.close()
      resize.disconnect()
      term.dispose()
      terminal.current = null
    }
  }, [machine.id, on, turn])
  if (!may(machine, 'control')) return <p class="alert">{t('console.no-right')}</p>
  if (!on) return <p class="alert">{t('console.off')}</p>
  return (
    <div class="console">
      <div class="console-bar" role="toolbar" aria-label={t('tab.serial')}>
        <Button icon="trash" label={t('serial.clear')} onClick={() => terminal.current?.clear()} />
        <span class="console-state" role="status">
          {t(`console.${link}`)}
        </span>
        {link === 'closed' && <Button icon="reset" label={t('console.reconnect')} onClick={() => setTurn(turn + 1)} />}
      </div>
      <div class="terminal" ref={target} />
    </div>
  )
}
