/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/daemon/https.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "server/files.h"
#include "server/settings.h"
#include "server/stamp.h"

#define VALID_SECONDS (10L * 365 * 24 * 3600)

/* ---- a certificate of our own ---- */

static int add_names(X509 *certificate)
{
    char host[256] = "localhost", names[600];
    X509_EXTENSION *extension;
    int ok;

    gethostname(host, sizeof(host) - 1);
    snprintf(names, sizeof(names), "DNS:%s,DNS:localhost,IP:127.0.0.1,IP:::1", host);
    extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    if (!extension)
        return 0;
    ok = X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return ok;
}

/* X.509 version 3, P-256, signed by itself. */
static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    uint64_t serial = 0;
    char digits[17];
    X509_NAME *name;

    if (!certificate)
        return NULL;
    id_new(digits);
    serial = strtoull(digits, NULL, 16) >> 1;
    name = X509_get_subject_name(certificate);
    if (X509_set_version(certificate, 2) &&
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial) &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_SECONDS) &&
        X509_set_pubkey(certificate, key) &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"Yado", -1, -1,
                                   0) &&
        X509_set_issuer_name(certificate, name) && add_names(certificate) &&
        X509_sign(certificate, key, EVP_sha256()))
        return certificate;
    X509_free(certificate);
    return NULL;
}

static int write_pem(const char *path, EVP_PKEY *key, X509 *certificate, struct error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    int r = -ENOMEM, ok = 0;
    long len;

    if (bio && key)
        ok = PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    else if (bio)
        ok = PEM_write_bio_X509(bio, certificate);
    len = ok ? BIO_get_mem_data(bio, &data) : 0;
    if (len > 0)
        r = files_replace(path, data, (size_t)len, 0600, err);
    BIO_free(bio);
    return r;
}

static int make_pair(const char *certificate_path, const char *key_path, struct error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? make_certificate(key) : NULL;
    int r = certificate ? write_pem(key_path, key, NULL, err)
                        : error_set(err, -EIO, "no certificate can be made");

    if (r == 0)
        r = write_pem(certificate_path, NULL, certificate, err);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return r;
}

static int own_pair(struct server *server, char **ret_certificate, char **ret_key,
                    struct error *err)
{
    AUTO_FREE char *folder = files_join(server->state, "tls");
    int r = folder ? files_folder(folder, 0700, err) : -ENOMEM;

    if (r < 0)
        return r;
    *ret_certificate = files_join(folder, "certificate.pem");
    *ret_key = files_join(folder, "key.pem");
    if (!*ret_certificate || !*ret_key)
        return -ENOMEM;
    if (access(*ret_certificate, R_OK) == 0 && access(*ret_key, R_OK) == 0)
        return 0;
    return make_pair(*ret_certificate, *ret_key, err);
}

/* SHA-256 of the certificate, as browsers show it. */
static char *fingerprint(const char *path)
{
    FILE *file = fopen(path, "re");
    X509 *certificate = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char *text = NULL;

    if (certificate && X509_digest(certificate, EVP_sha256(), sum, &len))
        text = calloc(len, 3);
    for (unsigned i = 0; text && i < len; i++)
        snprintf(text + 3 * i, 4, "%02X%s", sum[i], i + 1 < len ? ":" : "");
    X509_free(certificate);
    if (file)
        fclose(file);
    return text;
}

/* ---- listening ---- */

static int listen_tcp(const char *address, int port, struct error *err)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    bool ipv6 = strchr(address, ':') != NULL;
    AUTO_FD int fd =
        socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;

    if (inet_pton(ipv6 ? AF_INET6 : AF_INET, address,
                  ipv6 ? (void *)&in6.sin6_addr : (void *)&in.sin_addr) != 1)
        return error_set(err, -EINVAL, "https: '%s' is not an address", address);
    if (fd < 0)
        return error_set(err, -errno, "https: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if ((ipv6 ? bind(fd, (struct sockaddr *)&in6, sizeof(in6))
              : bind(fd, (struct sockaddr *)&in, sizeof(in))) < 0 ||
        listen(fd, 128) < 0)
        return error_set(err, -errno, "https: %s port %d: %s", address, port, strerror(errno));
    return take_fd(&fd);
}

static char *setting(struct server *server, const char *name)
{
    json_t *value = settings_https(server, name);
    char *text = json_is_string(value) ? strdup(json_string_value(value)) : NULL;

    json_decref(value);
    return text;
}

static int start(struct server *server, struct http *http, struct error *err)
{
    AUTO_FREE char *certificate = setting(server, "certificate");
    AUTO_FREE char *key = setting(server, "key");
    AUTO_FREE char *address = setting(server, "address");
    json_t *value = settings_https(server, "port");
    int port = (int)json_integer_value(value), fd, r = 0;

    json_decref(value);
    if (!certificate || !key) {
        free(TAKE_PTR(certificate));
        free(TAKE_PTR(key));
        r = own_pair(server, &certificate, &key, err);
    }
    if (r < 0)
        return r;
    fd = address ? listen_tcp(address, port, err) : -ENOMEM;
    if (fd < 0)
        return fd;
    r = http_add_tls(http, fd, certificate, key, err);
    if (r < 0)
        return r;
    if (asprintf(&server->https_url, strchr(address, ':') ? "https://[%s]:%d/" : "https://%s:%d/",
                 address, port) < 0)
        server->https_url = NULL;
    server->https_fingerprint = fingerprint(certificate);
    return 0;
}

void https_start(struct server *server, struct http *http)
{
    json_t *enabled = settings_https(server, "enabled");
    struct error err = {"no memory"};

    if (json_is_true(enabled) && start(server, http, &err) < 0)
        server->https_problem = strdup(err.text);
    json_decref(enabled);
}

void https_restart(struct server *server, struct http *http)
{
    http_remove_tls(http);
    free(TAKE_PTR(server->https_url));
    free(TAKE_PTR(server->https_fingerprint));
    free(TAKE_PTR(server->https_problem));
    https_start(server, http);
}
