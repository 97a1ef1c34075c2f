/* certs.c - a root and what it signs, P-256, valid for an hour. */
#include "certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void require(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "certs: %s failed\n", what);
    abort();
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    require(extension != NULL && X509_add_ext(cert, extension, -1) == 1, value);
    X509_EXTENSION_free(extension);
}

static X509 *make_cert(EVP_PKEY *key, const char *name, const char *alt_names, X509 *issuer,
                       EVP_PKEY *issuer_key) {
    static long serial;
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer != NULL ? issuer : cert));
    X509 *signer = issuer != NULL ? issuer : cert;
    if (alt_names != NULL) {
        add_extension(cert, signer, NID_subject_alt_name, alt_names);
    } else {
        add_extension(cert, signer, NID_basic_constraints, "critical,CA:TRUE");
    }
    require(X509_sign(cert, issuer_key != NULL ? issuer_key : key, EVP_sha256()) > 0, "sign");
    return cert;
}

static void write_pem(const char *path, X509 *cert, EVP_PKEY *key) {
    FILE *file = fopen(path, "w");
    require(file != NULL, path);
    int code = cert != NULL ? PEM_write_X509(file, cert)
                            : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    require(code == 1, path);
    fclose(file);
}

typedef struct signer_s {
    X509 *cert;
    EVP_PKEY *key;
} signer_t;

certs_t certs;

static signer_t make_pair(const char *stem, const char *alt_names, const signer_t *issuer,
                          char *cert_path, char *key_path) {
    signer_t made = {.key = EVP_EC_gen("P-256")};
    require(made.key != NULL, "key");
    made.cert = make_cert(made.key, stem, alt_names, issuer ? issuer->cert : NULL,
                          issuer ? issuer->key : NULL);
    snprintf(cert_path, 96, "%s/%s.pem", certs.dir, stem);
    write_pem(cert_path, made.cert, NULL);
    if (key_path != NULL) {
        snprintf(key_path, 96, "%s/%s.key", certs.dir, stem);
        write_pem(key_path, NULL, made.key);
    }
    return made;
}

static void drop(signer_t made) {
    X509_free(made.cert);
    EVP_PKEY_free(made.key);
}

int certs_make(void **state) {
    (void)state;
    snprintf(certs.dir, sizeof certs.dir, "/tmp/hv_certs_XXXXXX");
    require(mkdtemp(certs.dir) != NULL, "mkdtemp");
    signer_t root = make_pair("root", NULL, NULL, certs.ca, NULL);
    drop(make_pair("localhost", "DNS:localhost,IP:127.0.0.1", &root, certs.server,
                   certs.server_key));
    drop(make_pair("other.example", "DNS:other.example", &root, certs.other, certs.other_key));
    drop(make_pair("client", "DNS:client", &root, certs.client, certs.client_key));
    drop(make_pair("stranger", "DNS:localhost", NULL, certs.stranger, certs.stranger_key));
    drop(root);
    return 0;
}

int certs_remove(void **state) {
    (void)state;
    const char *paths[] = {certs.ca,         certs.server,    certs.server_key,
                           certs.other,      certs.other_key, certs.client,
                           certs.client_key, certs.stranger,  certs.stranger_key};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) unlink(paths[i]);
    rmdir(certs.dir);
    return 0;
}
