#!/usr/bin/python3
"""Generates the C of the wire, and its reference page, from messages.def and errors.def.

Usage: generate.py header|source|errors-header|errors-source|reference DEF... > OUTPUT

The C that comes out is freestanding. Records are packed structures whose bytes are the wire's
(x86-64 is little-endian), asserted offset by offset; a decoder bounds every length before use,
wants every byte of the payload accounted for, and hands out pointers into the payload.
"""
import re
import sys

SCALARS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i64": 8}
WRAPPED = {"asid": 8, "vpn": 8, "component": 2}
C_SCALAR = {"u8": "uint8_t", "u16": "uint16_t", "u32": "uint32_t", "u64": "uint64_t",
            "i64": "int64_t"}


class Field:
    def __init__(self, kind, name, text):
        self.kind, self.name, self.text = kind, name, text
        array = re.fullmatch(r"(char|raw)\[(\d+)\]", kind)
        self.array = (array.group(1), int(array.group(2))) if array else None
        lst = re.fullmatch(r"list<(\w+)>", kind)
        self.list_of = lst.group(1) if lst else None


class Table:
    def __init__(self, path):
        self.version, self.records, self.messages = 0, {}, []
        fields = record = message = None
        for number, line in enumerate(open(path), 1):
            words = line.split()
            if not words or line.startswith("#"):
                continue
            if not line.startswith(" "):
                if words[0] == "version":
                    self.version = int(words[1])
                elif words[0] == "record":
                    fields = self.records[words[1]] = []
                elif words[0] == "message":
                    message = {"name": words[1], "code": int(words[2], 16), "to": words[3],
                               "request": [], "reply": []}
                    self.messages.append(message)
                    fields = None
                else:
                    sys.exit(f"{path}:{number}: unknown word {words[0]}")
            elif words[0] in ("request", "reply") and len(words) == 1:
                fields = message[words[0]]
            elif line.startswith(" " * 16) and fields:
                fields[-1].text += " " + " ".join(words)
            else:
                fields.append(Field(words[0], words[1], " ".join(words[2:])))
        codes = [m["code"] for m in self.messages]
        if len(set(codes)) != len(codes):
            sys.exit(f"{path}: two messages have the same code")

    def fixed_size(self, field):
        """The bytes of a fixed field, or None where its size varies."""
        if field.kind in SCALARS:
            return SCALARS[field.kind]
        if field.kind in WRAPPED:
            return WRAPPED[field.kind]
        if field.array:
            return field.array[1]
        if field.kind in self.records:
            return self.record_size(field.kind)
        return None

    def record_size(self, name):
        return sum(self.fixed_size(f) for f in self.records[name])

    def has_text(self, name):
        """Whether a record holds a text whose NUL must be checked."""
        return any((f.array and f.array[0] == "char")
                   or (f.kind in self.records and self.has_text(f.kind))
                   for f in self.records[name])

    def bodies(self):
        for m in self.messages:
            yield m, m["name"].lower(), m["request"]
            yield m, m["name"].lower() + "_reply", m["reply"]


def c_type(table, field):
    if field.kind in SCALARS:
        return C_SCALAR[field.kind] + " "
    return f"struct {field.kind} "


def c_member(table, f):
    note = f" /* {f.text} */" if f.text else ""
    if f.array:
        base = "char" if f.array[0] == "char" else "uint8_t"
        return f"    {base} {f.name}[{f.array[1]}];{note}\n"
    if f.kind == "str":
        return f"    const char *{f.name};{note}\n"
    if f.kind in ("bytes", "bulk"):
        return f"    const uint8_t *{f.name};{note}\n    uint32_t {f.name}_size;\n"
    if f.list_of:
        return f"    const struct {f.list_of} *{f.name};{note}\n    uint32_t {f.name}_count;\n"
    return f"    {c_type(table, f)}{f.name};{note}\n"


def header(table):
    out = ["/* Generated from proto/messages.def. */\n#ifndef ASHLAR_MESSAGES_H\n"
           "#define ASHLAR_MESSAGES_H\n\n#include \"types.h\"\n#include \"wire.h\"\n\n"
           f"enum {{ PROTOCOL_VERSION = {table.version} }};\n\n"]
    for name, fields in table.records.items():
        out.append(f"struct {name} {{\n" + "".join(c_member(table, f) for f in fields)
                   + "} __attribute__((packed));\n")
        offset = 0
        for f in fields:
            out.append(f"_Static_assert(offsetof(struct {name}, {f.name}) == {offset}, "
                       f"\"{name}.{f.name}\");\n")
            offset += table.fixed_size(f)
        out.append(f"_Static_assert(sizeof(struct {name}) == {offset}, \"{name}\");\n\n")
    out.append("enum wire_op {\n")
    for m in table.messages:
        out.append(f"    OP_{m['name']} = 0x{m['code']:04x},\n")
    out.append("};\n\n/* Number of operations, and each one's place in 0..OP_COUNT-1 (-1: "
               "unknown), for counters. */\n"
               f"enum {{ OP_COUNT = {len(table.messages)} }};\n"
               "int wire_op_index(uint16_t op);\n"
               "/* Its name, such as \"line_fetch\"; \"unknown\" where there is none. */\n"
               "const char *wire_op_name(uint16_t op);\n"
               "const char *wire_op_name_at(int index);\n"
               "/* Who serves it: \"any\", \"global\", \"process\", \"memory\", \"storage\", "
               "\"cli\". */\nconst char *wire_op_server(uint16_t op);\n\n"
               "/*\n * Prints a message, fields and all, for a trace; payload may be malformed.\n"
               " * Returns the bytes written to text, without the final NUL.\n */\n"
               "size_t wire_print(const struct wire_header *h, const uint8_t *payload, "
               "char *text, size_t size);\n\n"
               "/*\n * For each body: _encode writes it and returns its bytes, without those of a "
               "bulk field (of which\n * only the length is written), or ASH_TOO_BIG; _decode "
               "returns 0 or ASH_MALFORMED, and points into\n * the payload, which must outlive "
               "the result.\n */\n")
    for m, name, fields in table.bodies():
        members = "".join(c_member(table, f) for f in fields) or "    char none[0];\n"
        out.append(f"struct msg_{name} {{\n{members}}};\n"
                   f"int msg_{name}_encode(const struct msg_{name} *m, uint8_t *buf, size_t size)"
                   " __attribute__((warn_unused_result));\n"
                   f"int msg_{name}_decode(struct msg_{name} *m, const uint8_t *buf, size_t size)"
                   " __attribute__((warn_unused_result));\n\n")
    out.append("#endif\n")
    return "".join(out)


def put(table, f):
    n = f.name
    if f.kind == "str":
        return f"    wire_put_str(&c, m->{n});\n"
    if f.kind == "bytes":
        return (f"    wire_put_u32(&c, m->{n}_size);\n"
                f"    wire_put(&c, m->{n}, m->{n}_size);\n")
    if f.kind == "bulk":
        return f"    wire_put_u32(&c, m->{n}_size);\n"
    if f.list_of:
        return (f"    wire_put_u32(&c, m->{n}_count);\n"
                f"    wire_put(&c, m->{n}, (size_t)m->{n}_count * sizeof *m->{n});\n")
    address = f"m->{n}" if f.array else f"&m->{n}"
    return f"    wire_put(&c, {address}, {table.fixed_size(f)});\n"


def get(table, f):
    n = f.name
    if f.kind == "str":
        return f"    m->{n} = wire_get_str(&c);\n"
    if f.kind in ("bytes", "bulk"):
        return (f"    m->{n}_size = wire_get_u32(&c);\n"
                f"    m->{n} = wire_get_bytes(&c, m->{n}_size);\n")
    if f.list_of:
        text = (f"    m->{n}_count = wire_get_u32(&c);\n"
                f"    m->{n} = wire_get_records(&c, m->{n}_count, sizeof *m->{n});\n")
        if table.has_text(f.list_of):
            text += (f"    for (uint32_t i = 0; c.ok && i < m->{n}_count; i++)\n"
                     f"        c.ok = {f.list_of}_valid(&m->{n}[i]);\n")
        return text
    address = f"m->{n}" if f.array else f"&m->{n}"
    text = f"    wire_get(&c, {address}, {table.fixed_size(f)});\n"
    if f.array and f.array[0] == "char":
        text += f"    c.ok = c.ok && wire_text_valid(m->{n}, sizeof m->{n});\n"
    if f.kind in table.records and table.has_text(f.kind):
        text += f"    c.ok = c.ok && {f.kind}_valid(&m->{n});\n"
    return text


def show(table, f):
    n = f.name
    if f.kind in ("asid", "vpn", "component"):
        return f"    wire_show_number(&t, \"{n}\", m.{n}.n);\n"
    if f.kind in SCALARS:
        return f"    wire_show_number(&t, \"{n}\", (uint64_t)m.{n});\n"
    if f.kind == "str":
        return f"    wire_show_text(&t, \"{n}\", m.{n});\n"
    if f.array and f.array[0] == "char":
        return f"    wire_show_text(&t, \"{n}\", m.{n});\n"
    if f.kind in ("bytes", "bulk"):
        return f"    wire_show_size(&t, \"{n}\", m.{n}_size, \"bytes\");\n"
    if f.list_of:
        return f"    wire_show_size(&t, \"{n}\", m.{n}_count, \"records\");\n"
    return ""  # raw bytes and records: left out of a trace


def source(table):
    out = ["/* Generated from proto/messages.def. */\n#include \"messages.h\"\n"
           "#include \"errors.h\"\n\n"]
    for name, fields in table.records.items():
        if table.has_text(name):
            checks = []
            for f in fields:
                if f.array and f.array[0] == "char":
                    checks.append(f"wire_text_valid(r->{f.name}, sizeof r->{f.name})")
                elif f.kind in table.records and table.has_text(f.kind):
                    checks.append(f"{f.kind}_valid(&r->{f.name})")
            out.append(f"static bool {name}_valid(const struct {name} *r)\n{{\n    return "
                       + " && ".join(checks) + ";\n}\n\n")
    for m, name, fields in table.bodies():
        unused = "" if fields else "    (void)m;\n"
        out.append(f"int msg_{name}_encode(const struct msg_{name} *m, uint8_t *buf, size_t size)"
                   "\n{\n    struct wire_cursor c = {.at = buf, .end = buf + size, .ok = true};\n"
                   + unused + "".join(put(table, f) for f in fields)
                   + "    return c.ok ? (int)(c.at - buf) : ASH_TOO_BIG;\n}\n\n")
        out.append(f"int msg_{name}_decode(struct msg_{name} *m, const uint8_t *buf, size_t size)"
                   "\n{\n    struct wire_reader c = {.at = buf, .end = buf + size, .ok = true};\n"
                   + unused + "".join(get(table, f) for f in fields)
                   + "    return c.ok && c.at == c.end ? 0 : ASH_MALFORMED;\n}\n\n")
        out.append(f"static bool show_{name}(const uint8_t *payload, size_t size, "
                   "struct wire_text *text)\n{\n    struct msg_" + name + " m;\n"
                   "    struct wire_text t = *text;\n"
                   f"    if (msg_{name}_decode(&m, payload, size) < 0)\n        return false;\n"
                   + "".join(show(table, f) for f in fields)
                   + "    *text = t;\n    return true;\n}\n\n")
    out.append("static const struct {\n    uint16_t op;\n    const char *name, *server;\n"
               "    bool (*show_request)(const uint8_t *, size_t, struct wire_text *);\n"
               "    bool (*show_reply)(const uint8_t *, size_t, struct wire_text *);\n"
               "} table[OP_COUNT] = {\n")
    for m in table.messages:
        low = m["name"].lower()
        out.append(f"    {{0x{m['code']:04x}, \"{low}\", \"{m['to']}\", show_{low}, "
                   f"show_{low}_reply}},\n")
    out.append("};\n\nint wire_op_index(uint16_t op)\n{\n    switch (op) {\n")
    for i, m in enumerate(table.messages):
        out.append(f"    case OP_{m['name']}:\n        return {i};\n")
    out.append("    }\n    return -1;\n}\n\n"
               "const char *wire_op_name(uint16_t op)\n{\n    int i = wire_op_index(op);\n"
               "    return i < 0 ? \"unknown\" : table[i].name;\n}\n\n"
               "const char *wire_op_name_at(int index)\n{\n    return table[index].name;\n}\n\n"
               "const char *wire_op_server(uint16_t op)\n{\n    int i = wire_op_index(op);\n"
               "    return i < 0 ? \"nobody\" : table[i].server;\n}\n\n"
               "size_t wire_print(const struct wire_header *h, const uint8_t *payload, "
               "char *text, size_t size)\n{\n"
               "    struct wire_text t = {.at = text, .end = text + size};\n"
               "    int i = wire_op_index(h->op);\n"
               "    bool reply = h->flags & WIRE_REPLY;\n"
               "    wire_show_word(&t, wire_op_name(h->op));\n"
               "    wire_show_word(&t, reply ? \" reply\" : \"\");\n"
               "    wire_show_number(&t, \"id\", h->request_id);\n"
               "    if (h->status < 0) {\n"
               "        wire_show_word(&t, \" error=-\");\n"
               "        wire_show_decimal(&t, (uint64_t)-(int64_t)h->status);\n"
               "    } else if (i >= 0) {\n"
               "        if (!(reply ? table[i].show_reply : table[i].show_request)"
               "(payload, h->length, &t))\n"
               "            wire_show_word(&t, \" (malformed)\");\n    }\n"
               "    return wire_show_end(&t, text);\n}\n")
    return "".join(out)


def errors(path):
    for line in open(path):
        if line.strip() and not line.startswith("#"):
            name, code, text = line.split(None, 2)
            yield name, int(code), text.strip()


def errors_header(path):
    return ("/* Generated from proto/errors.def. */\n#ifndef ASHLAR_ERRORS_H\n"
            "#define ASHLAR_ERRORS_H\n\nenum ash_error {\n"
            + "".join(f"    {n} = {c}, /* {t} */\n" for n, c, t in errors(path))
            + "};\n\n/* The text of one of Ashlar's own codes; NULL for any other number. */\n"
            "const char *ash_error_text(int code);\n\n#endif\n")


def errors_source(path):
    return ("/* Generated from proto/errors.def. */\n#include <stddef.h>\n#include \"errors.h\"\n\n"
            "const char *ash_error_text(int code)\n{\n    switch (code) {\n"
            + "".join(f"    case {n}:\n        return \"{t}\";\n" for n, c, t in errors(path))
            + "    }\n    return NULL;\n}\n")


def reference(table, errors_path):
    out = [f"# Wire reference, protocol version {table.version}\n\n"
           "Generated from proto/messages.def and proto/errors.def by `make docs`; "
           "proto/wire.h describes the header\nof 32 bytes that precedes every message. "
           "All numbers are little-endian; fields follow each other without padding.\n\n"
           "## Records\n"]
    for name, fields in table.records.items():
        out.append(f"\n### {name} ({table.record_size(name)} bytes)\n\n"
                   "| offset | type | field | meaning |\n|---|---|---|---|\n")
        offset = 0
        for f in fields:
            out.append(f"| {offset} | {f.kind} | {f.name} | {f.text} |\n")
            offset += table.fixed_size(f)
    out.append("\n## Messages\n")
    for m in table.messages:
        out.append(f"\n### {m['name']} 0x{m['code']:04x} (served by: {m['to']})\n\n")
        for part in ("request", "reply"):
            if not m[part]:
                out.append(f"{part}: no fields\n\n")
                continue
            out.append(f"| {part} | type | meaning |\n|---|---|---|\n")
            out.extend(f"| {f.name} | `{f.kind}` | {f.text} |\n" for f in m[part])
            out.append("\n")
    out.append("## Errors\n\nA reply's status is 0, one of Linux's errno values negated, or one of "
               "these:\n\n| name | code | meaning |\n|---|---|---|\n")
    out.extend(f"| {n} | {c} | {t} |\n" for n, c, t in errors(errors_path))
    return "".join(out)


def main():
    what, paths = sys.argv[1], sys.argv[2:]
    if what == "errors-header":
        text = errors_header(paths[0])
    elif what == "errors-source":
        text = errors_source(paths[0])
    else:
        table = Table(paths[0])
        text = {"header": header, "source": source}.get(what, lambda t: reference(t, paths[1]))(
            table)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
