/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_network */
/*
 * What a yado-net is told: a definition, hellos of machines that are none, and commands. The first
 * byte of the input chooses; the rest is text, or messages of a length byte and bytes each.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz/fuzzinput.h"
#include "net/remote.h"
#include "network/network.h"

static void definition(const uint8_t *data, size_t size)
{
    struct network_definition def;
    struct error err = {""};

    if (network_definition_parse((const char *)data, size, &def, &err) == 0)
        fuzz_require(def.name && def.rule_count <= NETWORK_RULES_MAX);
    network_definition_done(&def);
}

static void turn(uv_loop_t *loop)
{
    for (unsigned i = 0; i < 4; i++)
        uv_run(loop, UV_RUN_NOWAIT);
}

static void hello(struct network *n, uv_loop_t *loop, const char *path, struct input *in)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    (void)n;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    fuzz_require(fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    for (unsigned i = 0; in->left && i < 8; i++) {
        uint8_t bytes[256] = {0};
        size_t len = input_get(in, 1);
        struct remote_hello right = {.magic = REMOTE_MAGIC, .version = REMOTE_VERSION};

        if (len & 1) /* what follows is behind a right beginning */
            memcpy(bytes, &right, sizeof(right));
        for (size_t k = len & 1 ? 8 : 0; k < len && in->left; k++)
            bytes[k] = (uint8_t)input_get(in, 1);
        if (len & 1)
            len = sizeof(right);
        (void)send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        turn(loop);
    }
    close(fd);
    turn(loop);
}

static void command(struct network *n, const uint8_t *data, size_t size)
{
    static const char *const names[] = {"status", "port", "history", "leases", "configure", "none"};
    json_t *arguments = json_loadb((const char *)data + 1, size - 1, 0, NULL), *value = NULL;
    struct error err;

    if (json_is_object(arguments))
        network_execute(n, names[data[0] % 6], arguments, &value, &err);
    json_decref(value);
    json_decref(arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "{\"name\": \"fuzz\", \"subnet\": \"10.1.0.0/24\"}";
    struct network_definition def;
    struct network *n = NULL;
    char path[64];
    struct error err = {""};
    struct input in = {data + 1, size - 1};
    uv_loop_t loop;

    if (size < 3)
        return 0;
    if (data[0] % 3 == 0) {
        definition(data + 1, size - 1);
        return 0;
    }
    snprintf(path, sizeof(path), "/tmp/yado-fuzz-%d", (int)getpid());
    fuzz_require(uv_loop_init(&loop) == 0);
    fuzz_require(network_definition_parse(text, sizeof(text) - 1, &def, &err) == 0);
    fuzz_require(network_new(&loop, &def, path, NULL, &n, &err) == 0);
    if (data[0] % 3 == 1)
        hello(n, &loop, path, &in);
    else
        command(n, data + 1, size - 1);
    network_free(n);
    fuzz_require(uv_loop_close(&loop) == 0);
    return 0;
}
