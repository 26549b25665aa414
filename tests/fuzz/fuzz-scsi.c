/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_hw */
/*
 * Commands for a SCSI disk, as any driver may send them. Input: commands of 16 bytes, each followed
 * by a byte that says how many bytes of parameters come with it. What a command wants of the disk
 * must lie on it, and a reply in its buffer.
 */
#include "fuzz/fuzzinput.h"
#include "hw/virtio/scsi_disk.h"
#include "unit/hw/memdisk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct memdisk *disk = memdisk_new(1 << 20);
    struct scsi_disk scsi;
    struct scsi_task task;
    scsi_disk_init(&scsi, &disk->blk, "0123456789abcdefghij");
    while (in.left) {
        uint8_t parameters[SCSI_PARAMETER_BYTES] = {0};
        memset(&task, 0, sizeof(task));
        size_t n = MIN(in.left, sizeof(task.cdb));
        memcpy(task.cdb, in.at, n);
        in.at += n;
        in.left -= n;
        size_t len = MIN(in.left, (size_t)input_get(&in, 1) * 4);
        len = MIN(len, in.left);
        memcpy(parameters, in.at, len);
        in.at += len;
        in.left -= len;
        scsi_start(&scsi, &task);
        fuzz_require(task.want_bytes <= 0xffff);
        if (task.next == SCSI_PARAMETERS) {
            fuzz_require(task.want_bytes <= sizeof(parameters));
            scsi_parameters(&scsi, &task, parameters, (uint32_t)MIN(len, (size_t)task.want_bytes));
            fuzz_require(task.next != SCSI_PARAMETERS);
        }
        fuzz_require(task.reply_bytes <= sizeof(task.reply));
        if (task.next == SCSI_IO)
            fuzz_require(task.offset_bytes <= disk->blk.size_bytes && task.len_bytes &&
                         task.len_bytes <= disk->blk.size_bytes - task.offset_bytes);
        fuzz_require(task.next != SCSI_RANGES_IO ||
                     (task.range_count >= 1 && task.range_count <= SCSI_RANGES));
        for (unsigned i = 0; task.next == SCSI_RANGES_IO && i < task.range_count; i++)
            fuzz_require(task.ranges[i].offset_bytes <= disk->blk.size_bytes &&
                         task.ranges[i].len_bytes <=
                             disk->blk.size_bytes - task.ranges[i].offset_bytes);
        if (task.next == SCSI_IO || task.next == SCSI_RANGES_IO)
            scsi_finish(&scsi, &task, in.left & 1 ? -EIO : 0);
    }
    blk_close(&disk->blk);
    return 0;
}
