/* HMAC-SHA-256 against RFC 4231's vectors and, for every length, against libcrypto. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hmac.h"

static void expect(const void *key, size_t key_size, const void *data, size_t size, const char *hex)
{
    uint8_t out[HMAC_SIZE];
    char text[2 * HMAC_SIZE + 1];
    hmac_sha256(key, key_size, data, size, out);
    for (int i = 0; i < HMAC_SIZE; i++)
        sprintf(text + 2 * i, "%02x", out[i]);
    assert_string_equal(text, hex);
}

static void vectors(void **state)
{
    uint8_t key[25], data[50];
    memset(key, 0x0b, 20);
    expect(key, 20, "Hi There", 8,
           "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    expect("Jefe", 4, "what do ya want for nothing?", 28,
           "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 20);
    memset(data, 0xdd, 50);
    expect(key, 20, data, 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    for (unsigned i = 0; i < 25; i++)
        key[i] = (uint8_t)(i + 1);
    memset(data, 0xcd, 50);
    expect(key, 25, data, 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
}

static void every_length(void **state)
{
    uint8_t key[64], data[300], ours[HMAC_SIZE], theirs[HMAC_SIZE];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 167 + 13);
    for (size_t size = 0; size <= sizeof data; size++) {
        size_t key_size = 1 + size % sizeof key;
        unsigned got = 0;
        memcpy(key, data + size % 100, key_size);
        hmac_sha256(key, key_size, data, size, ours);
        assert_non_null(HMAC(EVP_sha256(), key, (int)key_size, data, size, theirs, &got));
        assert_int_equal(got, HMAC_SIZE);
        assert_memory_equal(ours, theirs, HMAC_SIZE);
        assert_true(hmac_equal(ours, theirs));
        theirs[size % HMAC_SIZE] ^= 1;
        assert_false(hmac_equal(ours, theirs));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
