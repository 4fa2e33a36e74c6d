/*
 * HMAC-SHA-256 (FIPS 180-4, RFC 2104), for the handshake of lib/net and nothing else.
 *
 * Our own because a library of cryptography costs more than the rest of `ashlar run` to load and
 * start (decision 12), and the handshake hashes two messages of a hundred bytes.
 */
#ifndef ASHLAR_LIB_HMAC_H
#define ASHLAR_LIB_HMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HMAC_SIZE = 32 };

/* The code of data[0..size) under key[0..key_size), key_size at most 64. */
void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
                 uint8_t out[HMAC_SIZE]);
/* Whether two codes are equal, in a time that does not depend on where they differ. */
bool hmac_equal(const uint8_t a[HMAC_SIZE], const uint8_t b[HMAC_SIZE]);

#endif
