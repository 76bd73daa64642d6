/* fs and gs as the program sees them: arch_prctl, rdfsbase where allowed, selectors, and gs left at 0 for all we know. */
#include "victim.h"
#include <asm/prctl.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

int main(void)
{
    int fsgsbase = (getauxval(AT_HWCAP2) & 2) != 0;
    static uint64_t word = 0x1122334455667788;
    while (victim_round())
        for (int i = 0; i < 200; i++) {
            uint64_t fs = 1, gs = 1, direct = 2;
            uint16_t selectors[4];
            check(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs) == 0 && fs == (uint64_t)__builtin_thread_pointer());
            check(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs) == 0 && gs == 0, "gs is %llx", (unsigned long long)gs);
            __asm__ volatile("movw %%fs, %0\n movw %%gs, %1\n movw %%cs, %2\n movw %%ss, %3" : "=m"(selectors[0]), "=m"(selectors[1]), "=m"(selectors[2]), "=m"(selectors[3]));
            check(selectors[0] == 0 && selectors[1] == 0 && selectors[2] == 0x33 && selectors[3] == 0x2b);
            if (fsgsbase) {
                __asm__ volatile("rdfsbase %0" : "=r"(direct));
                check(direct == fs);
                __asm__ volatile("rdgsbase %0" : "=r"(direct));
                check(direct == 0, "rdgsbase says %llx", (unsigned long long)direct);
            }
        }
    /* The program's own use of gs ends its life here, so that it does not stand in the way of the rest. */
    check(syscall(SYS_arch_prctl, ARCH_SET_GS, &word) == 0);
    uint64_t read;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(read));
    check(read == word);
    return victim_end();
}
