/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DHCP as a guest sees it: an address with everything that belongs to it, the same one after a
 * restart of guest and network, none for who speaks for others, and enough left for everybody.
 */
#include "servicetest.h"

#include "services/probe.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };

struct ask {
    uint8_t type;
    const uint8_t *mac; /* of chaddr; NULL: the sender's */
    const char *requested, *server, *ciaddr, *name;
    const char *class;
    uint16_t arch;
    uint32_t lease_s;
};

static size_t put(uint8_t *m, size_t at, uint8_t code, const void *value, size_t len)
{
    m[at] = code;
    m[at + 1] = (uint8_t)len;
    memcpy(m + at + 2, value, len);
    return at + 2 + len;
}

static void ask_now(struct world *w, const uint8_t *mac, const struct ask *a)
{
    uint8_t m[400] = {1, 1, 6, 0, 0xab, 0xcd, 1, 2};
    struct in_addr address;
    uint8_t number[4];
    size_t at = 240;

    memcpy(m + 28, a->mac ? a->mac : mac, 6);
    be32_put(m + 236, 0x63825363);
    at = put(m, at, 53, &a->type, 1);
    if (a->ciaddr) {
        address = ip4(a->ciaddr);
        memcpy(m + 12, &address, 4);
    }
    if (a->requested) {
        address = ip4(a->requested);
        at = put(m, at, 50, &address, 4);
    }
    if (a->server) {
        address = ip4(a->server);
        at = put(m, at, 54, &address, 4);
    }
    if (a->name)
        at = put(m, at, 12, a->name, strlen(a->name));
    if (a->class)
        at = put(m, at, 60, a->class, strlen(a->class));
    be16_put(number, a->arch);
    at = put(m, at, 93, number, 2);
    be32_put(number, a->lease_s);
    if (a->lease_s)
        at = put(m, at, 51, number, 4);
    m[at++] = 255;
    w->end->count = 0;
    send_udp(w, mac, a->ciaddr ? a->ciaddr : "0.0.0.0", 68,
             a->ciaddr ? "10.1.0.1" : "255.255.255.255", 67, m, at);
}

static void ask(struct world *w, const uint8_t *mac, const struct ask *a)
{
    ask_now(w, mac, a);
    /* The server looks whether somebody has the address. */
    if (a->type == DISCOVER)
        clock_advance(w->clock, PROBE_NS);
    drop_arp(w);
}

/* The value of an option of the only answer; NULL: it has none. */
static const uint8_t *option(struct world *w, uint8_t code, size_t *ret_len)
{
    size_t len, at = 240;
    uint16_t from;
    const uint8_t *m;

    assert_int_equal(w->end->count, 1);
    m = udp_of(w, 0, &len, &from);
    assert_non_null(m);
    assert_int_equal(from, 67);
    assert_true(len >= 300);
    while (at + 1 < len && m[at] != 255) {
        if (m[at] == code) {
            *ret_len = m[at + 1];
            return m + at + 2;
        }
        at += m[at] ? 2u + m[at + 1] : 1u;
    }
    return NULL;
}

static unsigned type_of(struct world *w)
{
    size_t len;
    const uint8_t *v;

    if (!w->end->count)
        return 0;
    v = option(w, 53, &len);
    assert_non_null(v);
    return *v;
}

static const char *address_of(struct world *w)
{
    static char text[INET_ADDRSTRLEN];
    size_t len;
    uint16_t from;
    const uint8_t *m = udp_of(w, 0, &len, &from);

    return inet_ntop(AF_INET, m + 16, text, sizeof(text));
}

static void assert_option(struct world *w, uint8_t code, const void *value, size_t len)
{
    size_t got;
    const uint8_t *v = option(w, code, &got);

    assert_non_null(v);
    assert_int_equal(got, len);
    assert_memory_equal(v, value, len);
}

static void assert_number(struct world *w, uint8_t code, uint32_t n)
{
    uint8_t b[4];

    be32_put(b, n);
    assert_option(w, code, b, 4);
}

static void assert_address(struct world *w, uint8_t code, const char *text)
{
    struct in_addr a = ip4(text);

    assert_option(w, code, &a, 4);
}

/* Discover and request; the address, in static memory. */
static const char *lease(struct world *w, const uint8_t *mac)
{
    static char text[INET_ADDRSTRLEN];

    ask(w, mac, &(struct ask){.type = DISCOVER});
    if (type_of(w) != OFFER)
        return NULL;
    snprintf(text, sizeof(text), "%s", address_of(w));
    ask(w, mac, &(struct ask){.type = REQUEST, .requested = text, .server = "10.1.0.1"});
    assert_int_equal(type_of(w), ACK);
    assert_string_equal(address_of(w), text);
    return text;
}

static void test_everything(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    char first[32];

    (void)state;
    c.network.gateway = ip4("10.1.0.254");
    c.network.wins[0] = ip4("10.1.0.7");
    c.network.wins_count = 1;
    world_start(&w, &c);
    services_machine(w.services, guest_mac, "Web Server 1");
    snprintf(first, sizeof(first), "%s", lease(&w, guest_mac));
    assert_address(&w, 1, "255.255.255.0");
    assert_address(&w, 3, "10.1.0.254");
    assert_address(&w, 6, "10.1.0.1");
    assert_address(&w, 28, "10.1.0.255");
    assert_address(&w, 44, "10.1.0.7");
    assert_address(&w, 54, "10.1.0.1");
    assert_option(&w, 15, SERVICES_DOMAIN, strlen(SERVICES_DOMAIN));
    assert_option(&w, 12, "web-server-1", 12);
    assert_number(&w, 51, 3600);
    assert_number(&w, 58, 1800);
    assert_number(&w, 59, 3000);
    /* Renewed to its own address; the same one at the next start. */
    ask(&w, guest_mac, &(struct ask){.type = REQUEST, .ciaddr = first, .lease_s = 600});
    assert_int_equal(type_of(&w), ACK);
    assert_number(&w, 51, 600);
    assert_number(&w, 58, 300);
    assert_memory_equal(w.end->frames[0].bytes, guest_mac, 6);
    ask(&w, guest_mac, &(struct ask){.type = REQUEST, .requested = first});
    assert_int_equal(type_of(&w), ACK);
    assert_string_equal(lease(&w, guest_mac), first);
    world_done(&w);
}

static void test_refused(void **state)
{
    static const uint8_t other[6] = {0x52, 0x54, 0, 0, 0, 2};
    struct world w = {0};
    struct services_config c = world_config(&w);
    char first[32];

    (void)state;
    world_start(&w, &c);
    snprintf(first, sizeof(first), "%s", lease(&w, guest_mac));
    /* Another's, one outside, the server's own: no. */
    ask(&w, other, &(struct ask){.type = REQUEST, .requested = first});
    assert_int_equal(type_of(&w), NAK);
    ask(&w, other, &(struct ask){.type = REQUEST, .requested = "10.1.0.200"});
    assert_int_equal(type_of(&w), NAK);
    ask(&w, other, &(struct ask){.type = REQUEST, .ciaddr = "192.168.1.1"});
    assert_int_equal(type_of(&w), NAK); /* it came here from another network */
    world_done(&w);
}

static void test_others_are_not_spoken_for(void **state)
{
    static const uint8_t other[6] = {0x52, 0x54, 0, 0, 0, 2};
    struct world w = {0};
    struct services_config c = world_config(&w);
    char first[32];

    (void)state;
    world_start(&w, &c);
    snprintf(first, sizeof(first), "%s", lease(&w, guest_mac));
    ask(&w, other, &(struct ask){.type = DISCOVER, .mac = guest_mac});
    assert_int_equal(w.end->count, 0);
    ask(&w, other, &(struct ask){.type = RELEASE, .mac = guest_mac, .ciaddr = first});
    ask(&w, other, &(struct ask){.type = DECLINE, .mac = guest_mac, .requested = first});
    assert_string_equal(lease(&w, guest_mac), first);
    /* Another server's offer was taken: nothing is said. */
    ask(&w, guest_mac, &(struct ask){.type = REQUEST, .requested = first, .server = "10.1.0.9"});
    assert_int_equal(w.end->count, 0);
    world_done(&w);
}

static void test_all_are_given(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    bool seen[16] = {false};
    uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 0};

    (void)state;
    world_start(&w, &c);
    for (unsigned i = 0; i < 16; i++) {
        mac[5] = (uint8_t)i;
        const char *text = lease(&w, mac);
        assert_non_null(text);
        unsigned n = ntohl(ip4(text).s_addr) & 255;
        assert_in_range(n, 16, 31);
        assert_false(seen[n - 16]);
        seen[n - 16] = true;
    }
    mac[5] = 99;
    assert_null(lease(&w, mac));
    /* One gives its own back; another gets it. Leases that are over are given, too. */
    mac[5] = 3;
    char text[32];
    snprintf(text, sizeof(text), "%s", lease(&w, mac));
    ask(&w, mac, &(struct ask){.type = RELEASE, .ciaddr = text});
    mac[5] = 99;
    assert_string_equal(lease(&w, mac), text);
    w.now_s += 4000;
    mac[5] = 100;
    assert_non_null(lease(&w, mac));
    world_done(&w);
}

static void test_declined(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 7};
    char text[32];

    (void)state;
    world_start(&w, &c);
    snprintf(text, sizeof(text), "%s", lease(&w, mac));
    ask(&w, mac, &(struct ask){.type = DECLINE, .requested = text, .server = "10.1.0.1"});
    assert_string_not_equal(lease(&w, mac), text);
    /* Who declines for ever leaves most of the range to others. */
    for (unsigned i = 0; i < 100; i++) {
        const char *a = lease(&w, mac);
        assert_non_null(a);
        ask(&w, mac, &(struct ask){.type = DECLINE, .requested = a, .server = "10.1.0.1"});
    }
    for (unsigned i = 0; i < 12; i++) {
        mac[4] = (uint8_t)(i + 1);
        assert_non_null(lease(&w, mac));
    }
    world_done(&w);
}

/* An ARP answer: the adapter has this address. */
static void claim(struct world *w, const uint8_t *mac, const char *address)
{
    uint8_t f[60] = {0};
    struct in_addr a = ip4(address);

    memset(f, 0xff, 6);
    memcpy(f + 6, mac, 6);
    memcpy(f + 12, "\x08\6\0\1\x08\0\6\4\0\2", 10);
    memcpy(f + 22, mac, 6);
    memcpy(f + 28, &a, 4);
    send_bytes(w, f, sizeof(f));
}

/* The address that the last ARP packet asks for. */
static const char *probed(struct world *w)
{
    static char text[INET_ADDRSTRLEN];
    const uint8_t *f;

    assert_true(w->end->count > 0);
    f = w->end->frames[w->end->count - 1].bytes;
    assert_int_equal(be16_get(f + 12), 0x0806);
    assert_memory_equal(f + 28, "\0\0\0\0", 4);
    return inet_ntop(AF_INET, f + 38, text, sizeof(text));
}

/* An address that somebody took without asking is not given to another. */
static void test_probed(void **state)
{
    const uint8_t squatter[6] = {0x52, 0x54, 0, 0, 0, 0x66};
    struct world w = {0};
    struct services_config c = world_config(&w);
    char first[INET_ADDRSTRLEN];

    (void)state;
    world_start(&w, &c);
    ask_now(&w, guest_mac, &(struct ask){.type = DISCOVER});
    assert_int_equal(w.end->count, 1);
    snprintf(first, sizeof(first), "%s", probed(&w));
    /* It asks again while it waits: one answer comes, the client's own ARP is no answer. */
    ask_now(&w, guest_mac, &(struct ask){.type = DISCOVER});
    claim(&w, guest_mac, first);
    assert_int_equal(w.end->count, 0);
    claim(&w, squatter, first);
    assert_string_not_equal(probed(&w), first);
    clock_advance(w.clock, PROBE_NS);
    assert_true(drop_arp(&w) > 0);
    assert_int_equal(type_of(&w), OFFER);
    assert_string_not_equal(address_of(&w), first);
    /* Who has a lease is offered it at once. */
    assert_non_null(lease(&w, guest_mac));
    ask_now(&w, guest_mac, &(struct ask){.type = DISCOVER});
    assert_int_equal(type_of(&w), OFFER);
    world_done(&w);
}

/* Who answers for every address keeps nobody from having one. */
static void test_probed_by_all(void **state)
{
    const uint8_t squatter[6] = {0x52, 0x54, 0, 0, 0, 0x66};
    struct world w = {0};
    struct services_config c = world_config(&w);

    (void)state;
    world_start(&w, &c);
    for (unsigned i = 0; i < 20; i++) {
        const uint8_t mac[6] = {0x52, 0x54, 0, 1, 0, (uint8_t)(i % 5)};

        ask_now(&w, mac, &(struct ask){.type = DISCOVER});
        for (unsigned n = 0;
             n < 5 && be16_get(w.end->frames[w.end->count - 1].bytes + 12) == 0x0806; n++)
            claim(&w, squatter, probed(&w));
        drop_arp(&w);
        assert_int_equal(type_of(&w), OFFER);
    }
    world_done(&w);
}

static void test_reserved(void **state)
{
    static const struct lease_reservation reserved[] = {
        {.mac = {0x52, 0x54, 0, 0, 0, 9}, .name = "db"},
    };
    struct lease_reservation list[1];
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 0};

    (void)state;
    list[0] = reserved[0];
    list[0].address = ip4("10.1.0.20");
    c.reservations = list;
    c.reservation_count = 1;
    world_start(&w, &c);
    for (unsigned i = 0; i < 15; i++) {
        mac[4] = (uint8_t)(i + 1);
        assert_string_not_equal(lease(&w, mac), "10.1.0.20");
    }
    assert_string_equal(lease(&w, list[0].mac), "10.1.0.20");
    assert_option(&w, 12, "db", 2);
    ask(&w, list[0].mac, &(struct ask){.type = REQUEST, .requested = "10.1.0.21"});
    assert_int_equal(type_of(&w), NAK);
    world_done(&w);
}

static void test_survives(void **state)
{
    char path[] = "/tmp/yado-leases-XXXXXX";
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 0};
    char before[4][32];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    c.leases_path = path;
    world_start(&w, &c);
    for (unsigned i = 0; i < 4; i++) {
        mac[5] = (uint8_t)(200 + i);
        snprintf(before[i], sizeof(before[i]), "%s", lease(&w, mac));
    }
    clock_advance(w.clock, 2 * NS_PER_SEC);
    assert_int_equal(access(path, R_OK), 0);
    world_stop(&w);
    world_start(&w, &c);
    mac[5] = 1; /* a new one first: it gets none of theirs */
    for (unsigned i = 0; i < 4; i++)
        assert_string_not_equal(lease(&w, mac), before[i]);
    for (unsigned i = 4; i-- > 0;) {
        mac[5] = (uint8_t)(200 + i);
        assert_string_equal(lease(&w, mac), before[i]);
    }
    world_stop(&w);
    /* A file that is none costs the leases, not the network. */
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "{\"leases\": [1, {}, {\"mac\"", 25), 25);
    close(fd);
    world_start(&w, &c);
    assert_non_null(lease(&w, mac));
    world_done(&w);
    unlink(path);
}

static void test_boot(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);

    (void)state;
    c.network.boot_file = "pxelinux.0";
    c.network.boot_efi = "grub/x.efi";
    world_start(&w, &c);
    ask(&w, guest_mac, &(struct ask){.type = DISCOVER, .class = "PXEClient:Arch:00000"});
    assert_option(&w, 67, "pxelinux.0", 10);
    assert_option(&w, 66, "10.1.0.1", 8);
    assert_string_equal((const char *)w.end->frames[0].bytes + 42 + 108, "pxelinux.0");
    ask(&w, guest_mac, &(struct ask){.type = DISCOVER, .class = "PXEClient:Arch:00007", .arch = 7});
    assert_option(&w, 67, "grub/x.efi", 10);
    ask(&w, guest_mac,
        &(struct ask){.type = DISCOVER, .class = "HTTPClient:Arch:0016", .arch = 16});
    assert_option(&w, 67, "http://10.1.0.1/grub/x.efi", 26);
    assert_option(&w, 60, "HTTPClient", 10);
    world_done(&w);
}

/* RFC 2132, 9.3: options may go on in the fields of names; lengths may lie. */
static void test_broken(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t m[300] = {1, 1, 6, 0, 1, 2, 3, 4};

    (void)state;
    world_start(&w, &c);
    memcpy(m + 28, guest_mac, 6);
    be32_put(m + 236, 0x63825363);
    memcpy(m + 240, "\x34\x01\x01\xff", 4);
    memcpy(m + 108, "\x35\x01\x01\xff", 4); /* the type, in the field of the file */
    send_udp(&w, guest_mac, "0.0.0.0", 68, "255.255.255.255", 67, m, 244);
    clock_advance(w.clock, PROBE_NS);
    drop_arp(&w);
    assert_int_equal(type_of(&w), OFFER);
    for (size_t len = 0; len < 244; len++) {
        w.end->count = 0;
        send_udp(&w, guest_mac, "0.0.0.0", 68, "255.255.255.255", 67, m, len);
        clock_advance(w.clock, PROBE_NS);
        assert_true(w.end->count == 0 || len >= 243);
    }
    memcpy(m + 240, "\x35\xff\x01\xff", 4);
    w.end->count = 0;
    send_udp(&w, guest_mac, "0.0.0.0", 68, "255.255.255.255", 67, m, 244);
    clock_advance(w.clock, PROBE_NS);
    assert_int_equal(w.end->count, 0);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_others_are_not_spoken_for),
        cmocka_unit_test(test_all_are_given),
        cmocka_unit_test(test_declined),
        cmocka_unit_test(test_probed),
        cmocka_unit_test(test_probed_by_all),
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_survives),
        cmocka_unit_test(test_boot),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
