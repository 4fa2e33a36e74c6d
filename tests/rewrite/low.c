/* A program that is linked to where the monitor would put stubs for others: it has its addresses. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    int parents = 0;
    for (int i = 0; i < 50; i++)
        parents += getppid() > 0;
    printf("%d %d\n", parents, (unsigned long)&main < 0x30000);
    return 0;
}
