/*
 * Ways in and out of the monitor.
 *
 * In by dispatch: the SIGSYS handler (sigsys.c) has stored the application's registers in
 * thread->regs and made the host resume at syscall_entry with the stack pointer at the kernel
 * stack's top. In by a stub (stubs.h): fast_entry does the same from where the program is; a signal
 * that arrives there finds the monitor interrupted, as it does on the way after it.
 * Out: thread_return restores them all but rcx and r11, which hold rip and rflags as after a real
 * system call. Nothing here or in the C that it calls touches vector registers (the whole binary is
 * built with -mgeneral-regs-only), so the application's survive.
 *
 * Three ranges are known to the host signal handler (signals/), which may interrupt anywhere:
 *   [intr_begin, intr_end)  pending is being checked, the host call has not begun: go to intr_abort
 *   [exit_begin, exit_end)  pending was checked, the application does not run yet: go to
 *                           exit_restart with rdi = the thread; thread->regs is still whole
 *   user_copy_begin         a fault that cannot be served: go to user_copy_fault
 *
 * Offsets are those of struct thread (thread.h), asserted in sigsys.c.
 */
#define R(n)      (8 * (n))(%rdi)
#define PENDING   152
#define SELF      168
#define UNWANTED  0x40500 /* AC, DF, TF: the monitor runs without them */
#define STACK_TOP 32768

        .text
        .globl _start
_start: xor     %ebp, %ebp
        mov     %rsp, %rdi
        and     $-16, %rsp
        call    start
        hlt

/* Clobbers everything: the application's registers are safe in thread->regs. */
        .globl syscall_entry
syscall_entry:
        mov     %rsp, %rbx
        sub     $STACK_TOP, %rbx
        mov     %rbx, %rdi
        call    syscall_dispatched
        mov     %rbx, %rdi
        jmp     thread_return

/*
 * From a stub: rcx is the address to return to, r11 is free, gs holds the thread, everything else
 * is the application's. Its stack is not touched.
 */
        .globl fast_entry
fast_entry:
        mov     %rsp, %gs:8*18
        mov     %gs:SELF, %r11
        lea     STACK_TOP(%r11), %rsp
        pushfq
        testl   $UNWANTED, (%rsp)
        jnz     2f
1:      mov     %r15, 8*0(%r11)
        mov     %r14, 8*1(%r11)
        mov     %r13, 8*2(%r11)
        mov     %r12, 8*3(%r11)
        mov     %rbp, 8*4(%r11)
        mov     %rbx, 8*5(%r11)
        mov     %r10, 8*7(%r11)
        mov     %r9, 8*8(%r11)
        mov     %r8, 8*9(%r11)
        movq    $-38, 8*10(%r11)
        mov     %rcx, 8*11(%r11)
        mov     %rdx, 8*12(%r11)
        mov     %rsi, 8*13(%r11)
        mov     %rdi, 8*14(%r11)
        mov     %rax, 8*15(%r11)
        mov     %rcx, 8*16(%r11)
        mov     %r11, %rbx
        popq    %rax
        mov     %rax, 8*6(%rbx)
        mov     %rax, 8*17(%rbx)
        mov     %rbx, %rdi
fast_begun:                             /* for tests: the registers are all stored */
        call    syscall_dispatch
        mov     %rbx, %rdi
        jmp     thread_return
2:      pushq   (%rsp)
        andl    $~UNWANTED, (%rsp)
        popfq
        jmp     1b

/* rdi: thread. The kernel stack is empty from here on. */
        .globl thread_return, exit_begin, exit_end, exit_restart
thread_return:
exit_restart:
        lea     STACK_TOP(%rdi), %rsp
exit_begin:
        cmpl    $0, PENDING(%rdi)
        jne     deliver
        pushq   R(17)
        popfq
        mov     R(0), %r15
        mov     R(1), %r14
        mov     R(2), %r13
        mov     R(3), %r12
        mov     R(4), %rbp
        mov     R(5), %rbx
        mov     R(17), %r11
        mov     R(7), %r10
        mov     R(8), %r9
        mov     R(9), %r8
        mov     R(10), %rax
        mov     R(16), %rcx
        mov     R(12), %rdx
        mov     R(13), %rsi
        mov     R(18), %rsp
        mov     R(14), %rdi
        jmp     *%rcx
exit_end:
deliver:
        mov     %rdi, %rbx
        call    signals_deliver
        mov     %rbx, %rdi
        jmp     thread_return

/* long host_call_intr6(nr, a, b, c, d, e, f): see host.h. rcx is the kernel's to clobber. */
        .globl host_call_intr6, intr_begin, intr_end, intr_abort
host_call_intr6:
        mov     %rdi, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
        mov     %r8, %r10
        mov     %r9, %r8
        mov     8(%rsp), %r9
        mov     %rsp, %rcx
        and     $-65536, %rcx
intr_begin:
        cmpl    $0, PENDING(%rcx)
        jne     intr_abort
        syscall
intr_end:
        ret
intr_abort:
        mov     $-4, %rax
        ret

/* size_t user_copy(to, from, size): returns the bytes not copied. Either side is the application's. */
        .globl user_copy, user_copy_begin, user_copy_end, user_copy_fault
user_copy:
        mov     %rdx, %rcx
user_copy_begin:                        /* in this range a fault leaves its result in rcx */
        rep movsb
        jmp     user_copy_fault
/* long user_or_zero(word): as if one byte were copied; 0, or 1 where it faulted. */
        .globl user_or_zero
user_or_zero:
        mov     $1, %ecx
        lock orl $0, (%rdi)
        xor     %ecx, %ecx
        jmp     user_copy_fault
/* long user_compare_swap(word, is, to): 0, 1 where it faulted, 2 where it is something else. */
        .globl user_compare_swap
user_compare_swap:
        mov     $1, %ecx
        mov     %esi, %eax
        lock cmpxchgl %edx, (%rdi)
        mov     $2, %ecx
        jne     user_copy_fault
        xor     %ecx, %ecx
user_copy_end:
user_copy_fault:
        mov     %rcx, %rax
        ret

/*
 * long host_clone(flags, stack_top, parent_tid, child_tid, tls): in the child, which must share
 * memory, calls thread_begin(thread of stack_top) instead of returning.
 */
        .globl host_clone
host_clone:
        mov     %rcx, %r10
        mov     $56, %eax
        syscall
        test    %rax, %rax
        jnz     1f
        xor     %ebp, %ebp
        mov     %rsp, %rdi
        sub     $STACK_TOP, %rdi
        call    thread_begin
        hlt
1:      ret

/* Switches to the stack of a thread block and calls fn(thread) there; does not return. */
        .globl stack_switch
stack_switch:                           /* rdi: thread, rsi: fn */
        lea     STACK_TOP(%rdi), %rsp
        xor     %ebp, %ebp
        call    *%rsi
        hlt

        .globl host_restorer
host_restorer:
        mov     $15, %eax
        syscall
        hlt

/* Where the SPARSE tables begin (host/host.h): this section comes before .lbss. */
        .section .dynlbss, "aw", @nobits
        .globl sparse_start
sparse_start:

        .section .note.GNU-stack, "", @progbits
