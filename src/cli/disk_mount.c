/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado disk mount`: a disk as the file FOLDER/disk, by FUSE (libfuse 3's high-level interface), for
 * mount(8), fsck(8) and everything else that takes a raw image. `yado disk unmount` takes it away.
 */
#define FUSE_USE_VERSION 35
#include <fuse3/fuse.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/disk.h"

#define FILE_NAME "/disk"

static struct session *session(void)
{
    return fuse_get_context()->private_data;
}

static int mount_getattr(const char *path, struct stat *st, struct fuse_file_info *file)
{
    const struct blk *blk = session()->blk;
    (void)file;
    memset(st, 0, sizeof(*st));
    st->st_uid = getuid();
    st->st_gid = getgid();
    if (!strcmp(path, "/")) {
        st->st_mode = S_IFDIR | 0700;
        st->st_nlink = 2;
        return 0;
    }
    if (strcmp(path, FILE_NAME))
        return -ENOENT;
    st->st_mode = S_IFREG | (blk->readonly ? 0400 : 0600);
    st->st_nlink = 1;
    st->st_size = (off_t)blk->size_bytes;
    return 0;
}

static int mount_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset,
                         struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
    (void)offset;
    (void)file;
    (void)flags;
    if (strcmp(path, "/"))
        return -ENOTDIR;
    fill(buf, ".", NULL, 0, 0);
    fill(buf, "..", NULL, 0, 0);
    fill(buf, &FILE_NAME[1], NULL, 0, 0);
    return 0;
}

static int mount_open(const char *path, struct fuse_file_info *file)
{
    if (strcmp(path, FILE_NAME))
        return -ENOENT;
    return session()->blk->readonly && (file->flags & O_ACCMODE) != O_RDONLY ? -EROFS : 0;
}

/* How much of len from offset on is on the disk: a file ends, a disk refuses. */
static size_t within(const struct blk *blk, size_t len, off_t offset)
{
    if (offset < 0 || (uint64_t)offset >= blk->size_bytes)
        return 0;
    return MIN((uint64_t)len, blk->size_bytes - (uint64_t)offset);
}

static int mount_read(const char *path, char *buf, size_t len, off_t offset,
                      struct fuse_file_info *file)
{
    struct blk *blk = session()->blk;
    (void)path;
    (void)file;
    len = within(blk, len, offset);
    int r = len ? blk_pread(blk, buf, len, (uint64_t)offset) : 0;
    return r < 0 ? r : (int)len;
}

static int mount_write(const char *path, const char *buf, size_t len, off_t offset,
                       struct fuse_file_info *file)
{
    struct blk *blk = session()->blk;
    (void)path;
    (void)file;
    len = within(blk, len, offset);
    if (len == 0)
        return -ENOSPC;
    int r = blk_pwrite(blk, buf, len, (uint64_t)offset);
    return r < 0 ? r : (int)len;
}

static int mount_fsync(const char *path, int data_only, struct fuse_file_info *file)
{
    struct blk *blk = session()->blk;
    (void)path;
    (void)data_only;
    (void)file;
    return blk->readonly ? 0 : blk_flush(blk);
}

/* Holes punched by mount -o discard and the like. */
static int mount_fallocate(const char *path, int mode, off_t offset, off_t len,
                           struct fuse_file_info *file)
{
    struct blk *blk = session()->blk;
    (void)path;
    (void)file;
    if (!(mode & FALLOC_FL_PUNCH_HOLE))
        return -EOPNOTSUPP;
    if (blk->readonly)
        return -EROFS;
    size_t inside = len > 0 ? within(blk, (size_t)len, offset) : 0;
    return inside ? blk_zero(blk, inside, (uint64_t)offset) : 0;
}

static const struct fuse_operations operations = {
    .getattr = mount_getattr,
    .readdir = mount_readdir,
    .open = mount_open,
    .read = mount_read,
    .write = mount_write,
    .fsync = mount_fsync,
    .fallocate = mount_fallocate,
};

/* What the library has to say comes as well from its results, and in a line of ours. */
static void no_log(enum fuse_log_level level, const char *format, va_list args)
{
    (void)level;
    (void)format;
    (void)args;
}

/* Until somebody unmounts it, or a signal comes. */
static int serve(struct session *s, const char *folder, struct error *err)
{
    char *argv[] = {(char *)(uintptr_t) "yado", (char *)(uintptr_t) "-ofsname=yado,subtype=disk",
                    NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, argv);
    fuse_set_log_func(no_log);
    struct fuse *fuse = fuse_new(&args, &operations, sizeof(operations), s);
    fuse_opt_free_args(&args);
    int r = 0;
    if (!fuse)
        return error_set(err, -EIO, "FUSE cannot be used");
    if (fuse_mount(fuse, folder) < 0) {
        fuse_destroy(fuse);
        return error_set(err, -EACCES,
                         "%s cannot be mounted on; it must be a folder of yours, "
                         "and /dev/fuse and fusermount3 must be there",
                         folder);
    }
    if (fuse_set_signal_handlers(fuse_get_session(fuse)) == 0) {
        printf("%s%s\n", folder, FILE_NAME);
        fflush(stdout);
        r = fuse_loop(fuse);
        fuse_remove_signal_handlers(fuse_get_session(fuse));
    }
    fuse_unmount(fuse);
    fuse_destroy(fuse);
    /* A signal is how it ends, not what went wrong. */
    return r < 0 ? error_set(err, r, "%s: %s", folder, strerror(-r)) : 0;
}

int disk_mount(int argc, char **argv)
{
    static const struct option options[] = {{"readonly", no_argument, NULL, 'r'},
                                            {"undo", required_argument, NULL, 'u'},
                                            {"parents", required_argument, NULL, 'p'},
                                            {0}};
    struct session s = {.readonly = false};
    struct error err = {""}, more = {""};
    int c, status = CLI_OK;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1 && status == CLI_OK) {
        if (c == 'r')
            s.readonly = true;
        else if (c == 'u')
            status = session_undo("mount", &s, optarg);
        else if (c == 'p')
            status = disk_add_parents("mount", &s.folders, optarg);
        else
            return disk_bad_option("mount", argv);
    }
    if (status != CLI_OK)
        return status;
    if (optind + 2 != argc)
        return disk_usage("mount", "give the image and a folder");
    if (s.readonly && s.undo != UNDO_OFF)
        return disk_usage("mount", "with --readonly there is nothing to undo");
    s.path = argv[optind];
    int r = session_open(&s, &err);
    if (r < 0)
        return disk_error("mount", r, &err);
    r = serve(&s, argv[optind + 1], &err);
    int r2 = session_close(&s, r < 0 ? &more : &err);
    if (r == 0)
        r = r2;
    return r < 0 ? disk_error("mount", r, &err) : CLI_OK;
}

int disk_unmount(int argc, char **argv)
{
    int status = 0;
    if (argc != 2)
        return disk_usage("unmount", "give the folder");
    pid_t child = fork();
    if (child == 0) {
        execlp("fusermount3", "fusermount3", "-u", "--", argv[1], (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status)) {
        struct error err;
        return disk_error("unmount", error_set(&err, -EIO, "%s", strerror(errno)), &err);
    }
    if (WEXITSTATUS(status) == 127)
        return disk_usage("unmount", "fusermount3 is missing; install the package fuse3");
    return WEXITSTATUS(status) ? CLI_FAILED : CLI_OK;
}
