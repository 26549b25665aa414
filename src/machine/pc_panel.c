/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front of the PC: buttons, keyboard, mouse and the first serial port, for the monitor.
 */
#include "machine/pc.h"

#include "hw/chipset/piix4_pm.h"
#include "hw/input/ps2kbd.h"
#include "hw/input/ps2mouse.h"
#include "hw/serial/ns16550.h"

void machine_powerdown(struct machine *m)
{
    machine_lock(m);
    piix4_pm_power_button(m->pc->pm);
    machine_unlock(m);
}

void machine_nmi(struct machine *m)
{
    machine_lock(m);
    for (unsigned i = 0; i < m->cpu_count; i++)
        cpu_nmi(m, i);
    machine_unlock(m);
}

size_t machine_serial_receive(struct machine *m, const uint8_t *buf, size_t len_bytes)
{
    uint64_t done, total;

    /* What comes while the machine is saved or restored is for it to read afterwards. */
    if (machine_working(m, &done, &total) != MACHINE_IDLE)
        return 0;
    return ns16550_receive(m->pc->com1, buf, len_bytes);
}

void machine_serial_tx_ready(struct machine *m)
{
    ns16550_tx_ready(m->pc->com1);
}

int machine_key(struct machine *m, enum key key, bool down)
{
    return ps2kbd_key(m->pc->kbd, key, down);
}

void machine_mouse(struct machine *m, int dx, int dy, int dz, unsigned buttons)
{
    if (dx || dy || dz)
        ps2mouse_move(m->pc->mouse, dx, dy, dz);
    ps2mouse_buttons(m->pc->mouse, (uint8_t)buttons);
}
