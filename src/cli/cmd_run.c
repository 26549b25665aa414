/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado run`: becomes a yado-vm, the program that is one virtual machine. It lies beside this
 * program and checks the options itself, so that whoever else starts one gets the same answers.
 */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VM_PROGRAM "yado-vm"

void cmd_run_help(void)
{
    puts("Usage: yado run [OPTIONS]\n"
         "\n"
         "Starts a virtual machine in this terminal. It ends with status 0 when the guest powers\n"
         "off or Ctrl-A x is typed, with 2 when an option is wrong.\n"
         "\n"
         "Machine:\n"
         "  --name NAME               what to call it\n"
         "  --definition FILE         take options from a JSON file; later options win\n"
         "  --engine auto|kvm|soft    how to execute the guest (auto: kvm where it is fast);\n"
         "                            kvm,portable: with what soft has, too\n"
         "  --cpus N                  processors (1)\n"
         "  --memory SIZE             RAM, with K, M or G (512M)\n"
         "\n"
         "What to boot:\n"
         "  --firmware bios|uefi|FILE SeaBIOS, OVMF, or an image (bios)\n"
         "  --kernel FILE             Linux bzImage, multiboot ELF or PVH ELF\n"
         "  --initrd FILE             initial RAM disk; for multiboot: modules, by comma\n"
         "  --append STRING           the kernel's command line\n"
         "  --boot disk|cdrom|floppy|network\n"
         "                            what the firmware tries first\n"
         "\n"
         "Drives:\n"
         "  --disk FILE[,bus=ide|virtio|sata|scsi][,readonly][,read-bytes-per-second=N]...\n"
         "                            a raw or VHD image; may be given several times\n"
         "  --parents FOLDER          where parents of differencing disks may be, besides the\n"
         "                            disk's own folder; may be given several times\n"
         "  --undo keep|commit|discard\n"
         "                            write to FILE.vud beside each disk, and at the end keep\n"
         "                            that, commit it to the disk, or discard it\n"
         "  --cdrom FILE[,bus=sata]   an ISO image\n"
         "  --sata, --scsi            have such a controller, for disks that are added later\n"
         "  --floppy FILE             a floppy image\n"
         "\n"
         "The board:\n"
         "  --iommu none|intel        have Intel VT-d between PCI devices and memory (none)\n"
         "  --edu                     have the PCI device for those who learn to write drivers\n"
         "\n"
         "Connections:\n"
         "  --net none                no network (and no adapter): the default\n"
         "  --net nat[,forward=tcp:ADDR:PORT:GUESTPORT...][,tftp=FOLDER,bootfile=NAME][,isolated]\n"
         "                            an adapter behind a router of its own; needs no privilege\n"
         "  --net tap=NAME            an adapter on a TAP interface of the host\n"
         "  --net network=PATH        an adapter on the network of a yado-net, by its socket\n"
         "  --net unplugged           an adapter without a cable\n"
         "                            with each: ,model=virtio|e1000|21140|rtl8139 and\n"
         "                            ,mac=52:54:00:12:34:56; may be given up to 8 times\n"
         "  --serial stdio|null|file=PATH|unix=PATH\n"
         "                            the first serial port (stdio). On a terminal, Ctrl-A x ends\n"
         "                            the machine and Ctrl-A h lists what else Ctrl-A does\n"
         "  --debug-console ...       the same choices for ports 0x402 and 0xe9 (not there)\n"
         "  --display none|vnc=ADDR:PORT|vnc=unix:PATH\n"
         "                            the screen (none)\n"
         "  --control unix=PATH       a socket that takes commands, one JSON object a line\n"
         "\n"
         "Saved machines:\n"
         "  --restore FILE            go on from where `save` (a control command) left off\n"
         "  --reserve-state FILE      take the disk space of a later `save` to FILE now\n"
         "\n"
         "When things happen:\n"
         "  --report FILE             write how it has ended, as a JSON object\n"
         "  --stats                   say at the end how the engine has run the guest\n"
         "  --debug-exit              a byte N written to port 0xf4 ends with status N * 2 + 1\n"
         "  --on-reset reset|stop     the guest resets itself (reset)\n"
         "  --on-triple-fault reset|stop\n"
         "                            the guest's processor shuts down (reset); stop reports it\n"
         "                            and ends with status 1\n"
         "\n"
         "  --help                    this page; the manual is yado-run(1)");
}

int cmd_run(int argc, char **argv)
{
    char path[PATH_MAX];
    ssize_t len;
    char *slash;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            cmd_run_help();
            return CLI_OK;
        }
    }
    len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len <= 0) {
        fprintf(stderr, "yado run: /proc/self/exe: %s; is /proc mounted?\n", strerror(errno));
        return CLI_USAGE;
    }
    path[len] = '\0';
    slash = strrchr(path, '/');
    if (!slash || (size_t)(slash + 1 - path) + sizeof(VM_PROGRAM) > sizeof(path)) {
        fprintf(stderr, "yado run: the path of this program is too long\n");
        return CLI_USAGE;
    }
    memcpy(slash + 1, VM_PROGRAM, sizeof(VM_PROGRAM));
    execv(path, argv);
    fprintf(stderr, "yado run: %s: %s; install it beside yado\n", path, strerror(errno));
    return CLI_USAGE;
}
