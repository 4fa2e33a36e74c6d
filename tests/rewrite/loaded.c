/* A library that is loaded and unloaded again: a call site that comes and goes. */
#include <sys/syscall.h>

long loaded_call(void);
long loaded_call(void)
{
    long result = SYS_getppid;
    __asm__ volatile("syscall\n\t"
                     "jmp 1f\n\t"
                     ".byte 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0\n\t"
                     "1:"
                     : "+a"(result)
                     :
                     : "rcx", "r11", "memory");
    return result;
}
