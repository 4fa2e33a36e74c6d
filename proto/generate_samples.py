#!/usr/bin/python3
"""Generates samples.c from messages.def: for every message body a filled-in sample, its check, and
a reader that touches every byte that decoding hands out. For tests and fuzz seeds (samples.h).

Usage: generate_samples.py messages.def > samples.c
"""
import sys

sys.dont_write_bytecode = True
from generate import Table  # noqa: E402

HEAD = """/* Generated from proto/messages.def. */
#include "samples.h"
#include "errors.h"
#include "messages.h"
#include <string.h>

enum { LIST_MOST = 5 };
static const uint8_t blob[3000] = {[0] = 7, [1] = 0, [2] = 255, [999] = 3, [2999] = 9};
static const char *const texts[] = {"", "/", "/usr/bin/python3", "a:b", "\\xe7\\x9f\\xb3 stone"};

/* Values that differ from field to field and seed to seed; seed 0 is all zero and empty. */
static uint64_t next(uint64_t *state)
{
    if (*state == 0)
        return 0;
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state ^ *state >> 29;
}

static void fill(void *to, size_t size, uint64_t *state)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)next(state);
}

static void fill_text(char *to, size_t size, uint64_t *state)
{
    memset(to, 0, size);
    size_t length = *state ? next(state) % size : 0;
    for (size_t i = 0; i < length; i++)
        to[i] = (char)('a' + next(state) % 26);
}

static volatile uint8_t sink;

static void touch(const void *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sink += ((const uint8_t *)from)[i];
}

"""


def fill(table, f, target):
    name = f"{target}{f.name}"
    if f.kind == "str":
        return f"    {name} = texts[next(s) % 5];\n"
    if f.kind in ("bytes", "bulk"):
        return (f"    {name} = blob;\n    {name}_size = (uint32_t)(next(s) % sizeof blob);\n")
    if f.list_of:
        return (f"    static struct {f.list_of} {f.name}[LIST_MOST];\n"
                f"    {name}_count = (uint32_t)(next(s) % (LIST_MOST + 1));\n"
                f"    for (uint32_t i = 0; i < {name}_count; i++)\n"
                f"        fill_{f.list_of}(&{f.name}[i], s);\n"
                f"    {name} = {f.name};\n")
    if f.array and f.array[0] == "char":
        return f"    fill_text({name}, sizeof {name}, s);\n"
    if f.kind in table.records:
        return f"    fill_{f.kind}(&{name}, s);\n"
    return f"    fill(&{name}, sizeof {name}, s);\n"


def same(f):
    n = f.name
    if f.kind == "str":
        return f"strcmp(a.{n}, b.{n}) == 0"
    if f.kind in ("bytes", "bulk"):
        return f"a.{n}_size == b.{n}_size && memcmp(a.{n}, b.{n}, a.{n}_size) == 0"
    if f.list_of:
        return (f"a.{n}_count == b.{n}_count && "
                f"memcmp(a.{n}, b.{n}, a.{n}_count * sizeof *a.{n}) == 0")
    return f"memcmp(&a.{n}, &b.{n}, sizeof a.{n}) == 0"


def touch(f):
    n = f.name
    if f.kind == "str":
        return f"    touch(m.{n}, strlen(m.{n}) + 1);\n"
    if f.kind in ("bytes", "bulk"):
        return f"    touch(m.{n}, m.{n}_size);\n"
    if f.list_of:
        return f"    touch(m.{n}, m.{n}_count * sizeof *m.{n});\n"
    return f"    touch(&m.{n}, sizeof m.{n});\n"


def body(table, name, fields):
    bulk = [f for f in fields if f.kind == "bulk"]
    tail = ""
    if bulk:
        n = bulk[0].name
        tail = (f"    if (rc >= 0 && m.{n}_size > size - (size_t)rc)\n"
                "        return ASH_TOO_BIG;\n"
                "    if (rc >= 0) {\n"
                f"        memcpy(buf + rc, m.{n}, m.{n}_size);\n"
                f"        rc += (int)m.{n}_size;\n    }}\n")
    unused = "" if fields else "    (void)m, (void)s;\n"
    return (f"static void make_{name}(struct msg_{name} *out, uint64_t *s)\n{{\n"
            f"    struct msg_{name} m = {{}};\n{unused}"
            + "".join(fill(table, f, "m.") for f in fields) + "    *out = m;\n}\n\n"
            f"static int encode_{name}(uint8_t *buf, size_t size, uint64_t seed)\n{{\n"
            f"    struct msg_{name} m;\n    make_{name}(&m, &seed);\n"
            f"    int rc = msg_{name}_encode(&m, buf, size);\n{tail}    return rc;\n}}\n\n"
            f"static bool check_{name}(const uint8_t *buf, size_t size, uint64_t seed)\n{{\n"
            f"    struct msg_{name} a, b;\n    make_{name}(&a, &seed);\n"
            f"    return msg_{name}_decode(&b, buf, size) == 0"
            + "".join(f" &&\n           {same(f)}" for f in fields) + ";\n}\n\n"
            f"static int read_{name}(const uint8_t *buf, size_t size)\n{{\n"
            f"    struct msg_{name} m;\n    int rc = msg_{name}_decode(&m, buf, size);\n"
            "    if (rc < 0)\n        return rc;\n"
            + "".join(touch(f) for f in fields) + "    return 0;\n}\n\n")


def main():
    table = Table(sys.argv[1])
    out = [HEAD]
    for name, fields in table.records.items():
        out.append(f"static void fill_{name}(struct {name} *out, uint64_t *s)\n{{\n"
                   f"    struct {name} r;\n"
                   + "".join(fill(table, f, "r.") for f in fields) + "    *out = r;\n}\n\n")
    rows = []
    for m, name, fields in table.bodies():
        out.append(body(table, name, fields))
        fixed = sum(table.fixed_size(f) or 0 for f in fields)
        exact = all(table.fixed_size(f) is not None for f in fields)
        rows.append(f"    {{0x{m['code']:04x}, {'true' if name.endswith('_reply') else 'false'}, "
                    f"\"{name}\", {fixed if exact else -1}, encode_{name}, check_{name}, "
                    f"read_{name}}},\n")
    out.append(f"const struct wire_sample wire_samples[] = {{\n{''.join(rows)}}};\n"
               f"const int wire_sample_count = {len(rows)};\n")
    sys.stdout.write("".join(out))


main()
