// SPDX-License-Identifier: GPL-2.0-or-later
// What of noVNC is used here; the package has no types of its own.
declare module '@novnc/novnc' {
  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, url: string, options?: { shared?: boolean; wsProtocols?: string[] })
    scaleViewport: boolean
    focusOnClick: boolean
    background: string
    sendCtrlAltDel(): void
    focus(): void
    disconnect(): void
  }
}
