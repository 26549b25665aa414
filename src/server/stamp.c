/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/stamp.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

int64_t stamp_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t stamp_steady_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

char *stamp_format(int64_t ms, char *buf)
{
    time_t seconds = ms / 1000;
    struct tm tm = {0};

    gmtime_r(&seconds, &tm);
    if (tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
        tm = (struct tm){.tm_year = 70, .tm_mday = 1};
    snprintf(buf, STAMP_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (tm.tm_year + 1900) % 10000,
             (tm.tm_mon + 1) % 100, tm.tm_mday % 100, tm.tm_hour % 100, tm.tm_min % 100,
             tm.tm_sec % 100, (int)(ms % 1000) % 1000);
    return buf;
}

static bool digits(const char *text, unsigned count, int *ret)
{
    int value = 0;

    for (unsigned i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *ret = value;
    return true;
}

int stamp_parse(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0};
    int hours, minutes, sign, millis = 0, scale = 100;
    size_t length = strlen(text);
    const char *p;
    time_t seconds;

    if (length < 20 || length > 40 || !digits(text, 4, &tm.tm_year) || text[4] != '-' ||
        !digits(text + 5, 2, &tm.tm_mon) || text[7] != '-' || !digits(text + 8, 2, &tm.tm_mday) ||
        (text[10] != 'T' && text[10] != 't' && text[10] != ' ') ||
        !digits(text + 11, 2, &tm.tm_hour) || text[13] != ':' ||
        !digits(text + 14, 2, &tm.tm_min) || text[16] != ':' || !digits(text + 17, 2, &tm.tm_sec))
        return -EINVAL;
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60 || tm.tm_year < 1)
        return -EINVAL;
    p = text + 19;
    if (*p == '.') {
        if (p[1] < '0' || p[1] > '9')
            return -EINVAL;
        for (p++; *p >= '0' && *p <= '9'; p++) {
            millis += (*p - '0') * scale;
            scale /= 10;
        }
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    seconds = timegm(&tm);
    if (*p == '+' || *p == '-') {
        sign = *p == '+' ? 1 : -1;
        if (!digits(p + 1, 2, &hours) || p[3] != ':' || !digits(p + 4, 2, &minutes) || p[6])
            return -EINVAL;
        seconds -= sign * (hours * 3600 + minutes * 60);
    } else if ((*p != 'Z' && *p != 'z') || p[1]) {
        return -EINVAL;
    }
    *ret_ms = (int64_t)seconds * 1000 + millis;
    return 0;
}

static void hex(const uint8_t *bytes, size_t count, char *text)
{
    for (size_t i = 0; i < count; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

void secret_new(char *text, size_t bytes)
{
    uint8_t raw[64];

    bytes = MIN(bytes, sizeof(raw));
    /* Up to 256 bytes come whole and without a signal between (getrandom(2)). */
    while (getrandom(raw, bytes, 0) != (ssize_t)bytes)
        ;
    hex(raw, bytes, text);
    OPENSSL_cleanse(raw, sizeof(raw));
}

void id_new(char buf[ID_TEXT])
{
    secret_new(buf, 8);
}

bool id_valid(const char *text)
{
    return strlen(text) == ID_TEXT - 1 && strspn(text, "0123456789abcdef") == ID_TEXT - 1;
}

char *digest_hex(const void *data, size_t len_bytes, char text[65])
{
    uint8_t sum[EVP_MAX_MD_SIZE] = {0};
    unsigned len = 0;

    EVP_Digest(data, len_bytes, sum, &len, EVP_sha256(), NULL);
    hex(sum, 32, text);
    return text;
}

char *digest_hmac_hex(const char *key, const void *data, size_t len_bytes, char text[65])
{
    uint8_t sum[EVP_MAX_MD_SIZE] = {0};
    unsigned len = 0;

    HMAC(EVP_sha256(), key, (int)strlen(key), data, len_bytes, sum, &len);
    hex(sum, 32, text);
    return text;
}

bool digest_equal(const char *a, const char *b)
{
    size_t length = strlen(a);

    return length == strlen(b) && CRYPTO_memcmp(a, b, length) == 0;
}
