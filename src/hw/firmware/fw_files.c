/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of the configuration device: SeaBIOS documentation, "Runtime_config"; OVMF's
 * QemuBootOrderLib and QemuFwCfgS3Lib.
 */
#include "hw/firmware/fw_files.h"

#include "base/bytes.h"
#include "hw/firmware/aml.h"

#include <errno.h>
#include <string.h>

int fw_files_e820(struct fw_cfg *cfg, uint64_t low_bytes, uint64_t high_bytes)
{
    uint8_t entries[2][20];
    const uint64_t ranges[2][2] = {{0, low_bytes}, {GIB(4), high_bytes}};
    for (unsigned i = 0; i < 2; i++) {
        le64_put(entries[i], ranges[i][0]);
        le64_put(entries[i] + 8, ranges[i][1]);
        le32_put(entries[i] + 16, 1); /* RAM */
    }
    return fw_cfg_add_file(cfg, "etc/e820", entries, (high_bytes ? 2 : 1) * sizeof(entries[0]));
}

int fw_files_boot_order(struct fw_cfg *cfg, const char *const *paths, unsigned count, bool halt)
{
    struct aml text = {.bytes = NULL};
    for (unsigned i = 0; i < count + halt; i++) {
        const char *path = i < count ? paths[i] : "HALT";
        if (i)
            aml_u8(&text, '\n');
        aml_raw(&text, path, strlen(path));
    }
    aml_u8(&text, 0);
    int r = text.failed ? -ENOMEM : fw_cfg_add_file(cfg, "bootorder", text.bytes, text.len_bytes);
    aml_done(&text);
    return r;
}

int fw_files_boot_menu(struct fw_cfg *cfg, uint16_t wait_ms)
{
    uint8_t bytes[2];
    int r = fw_cfg_add_u16(cfg, FW_CFG_BOOT_MENU, wait_ms != 0);
    le16_put(bytes, wait_ms);
    return r < 0 || !wait_ms ? r : fw_cfg_add_file(cfg, "etc/boot-menu-wait", bytes, sizeof(bytes));
}

int fw_files_system_states(struct fw_cfg *cfg)
{
    /* One byte for each of S0 to S5: bit 7 available, low bits the sleep type. */
    static const uint8_t states[6] = {0x80, 0, 0, 1, 2, 0x80};
    return fw_cfg_add_file(cfg, "etc/system-states", states, sizeof(states));
}
