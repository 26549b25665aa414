/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jail/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STAGE "/tmp" /* where the root is put together; every host has it, nobody else sees it */

/* <sys/mount.h> of glibc 2.36 and <linux/mount.h> exclude each other. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);
#define MS_NOSUID_ 2
#define MS_NODEV_ 4
#define MS_NOEXEC_ 8
#define MS_REC_ 16384
#define MS_PRIVATE_ (1 << 18)
#define MNT_DETACH_ 2

/* What programs need of the system: libraries, firmware, names of hosts, the time zone. */
static const char *const system_paths[] = {
    "/usr/lib",         "/usr/lib32",      "/usr/lib64",      "/usr/share/seabios",
    "/usr/share/ovmf",  "/usr/share/OVMF", "/usr/share/qemu", "/etc/ld.so.cache",
    "/etc/resolv.conf", "/etc/machine-id", "/etc/localtime",
};
static const char *const devices[] = {"/dev/null",    "/dev/zero", "/dev/random",
                                      "/dev/urandom", "/dev/kvm",  "/dev/net/tun"};
static const char *const links[][2] = {
    {"usr/lib", STAGE "/lib"}, {"usr/lib32", STAGE "/lib32"}, {"usr/lib64", STAGE "/lib64"}};

int place_add(struct place *place, const char *path, bool write)
{
    for (unsigned i = 0; i < place->count; i++)
        if (!strcmp(place->files[i].path, path)) {
            place->files[i].write |= write;
            return 1;
        }
    if (place->count == PLACE_FILES_MAX)
        return -E2BIG;
    place->files[place->count++] = (struct place_file){path, write};
    return 0;
}

/* ---- a mapping of owners, as a user namespace that nobody lives in ---- */

static int write_map(pid_t pid, const char *name, unsigned inside, unsigned outside)
{
    char path[64], text[64];
    int fd, r = 0, len;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    len = snprintf(text, sizeof(text), "%u %u 1", inside, outside);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (write(fd, text, (size_t)len) != len)
        r = -errno;
    close(fd);
    return r;
}

/* A descriptor of the namespace in which the owner of st is user; -errno. */
static int owner_map(const struct stat *st, uid_t user)
{
    char path[64];
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0);
    int r;

    if (pid < 0)
        return -errno;
    if (pid == 0) {
        for (;;)
            pause();
    }
    r = write_map(pid, "uid_map", st->st_uid, user);
    if (r == 0)
        r = write_map(pid, "gid_map", st->st_gid, user);
    if (r == 0) {
        snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
        r = open(path, O_RDONLY | O_CLOEXEC);
        if (r < 0)
            r = -errno;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return r;
}

/* ---- mounts ---- */

static int set_attributes(int tree, uint64_t set, int map)
{
    struct mount_attr attr = {.attr_set = set};

    if (map >= 0) {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = (uint64_t)map;
    }
    return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? -errno
                                                                                        : 0;
}

/* Who may write it may also be its owner. What is only read stays as it is: its mode must do. */
static int give(int tree, uid_t user)
{
    struct stat st;

    if (fstatat(tree, "", &st, AT_EMPTY_PATH) < 0)
        return -errno;
    if (st.st_uid == user)
        return 0;
    return fchownat(tree, "", user, user, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* 0 it is the user's in the machine's root; 1 it had to be given if the user may write it. */
static int map_owner(int tree, const struct place_file *file, uint64_t set, uid_t user)
{
    struct stat st;
    int map, r;

    if (fstatat(tree, "", &st, AT_EMPTY_PATH) < 0)
        return -errno;
    map = owner_map(&st, user);
    r = map < 0 ? map : set_attributes(tree, set, map);
    if (map >= 0)
        close(map);
    if (r == 0)
        return 0;
    r = set_attributes(tree, set, -1);
    if (r == 0 && file->write)
        r = give(tree, user);
    return r < 0 ? r : 1;
}

/* A mount of its own of what lies there, which the host's later mounts do not reach. */
static int hold(const char *path)
{
    struct mount_attr attr = {.propagation = MS_PRIVATE_};
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (tree >= 0)
        (void)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr));
    return tree;
}

/* The path below root, with the folders that lead there. -errno. */
static int make_point(const char *root, const char *path, bool folder, char *point, size_t room)
{
    int fd;

    if ((size_t)snprintf(point, room, "%s%s", root, path) >= room)
        return -ENAMETOOLONG;
    for (char *at = strchr(point + strlen(root) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(point, 0755) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    if (folder)
        return mkdir(point, 0755) < 0 && errno != EEXIST ? -errno : 0;
    fd = open(point, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0444);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static int put(int tree, const char *root, const char *path)
{
    char point[PATH_MAX];
    struct stat st;
    int r;

    if (fstatat(tree, "", &st, AT_EMPTY_PATH) < 0)
        return -errno;
    r = make_point(root, path, S_ISDIR(st.st_mode), point, sizeof(point));
    if (r < 0)
        return r;
    return syscall(SYS_move_mount, tree, "", AT_FDCWD, point, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno
                                                                                           : 0;
}

static int put_system(const int *trees, size_t count)
{
    struct stat st;
    int r;

    for (size_t i = 0; i < count; i++) {
        if (trees[i] < 0)
            continue;
        set_attributes(trees[i], MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, -1);
        r = put(trees[i], STAGE, system_paths[i]);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        if (stat(links[i][1], &st) < 0 && symlink(links[i][0], links[i][1]) < 0)
            return -errno;
    return 0;
}

static int put_devices(const int *trees, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++)
        if (trees[i] >= 0)
            r = put(trees[i], STAGE, devices[i]);
    return r;
}

/* The outermost folder that it lies in and that as much may be done with; -1 there is none. */
static int find_folder(const struct place *place, const struct place_file *file)
{
    for (unsigned i = 0; i < place->count; i++) {
        const struct place_file *other = &place->files[i];
        size_t len = strlen(other->path);

        if (!strncmp(file->path, other->path, len) && file->path[len] == '/' &&
            (other->write || !file->write))
            return (int)i;
    }
    return -1;
}

static int put_files(const struct place *place, const int *trees, struct error *err)
{
    bool given[PLACE_FILES_MAX] = {false};

    for (unsigned i = 0; i < place->count; i++) {
        const struct place_file *file = &place->files[i];
        uint64_t set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
        int folder = find_folder(place, file), r = 0;

        if (folder < 0) {
            r = map_owner(trees[i], file, file->write ? set : set | MOUNT_ATTR_RDONLY, place->user);
            given[i] = r == 1;
            if (r >= 0)
                r = put(trees[i], STAGE, file->path);
        } else if (given[folder] && file->write) {
            r = give(trees[i], place->user); /* the folder's owner is not its files' */
        }
        if (r < 0)
            return error_set(err, r, "%s: %s", file->path, strerror(-r));
    }
    return 0;
}

/* ---- the root ---- */

static int turn(void)
{
    if (chdir(STAGE) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH_) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static void release(int *trees, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (trees[i] >= 0)
            close(trees[i]);
}

/* Folders before what lies in them: a mount would hide it. */
static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct place_file *)a)->path, ((const struct place_file *)b)->path);
}

static int build(const struct place *place, const int *files, const int *system, const int *device,
                 struct error *err)
{
    int r;

    if (mount("yado-jail", STAGE, "tmpfs", MS_NOSUID_ | MS_NODEV_ | MS_NOEXEC_,
              "mode=0755,size=1m,nr_inodes=4096") < 0)
        return error_set(err, -errno, "a root of its own: %s", strerror(errno));
    r = put_system(system, ARRAY_LEN(system_paths));
    if (r == 0)
        r = put_devices(device, ARRAY_LEN(devices));
    if (r == 0 && mkdir(STAGE "/proc", 0555) < 0)
        r = -errno;
    if (r < 0)
        return error_set(err, r, "a root of its own: %s", strerror(-r));
    r = put_files(place, files, err);
    if (r < 0)
        return r;
    r = turn();
    return r < 0 ? error_set(err, r, "a root of its own: %s", strerror(-r)) : 0;
}

static int hold_files(const struct place *place, int *files, struct error *err)
{
    for (unsigned i = 0; i < place->count; i++) {
        files[i] = hold(place->files[i].path);
        if (files[i] < 0)
            return error_set(err, -errno, "%s: %s", place->files[i].path, strerror(errno));
    }
    return 0;
}

/*
 * To the root of the mount namespace, where a chroot(2) may have hidden it: pivot_root(2) wants a
 * mount point, and there are no user namespaces (owner_map) for who lives in a chroot.
 */
static int leave_chroot(void)
{
    struct stat here, above;

    if (chdir("/") < 0 || chroot(STAGE) < 0)
        return -errno;
    do
        if (stat(".", &here) < 0 || chdir("..") < 0 || stat(".", &above) < 0)
            return -errno;
    while (here.st_ino != above.st_ino || here.st_dev != above.st_dev);
    return chroot(".") < 0 ? -errno : 0;
}

int place_enter(const struct place *given, struct error *err)
{
    struct place place = *given;
    int files[PLACE_FILES_MAX], system[ARRAY_LEN(system_paths)], device[ARRAY_LEN(devices)], r;

    qsort(place.files, place.count, sizeof(place.files[0]), by_path);
    memset(files, 0xff, sizeof(files));
    for (size_t i = 0; i < ARRAY_LEN(system_paths); i++)
        system[i] = hold(system_paths[i]);
    for (size_t i = 0; i < ARRAY_LEN(devices); i++)
        device[i] = hold(devices[i]);
    r = hold_files(&place, files, err);
    if (r == 0) {
        r = leave_chroot();
        if (r == 0 && mount(NULL, "/", NULL, MS_REC_ | MS_PRIVATE_, NULL) < 0)
            r = -errno;
        if (r < 0)
            error_set(err, r, "mounts of its own: %s", strerror(-r));
    }
    if (r == 0)
        r = build(&place, files, system, device, err);
    release(files, ARRAY_LEN(files));
    release(system, ARRAY_LEN(system));
    release(device, ARRAY_LEN(device));
    return r;
}

int place_proc(void)
{
    if (mount("proc", "/proc", "proc", MS_NOSUID_ | MS_NODEV_ | MS_NOEXEC_, "subset=pid") == 0)
        return 0;
    return -errno;
}

int place_seal(void)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    return syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static int unseal(void)
{
    struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};

    return syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

/* ---- one file more ---- */

static bool same_mounts(pid_t pid)
{
    struct stat own, other;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
    return stat(path, &other) < 0 ||
           (stat("/proc/self/ns/mnt", &own) == 0 && own.st_ino == other.st_ino);
}

int place_reach(pid_t pid, const char *path, uid_t user, struct error *err)
{
    struct place_file file = {path, false};
    AUTO_FD int process = (int)syscall(SYS_pidfd_open, pid, 0);
    AUTO_FD int tree = hold(path);
    int r;

    if (process < 0 || tree < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (same_mounts(pid))
        return 0;
    r = map_owner(tree, &file, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY, user);
    if (r >= 0)
        r = setns(process, CLONE_NEWNS) < 0 ? -errno : 0;
    if (r == 0)
        r = unseal();
    if (r < 0)
        return error_set(err, r, "%s: %s", path, strerror(-r));
    r = put(tree, "", path);
    place_seal();
    return r < 0 ? error_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}
