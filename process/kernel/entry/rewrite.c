/* Call sites that are rewritten; see rewrite.h. */
#include <asm/prctl.h>
#include <linux/auxvec.h>
#include <linux/mman.h>
#include <linux/signal.h>

#include "../excache/excache.h"
#include "../host/host.h"
#include "../mm/mm.h"
#include "rewrite.h"
#include "stubs.h"
#include "thread.h"

enum {
    PAGE_CHAINS = 512,
    SEEN_SITES = 1024,
    MOV_BYTES = 5,     /* mov $nr,%eax; also jmp rel32 */
    SYSCALL_BYTES = 2, /* also jmp rel8 */
    SHORT_REACH = 120, /* of a jmp rel8, both ways */
    NO_OP_LEAST = SYSCALL_BYTES + MOV_BYTES,
};

enum form { FORM_NONE, FORM_MOV, FORM_SHORT };

/* A rewritten site; its index is its stub's. Protected by mm.lock; changed under its write lock. */
struct site {
    uint64_t at;   /* of its first patched instruction */
    uint32_t nr;   /* FORM_MOV: the call */
    uint16_t cave; /* FORM_SHORT: the padding, as an offset in the same line */
    uint8_t form;
    uint8_t no_op_bytes; /* of the padding: a no-op's length; 0: breakpoint instructions */
    uint16_t next;       /* of the same chain: index + 1 */
};

static SPARSE struct {
    bool on;
    uint64_t below, highest; /* pages with sites are within [~below, highest] */
    struct site sites[STUBS_MAX];
    uint16_t chains[PAGE_CHAINS]; /* by page: index + 1; 0: none */
} rewrites; /* all zero at first: 290 KiB that a process touches only where it has sites */

/* How often sites were dispatched. Of two that share an entry the later one begins anew; racing
   threads may lose a count. */
static struct {
    uint64_t at;
    uint32_t count;
} seen[SEEN_SITES];

/* The line that is being patched; protected by mm.lock, held for writing. */
static uint8_t edited[LINE_SIZE] __attribute__((aligned(LINE_SIZE)));

void rewrite_init(bool on)
{
    rewrites.on = on;
}

bool rewrite_uses_gs(void)
{
    return __atomic_load_n(&rewrites.on, __ATOMIC_RELAXED);
}

/* Whether %gs is set by an instruction; else it takes a host call, once a thread. */
static bool has_fsgsbase(void)
{
    return host_auxv[AT_HWCAP2] & HWCAP2_FSGSBASE;
}

void rewrite_arm(struct thread *t)
{
    if (!rewrite_uses_gs())
        return;
    if (has_fsgsbase())
        asm volatile("wrgsbase %0" : : "r"(t));
    else if (host_call(__NR_arch_prctl, ARCH_SET_GS, t) < 0)
        host_die("the host does not give a thread its %%gs");
}

static uint64_t gs_base(void)
{
    uint64_t base = 0;
    if (has_fsgsbase())
        asm volatile("rdgsbase %0" : "=r"(base));
    else
        host_call(__NR_arch_prctl, ARCH_GET_GS, &base);
    return base;
}

/* ---- the patches ---- */

static uint16_t *chain_of(uint64_t page)
{
    return &rewrites.chains[page % PAGE_CHAINS];
}

static uint64_t page_of(const struct site *s)
{
    return s->at >> LINE_SHIFT;
}

static void put_jump(uint8_t *from, uint64_t address, uint64_t to)
{
    int32_t distance = (int32_t)(to - (address + MOV_BYTES));
    from[0] = 0xe9;
    memcpy(from + 1, &distance, sizeof distance);
}

/* The bytes of the long no-op at p, of at most `room`; 0: there is none. */
static uint32_t no_op_bytes(const uint8_t *p, uint32_t room)
{
    static const uint8_t disp32[] = {0x0f, 0x1f, 0x80, 0, 0, 0, 0};
    static const uint8_t sib_disp32[] = {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0};
    uint32_t prefixes = 0;
    while (prefixes < room && p[prefixes] == 0x66)
        prefixes++;
    if (prefixes && prefixes < room && p[prefixes] == 0x2e)
        prefixes++;
    if (room - prefixes >= sizeof sib_disp32 &&
        memcmp(p + prefixes, sib_disp32, sizeof sib_disp32) == 0)
        return prefixes + (uint32_t)sizeof sib_disp32;
    if (prefixes == 0 && room >= sizeof disp32 && memcmp(p, disp32, sizeof disp32) == 0)
        return sizeof disp32;
    return 0;
}

/* Whether the padding between two functions begins at `at`: breakpoint instructions to the end of a
   16-byte block, enough for a jump. */
static bool is_break_run(const uint8_t *line, uint32_t at)
{
    uint32_t end = (at | 15) + 1;
    if (end - at < MOV_BYTES)
        return false;
    for (uint32_t i = at; i < end; i++)
        if (line[i] != 0xcc)
            return false;
    return true;
}

/* Where in the line the jump of a short site to its stub is. */
static uint32_t long_jump_of(const struct site *s)
{
    return s->cave + (s->no_op_bytes ? SYSCALL_BYTES : 0u);
}

/* Whether the line has at the site what the site was made of. */
static bool is_original(const struct site *s, const uint8_t *line)
{
    const uint8_t *at = line + (s->at & (LINE_SIZE - 1));
    if (s->form == FORM_MOV)
        return at[0] == 0xb8 && memcmp(at + 1, &s->nr, sizeof s->nr) == 0;
    if (memcmp(at, "\x0f\x05", SYSCALL_BYTES) != 0)
        return false;
    return s->no_op_bytes ? no_op_bytes(line + s->cave, LINE_SIZE - s->cave) == s->no_op_bytes
                          : is_break_run(line, s->cave);
}

static void patch(const struct site *s, uint8_t *line)
{
    uint32_t offset = s->at & (LINE_SIZE - 1);
    uint64_t stub = stub_address((int)(s - rewrites.sites));
    if (!is_original(s, line))
        return;
    if (s->form == FORM_MOV) {
        put_jump(line + offset, s->at, stub);
        return;
    }
    uint32_t jump = long_jump_of(s);
    put_jump(line + jump, s->at - offset + jump, stub);
    if (s->no_op_bytes) {
        line[s->cave] = 0xeb;
        line[s->cave + 1] = (uint8_t)(s->no_op_bytes - SYSCALL_BYTES);
    }
    line[offset] = 0xeb;
    line[offset + 1] = (uint8_t)(jump - (offset + SYSCALL_BYTES));
}

void rewrite_apply(struct vpn page, uint8_t *line)
{
    for (uint16_t i = *chain_of(page.n); i; i = rewrites.sites[i - 1].next)
        if (page_of(&rewrites.sites[i - 1]) == page.n)
            patch(&rewrites.sites[i - 1], line);
}

/* ---- new sites ---- */

/* Finds padding for a short site at `offset`; used padding does not look like any. */
static bool find_padding(const uint8_t *line, uint32_t offset, struct site *s)
{
    uint32_t from = offset > SHORT_REACH ? offset - SHORT_REACH : 1;
    uint32_t to = offset + SHORT_REACH < LINE_SIZE ? offset + SHORT_REACH : LINE_SIZE;
    for (uint32_t at = from; at + MOV_BYTES <= to; at++) {
        uint8_t before = line[at - 1];
        s->cave = (uint16_t)at;
        s->no_op_bytes = 0;
        if (is_break_run(line, at))
            return true;
        if (before == 0x66 || before == 0x2e) /* a no-op here may have begun before */
            continue;
        s->no_op_bytes = (uint8_t)no_op_bytes(line + at, to - at);
        if (s->no_op_bytes)
            return true;
    }
    return false;
}

/* What kind of site the call at `address` of the line is. */
static struct site classify(const uint8_t *line, uint64_t address, uint64_t nr)
{
    uint32_t offset = address & (LINE_SIZE - 1);
    struct site s = {.at = address - MOV_BYTES, .nr = (uint32_t)nr};
    if (offset + SYSCALL_BYTES > LINE_SIZE || memcmp(line + offset, "\x0f\x05", 2) != 0)
        return s;
    if (offset >= MOV_BYTES && nr == s.nr) {
        s.form = FORM_MOV;
        if (is_original(&s, line))
            return s;
    }
    s.at = address;
    s.form = find_padding(line, offset, &s) ? FORM_SHORT : FORM_NONE;
    return s;
}

/* mm.lock is held for writing, and the line is clean. */
static void rewrite_line(struct vpn page, uint64_t address, uint64_t nr)
{
    uint64_t at = vpn_address(page), jump;
    /* It is resident, so this cannot miss; and nobody but us changes it. */
    memcpy(edited, (const void *)at, LINE_SIZE);
    struct site s = classify(edited, address, nr);
    if (s.form == FORM_NONE)
        return;
    jump = s.form == FORM_MOV ? s.at + MOV_BYTES : at + long_jump_of(&s) + MOV_BYTES;
    int stub = stub_make(jump, s.form == FORM_MOV ? (long)nr : -1, address + SYSCALL_BYTES);
    if (stub < 0)
        return;
    s.next = *chain_of(page.n);
    rewrites.sites[stub] = s;
    __atomic_store_n(chain_of(page.n), (uint16_t)(stub + 1), __ATOMIC_RELEASE);
    if (~page.n > rewrites.below)
        rewrites.below = ~page.n;
    if (page.n > rewrites.highest)
        rewrites.highest = page.n;
    patch(&rewrites.sites[stub], edited);
    /* Who runs there meanwhile misses, and waits for mm.lock. */
    uffd_drop(at, LINE_SIZE);
    int rc = uffd_copy(at, edited, LINE_SIZE, true);
    if (rc < 0)
        host_die("the host gives no memory for the ExCache at %lx (error %d)", at, -rc);
}

/* false: it may be tried again later. */
static bool rewrite_site(uint64_t address, uint64_t nr)
{
    struct vpn page = vpn_of(address);
    bool settled = true;
    rwlock_write(&mm.lock);
    const struct vma *vma = mm_find(page);
    if (rewrites.on && vma && vma->file && !vma_shared(vma) && (vma->prot & PROT_EXEC) &&
        !(vma->prot & PROT_WRITE)) {
        settled = excache_is_clean(page);
        if (settled)
            rewrite_line(page, address, nr);
    }
    rwlock_write_end(&mm.lock);
    return settled;
}

void rewrite_dispatched(struct thread *t)
{
    uint64_t at = t->regs.rip - SYSCALL_BYTES;
    if (t->regs.orig_rax == __NR_rt_sigreturn) /* by whose very bytes unwinders know a frame */
        return;
    uint32_t i = (uint32_t)(at ^ at >> 10) % SEEN_SITES;
    if (!rewrite_uses_gs() || at < WINDOW_START || at >= WINDOW_END)
        return;
    if (__atomic_load_n(&seen[i].at, __ATOMIC_RELAXED) != at) {
        __atomic_store_n(&seen[i].at, at, __ATOMIC_RELAXED);
        __atomic_store_n(&seen[i].count, 0, __ATOMIC_RELAXED);
    }
    if (__atomic_add_fetch(&seen[i].count, 1, __ATOMIC_RELAXED) == SITE_DISPATCHES &&
        !rewrite_site(at, t->regs.orig_rax))
        __atomic_store_n(&seen[i].count, 0, __ATOMIC_RELAXED);
}

/* ---- where a thread is ---- */

static uint64_t return_of(const struct site *s)
{
    return s->at + SYSCALL_BYTES + (s->form == FORM_MOV ? MOV_BYTES : 0);
}

uint64_t rewrite_return_of(uint64_t rip)
{
    int stub = stub_at(rip);
    return stub < 0 ? 0 : return_of(&rewrites.sites[stub]);
}

uint64_t rewrite_program_rip(uint64_t rip)
{
    int stub = stub_at(rip);
    if (stub >= 0)
        return rewrites.sites[stub].at ? rewrites.sites[stub].at : rip;
    uint64_t page = rip >> LINE_SHIFT, result = rip;
    if (!__atomic_load_n(chain_of(page), __ATOMIC_ACQUIRE))
        return rip;
    rwlock_read(&mm.lock);
    for (uint16_t i = *chain_of(page); i; i = rewrites.sites[i - 1].next) {
        const struct site *s = &rewrites.sites[i - 1];
        if (s->form == FORM_SHORT && page_of(s) == page &&
            (page << LINE_SHIFT) + long_jump_of(s) == rip)
            result = s->at;
    }
    rwlock_read_end(&mm.lock);
    return result;
}

bool rewrite_fault(struct thread *t, int signal, uint64_t rip)
{
    if (signal == SIGTRAP)
        return rewrite_program_rip(rip) != rip;
    if (!rewrite_uses_gs() || stub_at(rip) < 0)
        return false;
    if (gs_base() == (uint64_t)t)
        return false;
    rewrite_arm(t);
    return true;
}

/* ---- ends ---- */

/* Takes the sites of [first, end) out of the table; returns whether there were any. */
static bool remove_sites(struct vpn first, struct vpn end, bool reuse)
{
    bool any = false;
    if (first.n > rewrites.highest || end.n <= ~rewrites.below)
        return false;
    for (int c = 0; c < PAGE_CHAINS; c++) {
        for (uint16_t *at = &rewrites.chains[c]; *at;) {
            struct site *s = &rewrites.sites[*at - 1];
            if (page_of(s) < first.n || page_of(s) >= end.n) {
                at = &s->next;
                continue;
            }
            int stub = *at - 1;
            __atomic_store_n(at, s->next, __ATOMIC_RELEASE);
            if (reuse)
                stub_free(stub);
            any = true;
        }
    }
    /* What comes to these places is counted anew. */
    for (int i = 0; any && i < SEEN_SITES; i++)
        if (seen[i].at >> LINE_SHIFT >= first.n && seen[i].at >> LINE_SHIFT < end.n)
            __atomic_store_n(&seen[i].at, 0, __ATOMIC_RELAXED);
    return any;
}

void rewrite_forget(struct vpn first, struct vpn end)
{
    (void)remove_sites(first, end, true);
}

void rewrite_restore(struct vpn first, struct vpn end)
{
    /* A thread may be on its way through one of these stubs: they are not used again. */
    if (remove_sites(first, end, false))
        excache_drop_clean(first, end);
}

void rewrite_give_up_gs(void)
{
    rwlock_write(&mm.lock);
    if (rewrites.on) {
        __atomic_store_n(&rewrites.on, false, __ATOMIC_RELAXED);
        stubs_dispatch_all();
    }
    rwlock_write_end(&mm.lock);
}
